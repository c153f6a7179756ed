//! Certificates from PEM, and whether they can be used: a server's chain with its key, and authorities.
//!
//! ```text
//! pem    blocks
//!   → key, here   keys and certificates
//!   → here        do they go together?
//! ```

use anyhow::{Result, anyhow, bail};
use openssl::{
    asn1::Asn1Time,
    error::ErrorStack,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{X509, X509Ref, X509VerifyResult},
};

use super::pem;
use crate::model::tls::{Authorities, PrivateKey, ServerCertificate};

/// The certificates of a PEM file, of which there is at least one; private keys beside them are left out.
///
/// # Errors
/// Why the file is not such; one line.
pub fn certificates(file: &[u8]) -> Result<Vec<X509>> {
    let mut certificates = Vec::new();
    for block in pem::blocks(file)? {
        let line = block.line;
        match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                let certificate = X509::from_pem(block.text.as_bytes());
                certificates.push(certificate.map_err(|_| {
                    anyhow!("the certificate on line {line} is damaged; copy it again as it was issued")
                })?);
            }
            "PKCS7" => bail!("PKCS#7 on line {line}; `openssl pkcs7 -print_certs` turns it into PEM"),
            label if label.ends_with("PRIVATE KEY") || label == "EC PARAMETERS" => {}
            other => bail!("a {other} on line {line}; use a CERTIFICATE"),
        }
    }
    if certificates.is_empty() {
        bail!("has no certificate; a block that begins with -----BEGIN CERTIFICATE----- belongs there");
    }
    Ok(certificates)
}

/// A server's certificate: the chain, the server's own first, and the key among `keys` that belongs to it.
///
/// # Errors
/// Why these cannot serve; one line.
pub fn server(name: &str, chain: &[X509], keys: &[PKey<Private>]) -> Result<ServerCertificate> {
    let own = chain.first().ok_or_else(|| anyhow!("has no certificate"))?;
    let Some(key) = keys.iter().find(|key| belongs(own, key)) else {
        return Err(match chain.iter().find(|&other| keys.iter().any(|key| belongs(other, key))) {
            Some(leaf) => wrong_order(&line_up(leaf, chain)),
            None => anyhow!(
                "the private key does not belong to {}; name the key that this certificate was made for",
                subject(own)
            ),
        });
    };
    let order = line_up(own, chain);
    if let Some(stranger) = chain.iter().find(|&one| !order.contains(&one)) {
        bail!(
            "{} did not issue anything in the chain of {}; leave it out, or put what is missing before it",
            subject(stranger),
            subject(own)
        );
    }
    if order.len() < chain.len() {
        bail!("has a certificate twice; leave one of the two out");
    }
    if !order.iter().zip(chain).all(|(&right, given)| right == given) {
        return Err(wrong_order(&order));
    }
    for certificate in chain {
        in_time(certificate)?;
    }
    Ok(ServerCertificate {
        name: name.into(),
        chain: chain.iter().map(|certificate| certificate.to_der()).collect::<Result<_, _>>()?,
        key: PrivateKey::from_pkcs8(key.private_key_to_pkcs8()?),
        domains: domains(own).into_iter().collect(),
        staple: None,
    })
}

/// Authorities from a PEM file.
///
/// # Errors
/// Why it cannot be used; one line.
pub fn authorities(name: &str, file: &[u8]) -> Result<Authorities> {
    if let Some(block) = pem::blocks(file)?.iter().find(|block| block.label.ends_with("PRIVATE KEY")) {
        bail!(
            "has a private key on line {}; keep a CA's key elsewhere, here its certificate is enough",
            block.line
        );
    }
    let certificates = certificates(file)?;
    for certificate in &certificates {
        if !is_authority(certificate)? {
            bail!(
                "{} is not a CA's certificate, so it can issue none; use that of the CA that issued it",
                subject(certificate)
            );
        }
        in_time(certificate)?;
    }
    let certificates = certificates.iter().map(|certificate| certificate.to_der());
    Ok(Authorities { name: name.into(), certificates: certificates.collect::<Result<_, _>>()? })
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

fn wrong_order(right: &[&X509]) -> anyhow::Error {
    let right: Vec<String> = right.iter().map(|certificate| subject(certificate)).collect();
    anyhow!(
        "the chain is in the wrong order; put the server's own certificate first and each issuer after what it \
         issued: {}",
        right.join(", then ")
    )
}

fn belongs(certificate: &X509Ref, key: &PKey<Private>) -> bool {
    certificate.public_key().is_ok_and(|public| public.public_eq(key))
}

fn in_time(certificate: &X509Ref) -> Result<()> {
    let now = Asn1Time::days_from_now(0)?;
    if certificate.not_after() < &*now {
        bail!("{} expired on {}; use a renewed one", subject(certificate), certificate.not_after());
    }
    if certificate.not_before() > &*now {
        bail!(
            "{} is not valid before {}; use one that is, or set this host's clock right",
            subject(certificate),
            certificate.not_before()
        );
    }
    Ok(())
}

/// Whether it may issue certificates. One of version 1 cannot say; the old self-signed ones are authorities by custom.
fn is_authority(certificate: &X509Ref) -> Result<bool> {
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
