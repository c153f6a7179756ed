//! What a listener says of TLS.

use serde_json::{Map, Value, json};

use crate::api::{error::Fault, fields::Fields};

/// Refuses what belongs to TLS, of which listeners of the API have none yet.
pub fn refuse(fields: &mut Fields) -> Result<(), Fault> {
    let reason = "the API has no TERMINATED_HTTPS listeners yet; the configuration file has";
    for name in [
        "default_tls_container_ref",
        "client_ca_tls_container_ref",
        "client_crl_container_ref",
        "tls_ciphers",
        "hsts_max_age",
    ] {
        fields.unsupported(name, &[], reason)?;
    }
    for name in ["sni_container_refs", "tls_versions", "alpn_protocols"] {
        fields.unsupported(name, &[json!([])], reason)?;
    }
    fields.unsupported("client_authentication", &[json!("NONE")], reason)?;
    for name in ["hsts_include_subdomains", "hsts_preload"] {
        fields.unsupported(name, &[json!(false)], reason)?;
    }
    Ok(())
}

/// What is shown of it.
pub fn show(object: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    for name in [
        "default_tls_container_ref",
        "client_ca_tls_container_ref",
        "client_crl_container_ref",
        "tls_ciphers",
        "hsts_max_age",
    ] {
        put(name, Value::Null);
    }
    for name in ["sni_container_refs", "tls_versions", "alpn_protocols"] {
        put(name, json!([]));
    }
    put("client_authentication", json!("NONE"));
    put("hsts_include_subdomains", json!(false));
    put("hsts_preload", json!(false));
}
