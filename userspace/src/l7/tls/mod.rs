//! TLS at HTTPS listeners, and what pools ask of members that speak it.
//!
//! ```text
//! pem, key, certificate   PEM files become a model::tls::ServerCertificate or Authorities, or are refused
//!   → profile   a listener's settings become what OpenSSL needs; policy and names say which ciphers and certificate
//!   → here      handshakes use the newest profile
//! ```
//!
//! `member` is the other side, towards the members.
//!
//! A handshake takes the listener's profile at its ClientHello and keeps it. What changes takes effect with the next
//! handshake; connections and the listening socket know nothing of it. Tickets stay good across changes, except that
//! other client authorities ask everybody for a certificate again.

mod certificate;
mod key;
pub mod member;
mod names;
mod pem;
mod policy;
mod profile;
#[cfg(test)]
pub(crate) mod tests;

use std::{any::Any, sync::Arc};

use anyhow::Result;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use openssl::ssl::{ClientHelloResponse, NameType, SslOptions, SslRef};
use pingora::listeners::{TlsAccept, tls::TlsSettings};

use self::profile::Profile;
pub use self::{
    certificate::{authorities, certificates, server},
    key::private_keys,
};
use crate::model::tls::Tls;

/// TLS of one HTTPS listener: its settings, which may change while it runs.
pub struct ListenerTls {
    profile: Arc<ArcSwap<Profile>>,
}

impl ListenerTls {
    /// # Errors
    /// As [`check`].
    pub fn new(tls: &Tls) -> Result<Self> {
        Ok(Self { profile: Arc::new(ArcSwap::from_pointee(Profile::new(tls)?)) })
    }

    /// Makes these the settings of all handshakes that have not begun yet.
    ///
    /// # Errors
    /// As [`check`]; the settings before stay then.
    pub fn replace(&self, tls: &Tls) -> Result<()> {
        self.profile.store(Arc::new(Profile::new(tls)?));
        Ok(())
    }

    /// For Pingora's listener, once; it follows [`ListenerTls::replace`].
    ///
    /// # Errors
    /// OpenSSL's; none is known.
    pub fn settings(&self) -> Result<TlsSettings> {
        let mut settings = TlsSettings::with_callbacks(Box::new(Remember))?;
        // The profile decides on versions, and an option would outlast it.
        settings.clear_options(SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
        settings.set_options(SslOptions::CIPHER_SERVER_PREFERENCE | SslOptions::PRIORITIZE_CHACHA);
        let profile = Arc::clone(&self.profile);
        settings.set_client_hello_callback(move |ssl, _| {
            profile.load().apply(ssl)?;
            Ok(ClientHelloResponse::SUCCESS)
        });
        Ok(settings)
    }
}

/// Whether a listener can have these settings.
///
/// # Errors
/// A certificate is too weak for the policy, or OpenSSL refuses something else; one line.
pub fn check(tls: &Tls) -> Result<()> {
    Profile::new(tls).map(drop)
}

/// The name that a client asked for (SNI), as it wrote it; in the `extension` of a connection's `SslDigest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName(pub String);

/// Notes what the log wants to know of a handshake.
struct Remember;

#[async_trait]
impl TlsAccept for Remember {
    async fn handshake_complete_callback(&self, ssl: &SslRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let name = ssl.servername(NameType::HOST_NAME)?;
        // Else it is no name of DNS, and could spoil a log's lines.
        name.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Arc::new(ServerName(name.into())) as _)
    }
}
