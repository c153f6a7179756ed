//! What an HTTPS listener and a pool of HTTPS members say of TLS.

use std::{net::Ipv4Addr, sync::Arc};

use super::{
    certificate::Certificates,
    document::{Shape, Table, Value},
};
use crate::{
    l7,
    model::tls::{MemberTls, MemberTrust, ServerCertificate, Tls, TlsPolicy},
};

/// Keys of `[[load_balancer.listener]]` that only HTTPS listeners have.
pub(super) const LISTENER_KEYS: [&str; 5] =
    ["http2", "certificates", "default_certificate", "client_ca", "tls_policy"];

const MEMBERS: Shape = Shape { path: "pool.tls", keys: &["server_name", "ca", "verify"] };

/// TLS of the HTTPS listener in this table.
pub(super) fn listener(table: &Table<'_>, known: &Certificates) -> Option<Tls> {
    let certificates = table.require("certificates").map(|value| certificates(value, known));
    let client_ca = table.get("client_ca").map(|value| known.authorities(value));
    let policy = table.get("tls_policy").map(policy);
    let http2 = table.get("http2").map(|value| value.boolean());
    let default = table.get("default_certificate").map(|value| known.server(value).zip(Some(value)));
    let certificates = certificates?.into_iter().collect::<Option<Vec<_>>>()?;
    let default_certificate = match default {
        Some(default) => among(&certificates, default?)?,
        None => Arc::clone(certificates.first()?),
    };
    let tls = Tls {
        http2: http2.unwrap_or(Some(true))?,
        certificates,
        default_certificate,
        client_ca: client_ca.map_or(Some(None), |found| found.map(Some))?,
        policy: policy.unwrap_or(Some(TlsPolicy::default()))?,
    };
    if let Err(error) = l7::tls::Profile::new(&tls) {
        table.refuse_key("certificates", format!("{error:#}"));
        return None;
    }
    Some(tls)
}

fn certificates(value: Value<'_>, known: &Certificates) -> Vec<Option<Arc<ServerCertificate>>> {
    let mut seen = Vec::new();
    let each = value.string_or_list().into_iter().map(|value| {
        let name = value.string()?;
        if seen.contains(&name) {
            value.refuse(format!("{name:?} is in the list already; name each certificate once"));
        }
        seen.push(name);
        known.server(value)
    });
    each.collect()
}

fn among(
    certificates: &[Arc<ServerCertificate>],
    (default, value): (Arc<ServerCertificate>, Value<'_>),
) -> Option<Arc<ServerCertificate>> {
    if !certificates.contains(&default) {
        value.refuse(format!(
            "{:?} is not in \"certificates\"; add it there, or name one of them",
            default.name
        ));
        return None;
    }
    Some(default)
}

fn policy(value: Value<'_>) -> Option<TlsPolicy> {
    let text = value.string()?;
    let policy = TlsPolicy::ALL.into_iter().find(|policy| policy.name() == text);
    if policy.is_none() {
        let names = TlsPolicy::ALL.map(|policy| format!("{:?}", policy.name()));
        value.refuse(format!("{text:?} is no TLS policy; use one of {}", names.join(", ")));
    }
    policy
}

/// TLS towards the members of the pool in this table, which speak it.
pub(super) fn members(pool: &Table<'_>, known: &Certificates) -> Option<MemberTls> {
    let table = pool.table("tls", &MEMBERS);
    if table.is_none() && pool.get("tls").is_some() {
        return None;
    }
    let get = |key| table.and_then(|table| table.get(key));
    let ca = get("ca");
    let server_name = match get("server_name") {
        Some(value) => domain(value)?,
        None => String::new(),
    };
    let verify = match get("verify") {
        Some(value) => value.boolean()?,
        None => true,
    };
    if !verify {
        if let Some(ca) = ca {
            ca.refuse("with verify = false no certificate is compared with it; leave one of the two out");
        }
        return Some(MemberTls { server_name, verify: MemberTrust::Anyone });
    }
    if server_name.is_empty() {
        let reason = "missing; give the name that the members' certificates are for, or verify = false in \
                      pool.tls to trust whoever answers";
        pool.refuse_key("tls.server_name", reason);
        return None;
    }
    let verify = match ca {
        Some(value) => MemberTrust::Authorities(known.authorities(value)?),
        None => MemberTrust::System,
    };
    let tls = MemberTls { server_name, verify };
    if let (Err(error), Some(ca)) = (l7::tls::member::MemberTls::new(&tls), ca) {
        ca.refuse(format!("{error:#}"));
        return None;
    }
    Some(tls)
}

/// A name that a certificate can be for. An address cannot be asked for in TLS.
fn domain(value: Value<'_>) -> Option<String> {
    const LONGEST: usize = 253;
    let text = value.string()?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.len() > LONGEST || !text.split('.').all(label) || text.parse::<Ipv4Addr>().is_ok() {
        value.refuse(format!(
            "{text:?} is not a DNS name; use one such as \"backend.example\" that the members' certificates are for"
        ));
        return None;
    }
    Some(text.to_ascii_lowercase())
}

/// Reports the keys of members' TLS in a pool whose members do not speak it.
pub(super) fn refuse_members(pool: &Table<'_>) {
    if let Some(value) = pool.get("tls") {
        value.refuse("only a pool with protocol = \"https\" has this");
    }
}
