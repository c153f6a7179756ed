//! Certificates from PEM, and whether they can be used: a server's chain with its key, and authorities.
//!
//! ```text
//! pem    blocks
//!   → key, here   keys and certificates
//!   → here        do they go together?
//! ```

use model::tls::{Authorities, PrivateKey, ServerCertificate};
use openssl::{
    asn1::Asn1Time,
    error::ErrorStack,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{X509, X509Ref, X509VerifyResult},
};

use super::{error::PkiError, pem};

/// The certificates of a PEM file, of which there is at least one; private keys beside them are left out.
///
/// # Errors
/// Why the file is not such; one line.
pub fn certificates(file: &[u8]) -> Result<Vec<X509>, PkiError> {
    let mut certificates = Vec::new();
    for block in pem::blocks(file)? {
        let line = block.line;
        match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                let certificate = X509::from_pem(block.text.as_bytes());
                certificates.push(certificate.map_err(|_| PkiError::DamagedCertificate { line })?);
            }
            "PKCS7" => return Err(PkiError::Pkcs7 { line }),
            label if label.ends_with("PRIVATE KEY") || label == "EC PARAMETERS" => {}
            other => return Err(PkiError::NotACertificate { label: other.into(), line }),
        }
    }
    if certificates.is_empty() {
        return Err(PkiError::NoCertificate);
    }
    Ok(certificates)
}

/// A server's certificate: the chain, the server's own first, and the key among `keys` that belongs to it; all of it good
/// now.
///
/// # Errors
/// Why these cannot serve; one line.
pub fn server(chain: &[X509], keys: &[PKey<Private>]) -> Result<ServerCertificate, PkiError> {
    let server = matched(chain, keys)?;
    for certificate in chain {
        in_time(certificate)?;
    }
    Ok(server)
}

/// The same at any time.
///
/// # Errors
/// Why these do not go together; one line.
pub fn matched(chain: &[X509], keys: &[PKey<Private>]) -> Result<ServerCertificate, PkiError> {
    let own = chain.first().ok_or(PkiError::NoCertificate)?;
    let Some(key) = keys.iter().find(|key| belongs(own, key)) else {
        return Err(match chain.iter().find(|&other| keys.iter().any(|key| belongs(other, key))) {
            Some(leaf) => wrong_order(&line_up(leaf, chain)),
            None => PkiError::OtherKey { subject: subject(own) },
        });
    };
    let order = line_up(own, chain);
    if let Some(stranger) = chain.iter().find(|&one| !order.contains(&one)) {
        return Err(PkiError::Stranger { stranger: subject(stranger), subject: subject(own) });
    }
    if order.len() < chain.len() {
        return Err(PkiError::Twice);
    }
    if !order.iter().zip(chain).all(|(&right, given)| right == given) {
        return Err(wrong_order(&order));
    }
    Ok(ServerCertificate {
        chain: chain.iter().map(|certificate| certificate.to_der()).collect::<Result<_, _>>()?,
        key: PrivateKey::from_pkcs8(key.private_key_to_pkcs8()?),
        domains: domains(own).into_iter().collect(),
        staple: None,
    })
}

/// Authorities from a PEM file, all of them good now.
///
/// # Errors
/// Why it cannot be used; one line.
pub fn authorities(file: &[u8]) -> Result<Authorities, PkiError> {
    let authorities = authorities_at_any_time(file)?;
    for certificate in &certificates(file)? {
        in_time(certificate)?;
    }
    Ok(authorities)
}

/// The same at any time.
///
/// # Errors
/// Why they are none; one line.
pub fn authorities_at_any_time(file: &[u8]) -> Result<Authorities, PkiError> {
    if let Some(block) = pem::blocks(file)?.iter().find(|block| block.label.ends_with("PRIVATE KEY")) {
        return Err(PkiError::KeyOfAuthority { line: block.line });
    }
    let certificates = certificates(file)?;
    for certificate in &certificates {
        if !is_authority(certificate)? {
            return Err(PkiError::NoAuthority { subject: subject(certificate) });
        }
    }
    let certificates = certificates.iter().map(|certificate| certificate.to_der());
    Ok(Authorities { certificates: certificates.collect::<Result<_, _>>()? })
}

