//! What a listener says of TLS.

use serde_json::{Map, Value, json};

use crate::api::{error::Fault, fields::Fields};

/// What belongs to TLS, of which listeners of the API have none yet, and what is shown of it.
fn without() -> [(&'static str, Value); 11] {
    [
        ("default_tls_container_ref", Value::Null),
        ("client_ca_tls_container_ref", Value::Null),
        ("client_crl_container_ref", Value::Null),
        ("tls_ciphers", Value::Null),
        ("hsts_max_age", Value::Null),
        ("sni_container_refs", json!([])),
        ("tls_versions", json!([])),
        ("alpn_protocols", json!([])),
        ("client_authentication", json!("NONE")),
        ("hsts_include_subdomains", json!(false)),
        ("hsts_preload", json!(false)),
    ]
}

/// Refuses all that is not as it is shown.
pub fn refuse(fields: &mut Fields) -> Result<(), Fault> {
    let reason = "the API has no TERMINATED_HTTPS listeners yet; the configuration file has";
    without().into_iter().try_for_each(|(name, shown)| fields.unsupported(name, &[shown], reason))
}

/// What is shown of it.
pub fn show(object: &mut Map<String, Value>) {
    object.extend(without().map(|(name, shown)| (name.to_owned(), shown)));
}
