//! What one version of a listener's TLS settings means to OpenSSL: made once, used by every handshake until the next
//! version.

use std::{fmt, sync::Arc, time::SystemTime};

use model::{
    served::Tls,
    tls::{Authorities, ServerCertificate, Staple},
};
use openssl::{
    error::ErrorStack,
    hash::{MessageDigest, hash},
    ssl::{
        AlpnError, NameType, SniError, SslContext, SslContextBuilder, SslMethod, SslRef, SslVerifyMode,
        select_next_proto,
    },
    x509::{X509, store::X509StoreBuilder, verify::X509VerifyFlags},
};
use thiserror::Error;

use super::{
    names::Names,
    policy::{self, Allowed},
};
use crate::pki::{self, Loaded, PkiError};

/// A listener's settings, ready for handshakes.
pub struct Profile {
    context: SslContext,
    allowed: Allowed,
    verify: SslVerifyMode,
}

/// Why a listener's settings cannot be had; one line when shown.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// A certificate is too weak for the policy.
    #[error("the certificate for {domains} does not go with policy {policy:?}: {weak}")]
    Weak {
        /// What it is for.
        domains: String,
        /// The policy's name.
        policy: &'static str,
        /// What is weak.
        weak: PkiError,
    },
    /// A certificate cannot be read again.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// OpenSSL refuses something else; none is known.
    #[error(transparent)]
    OpenSsl(#[from] ErrorStack),
}

impl Profile {
    /// # Errors
    /// A certificate is too weak for the policy, or OpenSSL refuses something else.
    pub fn new(tls: &Tls) -> Result<Self, ProfileError> {
        let allowed = policy::allowed(tls.policy);
        let mut context = SslContext::builder(SslMethod::tls_server())?;
        context.set_security_level(allowed.level);
        match &tls.ciphers {
            Some(ciphers) => {
                context.set_cipher_list(&ciphers.older())?;
                context.set_ciphersuites(&ciphers.newer())?;
            }
            None => context.set_cipher_list(&allowed.ciphers)?,
        }
        let names = names(tls)?;
        context.set_servername_callback(move |ssl, _| {
            let certificates = names.choose(ssl.servername(NameType::HOST_NAME));
            certificates.iter().try_for_each(|one| one.present(ssl)).map_err(|_| SniError::ALERT_FATAL)
        });
        staple(&mut context, tls)?;
        let protocols: &[u8] = if tls.http2 { b"\x02h2\x08http/1.1" } else { b"\x08http/1.1" };
        context.set_alpn_select_callback(move |_, offered| {
            // Without one in common HTTP/1.1 is spoken: older clients offer names of their own.
            select_next_proto(protocols, offered).ok_or(AlpnError::NOACK)
        });
        let verify = match &tls.client_ca {
            Some(authorities) => {
                trust(&mut context, authorities)?;
                SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT
            }
            None => SslVerifyMode::NONE,
        };
        context.set_session_id_context(&session_id_context(tls.client_ca.as_deref())?)?;
        for certificate in &tls.certificates {
            pki::presentable(certificate, tls.policy).map_err(|weak| ProfileError::Weak {
                domains: format!("{:?}", certificate.domains),
                policy: tls.policy.name(),
                weak,
            })?;
        }
        Ok(Self { context: context.build(), allowed, verify })
    }

    /// Puts a handshake that has just begun under this profile.
    ///
    /// # Errors
    /// OpenSSL's; none is known.
    pub(super) fn apply(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        ssl.set_ssl_context(&self.context)?;
        // These a connection has from the context that it began with.
        ssl.set_min_proto_version(Some(self.allowed.oldest))?;
        ssl.set_max_proto_version(Some(self.allowed.newest))?;
        ssl.set_verify(self.verify);
        Ok(())
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").finish_non_exhaustive()
    }
}

/// Which certificates a client gets. For a name, the first in the list, and behind it the first of each other kind of
/// key: a client that cannot verify the one takes the other.
fn names(tls: &Tls) -> Result<Names<Arc<Loaded>>, PkiError> {
    let mut loaded = Vec::new();
    for certificate in &tls.certificates {
        loaded.push((certificate, Arc::new(Loaded::new(certificate)?)));
    }
    let default = &tls.default_certificate;
    let mut others = Vec::new();
    let twins = |certificate: &ServerCertificate| certificate.domains == default.domains;
    for (_, one) in loaded.iter().filter(|(certificate, _)| *certificate == default) {
        add(&mut others, one);
    }
    for (_, one) in loaded.iter().filter(|(certificate, _)| twins(certificate)) {
        add(&mut others, one);
    }
    let mut names = Names::new(others);
    for (certificate, one) in &loaded {
        for domain in &certificate.domains {
            add(names.place(domain), one);
        }
    }
    Ok(names)
}

fn add(place: &mut Vec<Arc<Loaded>>, one: &Arc<Loaded>) {
    if place.iter().all(|other| other.key().id() != one.key().id()) {
        place.push(Arc::clone(one));
    }
}

/// Has a client that asks for it told what the issuer of the certificate that it gets says of that.
fn staple(context: &mut SslContextBuilder, tls: &Tls) -> Result<(), ErrorStack> {
    let stapled = tls.certificates.iter().filter_map(|one| Some((one.chain.first()?, one.staple.clone()?)));
    let stapled: Vec<(X509, Staple)> =
        stapled.map(|(own, staple)| Ok((X509::from_der(own)?, staple))).collect::<Result<_, ErrorStack>>()?;
    if stapled.is_empty() {
        return Ok(());
    }
    context.set_status_callback(move |ssl| {
        let own = ssl.certificate();
        let mut staples = stapled.iter().filter(|(other, _)| own.is_some_and(|own| *own == **other));
        match staples.find(|(_, staple)| staple.is_current(SystemTime::now())) {
            Some((_, staple)) => ssl.set_ocsp_status(&staple.response).map(|()| true),
            None => Ok(false),
        }
    })?;
    Ok(())
}

/// Clients need a certificate of these authorities.
fn trust(context: &mut SslContextBuilder, authorities: &Authorities) -> Result<(), ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    // An intermediate authority is one too, although its issuer is not among them.
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    for der in &authorities.certificates {
        let authority = X509::from_der(der)?;
        context.add_client_ca(&authority)?;
        store.add_cert(authority)?;
    }
    context.set_verify_cert_store(store.build())?;
    Ok(())
}

/// A session is resumed only where the same authorities are asked for, because who resumes one is not verified again.
/// With verification OpenSSL needs some context; without one, resuming is a fatal error.
fn session_id_context(authorities: Option<&Authorities>) -> Result<Vec<u8>, ErrorStack> {
    let certificates = authorities.map_or(Vec::new(), |authorities| authorities.certificates.concat());
    Ok(hash(MessageDigest::sha256(), &certificates)?.to_vec())
}

#[cfg(test)]
mod tests {
    use model::tls::Ciphers;

    use super::*;

    /// What the model lets be chosen is all known here, and nothing else comes with it.
    #[test]
    fn ciphers_that_can_be_chosen_are_known() {
        let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
        for name in Ciphers::OLDER {
            context.set_cipher_list(name).unwrap();
        }
        context.set_ciphersuites(&Ciphers::NEWER.join(":")).unwrap();
        for policy in model::tls::TlsPolicy::ALL {
            let ciphers = policy::allowed(policy).ciphers;
            assert!(ciphers.split(':').all(|name| Ciphers::OLDER.contains(&name)), "{ciphers}");
        }
    }
}
