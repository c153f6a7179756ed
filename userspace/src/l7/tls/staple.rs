//! What a certificate's issuer says of it (OCSP), for handshakes: a response that somebody fetched into a file.

use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use jiff::{civil::DateTime, tz::TimeZone};
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    ocsp::{
        OcspBasicResponse, OcspCertId, OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus, OcspStatus,
    },
    stack::Stack,
    x509::{X509, store::X509StoreBuilder, verify::X509VerifyFlags},
};

use super::certificate::subject;
use crate::model::tls::Staple;

/// Seconds by which this host's clock may be behind the issuer's.
const CLOCKS: u32 = 300;

/// The response in a file, which has to be one for the first certificate of `chain`, by the second.
///
/// # Errors
/// Why it cannot be used; one line. One whose time is over is no error: clients are not given it.
pub fn staple(file: &[u8], chain: &[X509]) -> Result<Staple> {
    let [own, issuer, ..] = chain else {
        bail!(
            "cannot be compared with a certificate without its issuer's; put that into the certificate's file, too"
        );
    };
    let basic = signed(file, chain).inspect_err(|_| forget_errors())?;
    let status = status(&basic, own, issuer)?;
    let Some(status) = status else {
        bail!("is not about {}; fetch the one for this certificate", subject(own));
    };
    match status.status {
        OcspCertStatus::GOOD => {}
        OcspCertStatus::REVOKED => bail!("{} is revoked; use another certificate", subject(own)),
        _ => bail!("the issuer does not know {}; ask it why", subject(own)),
    }
    let until = status.next_update().map(|until| moment(&until.to_string())).transpose()?;
    let is_over = until.is_some_and(|until| until <= SystemTime::now());
    if !is_over && status.check_validity(CLOCKS, None).is_err() {
        forget_errors();
        bail!("is not valid before {}; set this host's clock right", status.this_update);
    }
    Ok(Staple { response: file.to_vec(), until })
}

/// The response if it is one and the issuer, or whom that has told to, has signed it.
fn signed(file: &[u8], chain: &[X509]) -> Result<OcspBasicResponse> {
    let response = OcspResponse::from_der(file)
        .map_err(|_| anyhow!("not an OCSP response in DER, as `openssl ocsp -respout FILE` writes it"))?;
    if response.status() != OcspResponseStatus::SUCCESSFUL {
        bail!("the issuer's server says that it has no answer; fetch it again");
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
        .map_err(|_| anyhow!("is not signed by the issuer of {}", subject(&chain[0])))?;
    Ok(basic)
}

/// What the response says of a certificate. Servers name one by its issuer's hash, of which there are two in use.
fn status<'a>(basic: &'a OcspBasicResponse, own: &X509, issuer: &X509) -> Result<Option<OcspStatus<'a>>> {
    for digest in [MessageDigest::sha1(), MessageDigest::sha256()] {
        let id = OcspCertId::from_cert(digest, own, issuer)?;
        if let Some(status) = basic.find_status(&id) {
            return Ok(Some(status));
        }
    }
    Ok(None)
}

/// A time as OpenSSL prints it; it has no other way to tell.
fn moment(text: &str) -> Result<SystemTime> {
    let moment = DateTime::strptime("%b %d %H:%M:%S %Y GMT", text);
    let moment = moment.and_then(|moment| moment.to_zoned(TimeZone::UTC));
    Ok(moment.with_context(|| format!("{text:?} is no time"))?.into())
}

/// What OpenSSL leaves on the thread's stack of errors the next handshake would find.
fn forget_errors() {
    let _ = ErrorStack::get();
}
