//! What a certificate's PEM is good for.

use std::sync::Arc;

use jiff::Timestamp;
use model::object::Material;

use super::{
    error::Fault,
    kinds::certificate::{Certificate, CertificateKind, Secret},
};
use crate::pki::{self, PkiError};

/// What a stored certificate is good for. It may be out of its time by now.
///
/// # Errors
/// It is damaged, its key is another's, or it is no authority's.
pub fn material(record: &Certificate) -> Result<Material, Fault> {
    let pem = record.pem.as_bytes();
    Ok(match record.kind {
        CertificateKind::Server => {
            let chain = pki::certificates(pem).map_err(wrong("certificate"))?;
            let key = record.key.as_ref().map_or(&[][..], Secret::bytes);
            let keys = pki::private_keys(key).map_err(wrong("private_key"))?;
            Material::Server(Arc::new(pki::matched(&chain, &keys).map_err(wrong("certificate"))?))
        }
        CertificateKind::Client => {
            let all = pki::authorities_at_any_time(pem).map_err(wrong("certificate"))?;
            Material::Authorities(Arc::new(all))
        }
    })
}

/// Until when a certificate is good, which it must be now; of several, the first to end.
///
/// # Errors
/// One is out of its time, or is none.
pub fn expires(pem: &str) -> Result<Option<String>, Fault> {
    let all = pki::certificates(pem.as_bytes()).map_err(wrong("certificate"))?;
    let mut ends = Vec::new();
    for certificate in &all {
        ends.push(pki::in_time(certificate).map_err(wrong("certificate"))?);
    }
    let first = ends.into_iter().min().and_then(|end| Timestamp::from_second(end).ok());
    Ok(first.map(|end| end.strftime("%Y-%m-%dT%H:%M:%S").to_string()))
}

fn wrong(attribute: &'static str) -> impl Fn(PkiError) -> Fault {
    move |error| Fault::invalid(format!("Invalid input for field/attribute {attribute}. {error}."))
}
