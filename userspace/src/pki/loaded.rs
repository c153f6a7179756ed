//! Certificates of the model as OpenSSL has them, and what can be said of them before the first handshake.

use model::tls::{Authorities, ServerCertificate, TlsPolicy};
use openssl::{
    error::ErrorStack,
    pkey::{PKey, Private},
    ssl::{Ssl, SslContext, SslMethod, SslRef},
    x509::{X509, X509VerifyResult},
};

use super::error::PkiError;

/// A server's certificate, its issuers' and its key.
pub struct Loaded {
    own: X509,
    issuers: Vec<X509>,
    key: PKey<Private>,
}

impl Loaded {
    /// # Errors
    /// OpenSSL's, or there is no certificate; none is known for one that [`super::server`] made.
    pub fn new(certificate: &ServerCertificate) -> Result<Self, PkiError> {
        let mut chain = certificate.chain.iter().map(|der| X509::from_der(der));
        let own = chain.next().ok_or(PkiError::NoCertificate)??;
        let issuers = chain.collect::<Result<_, _>>()?;
        Ok(Self { own, issuers, key: PKey::private_key_from_pkcs8(certificate.key.pkcs8())? })
    }

    /// The key.
    pub fn key(&self) -> &PKey<Private> {
        &self.key
    }

    /// Adds it to those that a handshake may choose from, one for each kind of key.
    ///
    /// # Errors
    /// It is too weak for the handshake's security level.
    pub fn present(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        ssl.set_certificate(&self.own)?;
        ssl.set_private_key(&self.key)?;
        self.issuers.iter().try_for_each(|issuer| ssl.add_chain_cert(issuer.clone()))
    }
}

/// OpenSSL's security level under a policy: 2 refuses keys of less than 112 bits (RSA 2048) and SHA-1 signatures; 1.0
/// and 1.1 work with 0 only, because they sign with SHA-1.
pub const fn security_level(policy: TlsPolicy) -> u32 {
    use TlsPolicy::*;
    match policy {
        Tls10 | Tls11 | Tls10With13 => 0,
        Intermediate | Modern | Tls12 | Tls12Strict | Tls12ForwardSecrecy | Tls12ForwardSecrecyWith13 => 2,
    }
}

/// Whether a handshake under this policy can present a certificate.
///
/// # Errors
/// The certificate, or one of its issuers', is too weak for it.
pub fn presentable(certificate: &ServerCertificate, policy: TlsPolicy) -> Result<(), PkiError> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_security_level(security_level(policy));
    let mut ssl = Ssl::new(&context.build())?;
    Loaded::new(certificate)?.present(&mut ssl).map_err(|errors| {
        let reason = errors.errors().first().and_then(|error| error.reason()).unwrap_or("no reason given");
        PkiError::Weak { reason: reason.into() }
    })
}

/// Authorities that members' certificates are verified with.
///
/// # Errors
/// None of them is a root: Pingora trusts a chain that ends in one only, unlike listeners.
pub fn roots(authorities: &Authorities) -> Result<Box<[X509]>, PkiError> {
    let certificates = authorities.certificates.iter().map(|der| X509::from_der(der));
    let certificates: Box<[X509]> = certificates.collect::<Result<_, _>>()?;
    if !certificates.iter().any(|one| one.issued(one) == X509VerifyResult::OK) {
        return Err(PkiError::NoRoot);
    }
    Ok(certificates)
}
