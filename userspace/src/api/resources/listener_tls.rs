//! What a listener says of TLS.

use model::tls::{Ciphers, TlsPolicy};
use serde_json::{Map, Value, json};

use crate::api::{
    draft::Draft,
    error::{Fault, invalid},
    fields::{Fields, Given, missing, shown},
    kinds::{
        certificate::{Certificate, CertificateKind},
        listener_tls::{ALPN, CHOSEN, ContainerRef, ListenerTls, VERSIONS, versions},
    },
};

/// The most characters of a list of ciphers.
const CIPHERS: usize = 2048;

/// What is not there yet of TLS, and how it is shown.
fn without() -> [(&'static str, Value); 4] {
    [
        ("client_crl_container_ref", Value::Null),
        ("hsts_max_age", Value::Null),
        ("hsts_include_subdomains", json!(false)),
        ("hsts_preload", json!(false)),
    ]
}

/// What only listeners have that end TLS, and how it is shown of the others.
fn of_others() -> [(&'static str, Value); 8] {
    [
        ("default_tls_container_ref", Value::Null),
        ("client_ca_tls_container_ref", Value::Null),
        ("tls_policy", Value::Null),
        ("tls_ciphers", Value::Null),
        ("sni_container_refs", json!([])),
        ("tls_versions", json!([])),
        ("alpn_protocols", json!([])),
        ("client_authentication", json!("NONE")),
    ]
}

/// Refuses what a listener cannot say that ends no TLS.
pub fn refuse(fields: &mut Fields) -> Result<(), Fault> {
    refuse_missing(fields)?;
    let reason = "it is for TERMINATED_HTTPS listeners";
    of_others().into_iter().try_for_each(|(name, shown)| fields.unsupported(name, &[shown], reason))
}

fn refuse_missing(fields: &mut Fields) -> Result<(), Fault> {
    without().into_iter().try_for_each(|(name, shown)| fields.unsupported(name, &[shown], "not yet"))
}

/// Takes what a listener says that ends TLS.
pub fn settings(tls: &mut ListenerTls, draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
    refuse_missing(fields)?;
    let (server, client) = (CertificateKind::Server, CertificateKind::Client);
    for (name, kind, place) in [
        ("default_tls_container_ref", server, &mut tls.default),
        ("client_ca_tls_container_ref", client, &mut tls.client_ca),
    ] {
        match fields.text(name, super::MOST)? {
            Given::Absent => {}
            Given::Null => *place = None,
            Given::Value(text) => *place = Some(reference(draft, name, text, kind)?),
        }
    }
    match fields.texts("sni_container_refs", super::MOST)? {
        Given::Absent => {}
        Given::Null => tls.sni.clear(),
        Given::Value(texts) => {
            let each = texts.into_iter().map(|text| reference(draft, "sni_container_refs", text, server));
            tls.sni = each.collect::<Result<_, _>>()?;
        }
    }
    match fields.word("client_authentication", &["NONE", "OPTIONAL", "MANDATORY"])? {
        Given::Absent => {}
        Given::Null => return Err(missing("client_authentication")),
        Given::Value(word) if word == "OPTIONAL" => {
            let reason = "Not supported here yet: nobody would hear of a certificate. Use NONE or MANDATORY.";
            return Err(Fault::value("client_authentication", word, reason));
        }
        Given::Value(word) => tls.is_mandatory = word == "MANDATORY",
    }
    policy(tls, fields)?;
    ciphers(tls, fields)?;
    match fields.texts("alpn_protocols", super::MOST)? {
        Given::Absent => {}
        Given::Null => tls.alpn = ListenerTls::default().alpn,
        Given::Value(names) => {
            if let Some(other) = names.iter().find(|name| !ALPN.contains(&name.as_str())) {
                let known = ALPN.join(", ");
                return Err(Fault::value("alpn_protocols", other, format!("These are spoken: {known}.")));
            }
            if !names.iter().any(|name| name == "http/1.1") {
                let reason = "HTTP/1.1 is spoken in any case: name http/1.1.";
                return Err(Fault::value("alpn_protocols", names.join(", "), reason));
            }
            tls.alpn = names;
        }
    }
    if tls.servers().next().is_none() {
        return Err(missing("default_tls_container_ref"));
    }
    if tls.is_mandatory && tls.client_ca.is_none() {
        return Err(missing("client_ca_tls_container_ref"));
    }
    Ok(())
}

/// Takes versions and ciphers. A choice of versions alone leaves ciphers that go with them as they are.
fn policy(tls: &mut ListenerTls, fields: &mut Fields) -> Result<(), Fault> {
    let usual = || TlsPolicy::default().name().to_owned();
    fields.word("tls_policy", &TlsPolicy::ALL.map(TlsPolicy::name))?.set(&mut tls.policy, usual());
    match fields.texts("tls_versions", super::MOST)? {
        Given::Absent => {}
        Given::Null => tls.policy = usual(),
        Given::Value(names) => {
            let mut wanted: Vec<&str> =
                VERSIONS.into_iter().filter(|version| names.iter().any(|name| name == version)).collect();
            wanted.dedup();
            let is_whole = wanted.len() == names.len();
            if !is_whole || versions(tls.policy()) != wanted {
                let chosen = CHOSEN.into_iter().find(|policy| is_whole && versions(*policy) == wanted);
                let policy = chosen.ok_or_else(|| {
                    let known = CHOSEN.map(|policy| versions(policy).join(" ")).join("; ");
                    let reason = format!("Not supported here; these are: {known}.");
                    Fault::value("tls_versions", shown(&json!(names)), reason)
                })?;
                tls.policy = policy.name().into();
            }
        }
    }
    Ok(())
}

/// Takes other ciphers than the policy's.
fn ciphers(tls: &mut ListenerTls, fields: &mut Fields) -> Result<(), Fault> {
    match fields.text("tls_ciphers", CIPHERS)? {
        Given::Absent => {}
        Given::Null => tls.ciphers = None,
        Given::Value(text) => {
            Ciphers::new(&text).map_err(invalid("tls_ciphers"))?;
            tls.ciphers = Some(text);
        }
    }
    if tls.ciphers.is_some() && tls.policy() == TlsPolicy::Modern {
        let reason = "Those of TLSv1.3 are fixed: leave it out, or choose TLSv1.2 beside";
        return Err(Fault::invalid(format!("Invalid input for field/attribute tls_ciphers. {reason}.")));
    }
    Ok(())
}

/// The certificate of this kind that a text means.
fn reference(
    draft: &Draft<'_>,
    attribute: &'static str,
    text: String,
    kind: CertificateKind,
) -> Result<ContainerRef, Fault> {
    let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let id = last.parse().map_err(|_| {
        Fault::value(attribute, &text, "It must be the id of a certificate, or a URL that ends in one.")
    })?;
    let certificate = draft.parent::<Certificate>(attribute, id)?;
    if certificate.kind != kind {
        let (is, needed) = (certificate.kind.name(), kind.name());
        return Err(Fault::value(attribute, &text, format!("Its type is {is}, and {needed} is needed.")));
    }
    Ok(ContainerRef { text, id })
}

/// What is shown of a listener that ends TLS, or of another one.
pub fn show(tls: Option<&ListenerTls>, object: &mut Map<String, Value>) {
    object.extend(without().into_iter().chain(of_others()).map(|(name, shown)| (name.to_owned(), shown)));
    let Some(tls) = tls else { return };
    let text = |it: &Option<ContainerRef>| json!(it.as_ref().map(|it| &it.text));
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("default_tls_container_ref", text(&tls.default));
    put("client_ca_tls_container_ref", text(&tls.client_ca));
    put("sni_container_refs", tls.sni.iter().map(|it| json!(it.text)).collect());
    put("tls_policy", json!(tls.policy));
    put("tls_ciphers", json!(tls.ciphers));
    put("tls_versions", json!(versions(tls.policy())));
    put("alpn_protocols", json!(tls.alpn));
    put("client_authentication", json!(if tls.is_mandatory { "MANDATORY" } else { "NONE" }));
}
