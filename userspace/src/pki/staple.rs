//! What a certificate's issuer says of it (OCSP), for handshakes: a response that somebody fetched into a file.

use std::time::SystemTime;

use jiff::{civil::DateTime, tz::TimeZone};
use model::tls::Staple;
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    ocsp::{
        OcspBasicResponse, OcspCertId, OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus, OcspStatus,
    },
    stack::Stack,
    x509::{X509, store::X509StoreBuilder, verify::X509VerifyFlags},
};

use super::{certificate::subject, error::PkiError};

/// Seconds by which this host's clock may be behind the issuer's.
const CLOCKS: u32 = 300;

/// The response in a file, which has to be one for the first certificate of `chain`, by the second.
///
/// # Errors
/// Why it cannot be used; one line. One whose time is over is no error: clients are not given it.
pub fn staple(file: &[u8], chain: &[X509]) -> Result<Staple, PkiError> {
    let [own, issuer, ..] = chain else { return Err(PkiError::NoIssuer) };
    let basic = signed(file, chain).inspect_err(|_| forget_errors())?;
    let status =
        status(&basic, own, issuer)?.ok_or_else(|| PkiError::OtherSubject { subject: subject(own) })?;
    match status.status {
        OcspCertStatus::GOOD => {}
        OcspCertStatus::REVOKED => return Err(PkiError::Revoked { subject: subject(own) }),
        _ => return Err(PkiError::Unknown { subject: subject(own) }),
    }
    let until = status.next_update().map(|until| moment(&until.to_string())).transpose()?;
    let is_over = until.is_some_and(|until| until <= SystemTime::now());
    if !is_over && status.check_validity(CLOCKS, None).is_err() {
        forget_errors();
        return Err(PkiError::EarlyResponse { begin: status.this_update.to_string() });
    }
    Ok(Staple { response: file.to_vec(), until })
}

/// The response if it is one and signed by the issuer or by a responder that the issuer names.
fn signed(file: &[u8], chain: &[X509]) -> Result<OcspBasicResponse, PkiError> {
    let response = OcspResponse::from_der(file).map_err(|_| PkiError::NoResponse)?;
    if response.status() != OcspResponseStatus::SUCCESSFUL {
        return Err(PkiError::NoAnswer);
    }
    let basic = response.basic()?;
    let (mut issuers, mut store) = (Stack::new()?, X509StoreBuilder::new()?);
    // An intermediate authority answers for what it issued, although its own issuer is not asked.
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    for issuer in &chain[1..] {
        issuers.push(issuer.clone())?;
        store.add_cert(issuer.clone())?;
    }
    basic
        .verify(&issuers, &store.build(), OcspFlag::empty())
        .map_err(|_| PkiError::OtherSigner { subject: subject(&chain[0]) })?;
    Ok(basic)
}

/// What the response says of a certificate. Servers name one by its issuer's hash, of which there are two in use.
fn status<'a>(
    basic: &'a OcspBasicResponse,
    own: &X509,
    issuer: &X509,
) -> Result<Option<OcspStatus<'a>>, ErrorStack> {
    for digest in [MessageDigest::sha1(), MessageDigest::sha256()] {
        let id = OcspCertId::from_cert(digest, own, issuer)?;
        if let Some(status) = basic.find_status(&id) {
            return Ok(Some(status));
        }
    }
    Ok(None)
}

/// A time as OpenSSL prints it; it has no other way to tell.
fn moment(text: &str) -> Result<SystemTime, PkiError> {
    let moment = DateTime::strptime("%b %d %H:%M:%S %Y GMT", text);
    let moment = moment.and_then(|moment| moment.to_zoned(TimeZone::UTC));
    Ok(moment.map_err(|_| PkiError::NoTime { text: text.into() })?.into())
}

/// What OpenSSL leaves on the thread's stack of errors the next handshake would find.
fn forget_errors() {
    let _ = ErrorStack::get();
}
