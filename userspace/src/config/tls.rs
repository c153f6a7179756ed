//! What an HTTPS listener says of TLS, and who speaks it to members.

use model::{
    object::{CertificateId, ListenerId, Material, Tls},
    tls::{MemberTls, MemberTrust, TlsPolicy},
    value::DnsName,
};

use super::{
    document::{Shape, Table, Value},
    draft::Draft,
    names::unknown,
    scalar,
};
use crate::pki;

/// Keys of `[[load_balancer.listener]]` that only HTTPS listeners have.
pub(super) const LISTENER_KEYS: [&str; 4] =
    ["certificates", "default_certificate", "client_ca", "tls_policy"];

const MEMBER_KEYS: &[&str] = &["server_name", "ca", "verify"];
/// Of a pool.
pub(super) const POOL: Shape = Shape { path: "pool.tls", keys: MEMBER_KEYS };
/// Of the check of a server group.
pub(super) const CHECK: Shape = Shape { path: "server_group.health.tls", keys: MEMBER_KEYS };

/// TLS of the HTTPS listener in this table.
pub(super) fn listener<'a>(table: &Table<'a>, id: ListenerId, draft: &mut Draft<'a>) -> Tls {
    let known = &draft.certificates;
    let (mut certificates, values): (Vec<_>, Vec<_>) = match table.require("certificates") {
        Some(value) => certificates(value, draft).into_iter().unzip(),
        None => Default::default(),
    };
    let default = table.get("default_certificate").and_then(|value| known.refer(value));
    let client_ca = table.get("client_ca").map(|value| known.refer(value).unwrap_or_else(unknown));
    let http2 = table.get("http2").and_then(|value| value.boolean()).unwrap_or(true);
    let policies = TlsPolicy::ALL.map(|policy| (policy.name(), policy));
    let policy = match table.get("tls_policy") {
        Some(value) => scalar::word(value, "is no TLS policy", &policies),
        None => Some(TlsPolicy::default()),
    };
    if let Some(policy) = policy {
        refuse_weak(table, &certificates, policy, draft);
    }
    // What is not known is not in the list, which is no fault of the default's.
    let is_whole = !certificates.is_empty() && !certificates.contains(&unknown());
    let first = certificates.first().copied().unwrap_or_else(unknown);
    if certificates.is_empty() {
        certificates.push(first);
    }
    draft.places.list(id, "certificates", values);
    Tls {
        http2,
        certificates,
        default_certificate: default.filter(|_| is_whole).unwrap_or(first),
        client_ca,
        policy: policy.unwrap_or_default(),
        ciphers: None,
    }
}

fn certificates<'a>(value: Value<'a>, draft: &Draft<'a>) -> Vec<(CertificateId, Value<'a>)> {
    let each = value.string_or_list().into_iter();
    each.map(|value| (draft.certificates.refer(value).unwrap_or_else(unknown), value)).collect()
}

/// Reports certificates that no handshake under this policy can present.
fn refuse_weak(table: &Table<'_>, certificates: &[CertificateId], policy: TlsPolicy, draft: &mut Draft<'_>) {
    for id in certificates {
        let Some(certificate) = draft.objects.certificates.get(id) else { continue };
        let Material::Server(server) = &certificate.material else { continue };
        let weak = draft.too_weak.entry((*id, pki::security_level(policy)));
        let weak = weak.or_insert_with(|| Some(pki::presentable(server, policy).err()?.to_string()));
        if let Some(error) = weak {
            let (name, policy) = (certificate.meta.name.as_str(), policy.name());
            table.refuse_key(
                "certificates",
                format!("certificate {name:?} does not go with policy {policy:?}: {error}"),
            );
        }
    }
}

/// TLS towards members that speak it, as the `tls` in this table has it.
pub(super) fn members(
    around: &Table<'_>,
    shape: &'static Shape,
    draft: &Draft<'_>,
) -> Option<MemberTls<CertificateId>> {
    let table = around.table("tls", shape);
    if table.is_none() && around.get("tls").is_some() {
        return None;
    }
    let get = |key| table.and_then(|table| table.get(key));
    let ca = get("ca");
    let server_name = match get("server_name") {
        Some(value) => Some(scalar::text(value, DnsName::new)?),
        None => None,
    };
    let verify = match get("verify") {
        Some(value) => value.boolean()?,
        None => true,
    };
    if !verify {
        if let Some(ca) = ca {
            ca.refuse("with verify = false no certificate is compared with it; leave one of the two out");
        }
        return Some(MemberTls::unverified(server_name));
    }
    let verify = match ca {
        Some(value) => MemberTrust::Authorities(authorities(value, draft)?),
        None => MemberTrust::System,
    };
    let tls = MemberTls::new(server_name, verify);
    tls.map_err(|invalid| around.refuse_key("tls.server_name", invalid.to_string())).ok()
}

/// The CA that a value names; one of its certificates is a root.
fn authorities(value: Value<'_>, draft: &Draft<'_>) -> Option<CertificateId> {
    let id = draft.certificates.refer(value)?;
    let certificate = draft.objects.certificates.get(&id)?;
    let name = certificate.meta.name.as_str();
    let Material::Authorities(authorities) = &certificate.material else {
        value.refuse(format!(
            "certificate {name:?} is a server's certificate, which can issue none; name one with \"ca\""
        ));
        return None;
    };
    if let Err(error) = pki::roots(authorities) {
        value.refuse(format!("certificate {name:?} {error}"));
        return None;
    }
    Some(id)
}

/// What takes the place of TLS towards members that could not be read.
pub(super) const fn unread() -> MemberTls<CertificateId> {
    MemberTls::unverified(None)
}
