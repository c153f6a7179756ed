//! Certificates, and TLS of listeners that end it.

use model::{
    id::Id,
    object::{self, CertificateId},
    tls::Ciphers,
};

use super::common::meta;
use crate::api::{
    error::{Fault, invalid},
    fields::missing,
    kinds::{
        certificate::Certificate,
        listener_tls::{ALPN, ListenerTls},
    },
    material::material,
};

/// A certificate.
pub(super) fn certificate(record: &Certificate) -> Result<object::Certificate, Fault> {
    Ok(object::Certificate { meta: meta(&record.head)?, material: material(record)? })
}

/// TLS of a listener that ends it.
pub(super) fn tls(record: &ListenerTls) -> Result<object::Tls, Fault> {
    let mut certificates: Vec<CertificateId> = Vec::new();
    for id in record.servers().map(Id::from_uuid) {
        if !certificates.contains(&id) {
            certificates.push(id);
        }
    }
    let default = certificates.first().ok_or_else(|| missing("default_tls_container_ref"))?;
    let client_ca = record.client_ca.as_ref().filter(|_| record.is_mandatory);
    Ok(object::Tls {
        http2: record.alpn.iter().any(|name| name == ALPN[0]),
        default_certificate: *default,
        certificates,
        client_ca: client_ca.map(|it| Id::from_uuid(it.id)),
        policy: record.policy(),
        ciphers: record.ciphers.as_deref().map(Ciphers::new).transpose().map_err(invalid("tls_ciphers"))?,
    })
}
