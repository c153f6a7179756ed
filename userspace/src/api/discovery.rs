//! What clients ask before anything else: which versions there are.

use serde_json::{Value, json};

/// The latest version of Octavia's API whose attributes are known here.
const LATEST: u32 = 27;
/// When what is said here last changed.
const UPDATED: &str = "2026-11-20T00:00:00Z";

/// `GET /`: every version, ascending. Clients go by the last one.
pub fn versions(base: &str) -> Value {
    let version = |minor| {
        let status = if minor == LATEST { "CURRENT" } else { "SUPPORTED" };
        json!({
            "id": format!("v2.{minor}"),
            "status": status,
            "updated": UPDATED,
            "links": [{ "rel": "self", "href": format!("{base}/v2.0") }],
        })
    };
    json!({ "versions": (0..=LATEST).map(version).collect::<Vec<_>>() })
}

/// `GET /v2.0`: the latest version.
pub fn version(base: &str) -> Value {
    json!({
        "version": {
            "id": format!("v2.{LATEST}"),
            "status": "CURRENT",
            "updated": UPDATED,
            "links": [{ "rel": "self", "href": format!("{base}/v2.0") }],
        }
    })
}