/// `own` and its issuers as far as they are in `certificates`, in order.
fn line_up<'a>(own: &'a X509, certificates: &'a [X509]) -> Vec<&'a X509> {
    let mut order = vec![own];
    let mut last = own;
    while let Some(next) =
        certificates.iter().find(|&other| !order.contains(&other) && has_issued(other, last))
    {
        order.push(next);
        last = next;
    }
    order
}

fn has_issued(issuer: &X509, subject: &X509) -> bool {
    let issued = issuer.issued(subject) == X509VerifyResult::OK
        && issuer.public_key().is_ok_and(|key| subject.verify(&key).unwrap_or(false));
    // A bad signature is left on the thread's stack of errors, where the next handshake would find it.
    let _ = ErrorStack::get();
    issued
}

fn wrong_order(right: &[&X509]) -> PkiError {
    let right: Vec<String> = right.iter().map(|certificate| subject(certificate)).collect();
    PkiError::WrongOrder { right: right.join(", then ") }
}

fn belongs(certificate: &X509Ref, key: &PKey<Private>) -> bool {
    certificate.public_key().is_ok_and(|public| public.public_eq(key))
}

/// When a certificate that is good now ends, in seconds since 1970.
///
/// # Errors
/// It has ended, or has not begun.
pub fn in_time(certificate: &X509Ref) -> Result<i64, PkiError> {
    let now = Asn1Time::days_from_now(0)?;
    if certificate.not_after() < &*now {
        let end = certificate.not_after().to_string();
        return Err(PkiError::Expired { subject: subject(certificate), end });
    }
    if certificate.not_before() > &*now {
        let begin = certificate.not_before().to_string();
        return Err(PkiError::Early { subject: subject(certificate), begin });
    }
    let since_1970 = Asn1Time::from_unix(0)?.diff(certificate.not_after())?;
    Ok(i64::from(since_1970.days) * 86_400 + i64::from(since_1970.secs))
}

/// Whether it may issue certificates. One of version 1 cannot say; the old self-signed ones are authorities by custom.
fn is_authority(certificate: &X509Ref) -> Result<bool, ErrorStack> {
    const VERSION_1: i32 = 0;
    if certificate.version() == VERSION_1 {
        return Ok(certificate.issued(certificate) == X509VerifyResult::OK);
    }
    // The crate has no question for this extension.
    let text = String::from_utf8_lossy(&certificate.to_text()?).into_owned();
    let mut lines = text.lines().skip_while(|line| !line.trim().starts_with("X509v3 Basic Constraints:"));
    Ok(lines.nth(1).is_some_and(|line| line.trim().starts_with("CA:TRUE")))
}

/// The DNS names of a certificate, in lower case: those in its extension or, if it has none, its common name.
fn domains(certificate: &X509Ref) -> Vec<String> {
    let names = certificate.subject_alt_names();
    let mut names: Vec<String> =
        names.iter().flatten().filter_map(|name| name.dnsname().map(str::to_ascii_lowercase)).collect();
    if names.is_empty() {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        names.extend(common.filter_map(|entry| Some(entry.data().to_string().ok()?.to_ascii_lowercase())));
    }
    names
}

/// Whose certificate it is, such as `CN=shop.example`; one line whatever stands there.
pub(super) fn subject(certificate: &X509Ref) -> String {
    let parts = certificate.subject_name().entries().map(|entry| {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        let value = entry.data().to_string().map(|value| value.escape_debug().to_string());
        format!("{kind}={}", value.unwrap_or_default())
    });
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "a certificate without a subject".into() } else { parts.join(",") }
}
