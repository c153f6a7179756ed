//! Handshakes with clients.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use openssl::{
    error::ErrorStack,
    ssl::{ClientHelloResponse, NameType, SslAcceptor, SslMethod, SslOptions, SslRef},
};
use pingora::{
    listeners::TlsAccept,
    protocols::{IO, Stream, tls::server::handshake_with_callback},
};

use super::profile::Profile;

/// TLS of one listener, as long as its socket lives: the keys of its tickets stay the same when its profile changes.
pub struct Acceptor {
    acceptor: SslAcceptor,
}

impl Acceptor {
    /// `current` is asked at each ClientHello; with no profile the handshake fails.
    ///
    /// # Errors
    /// OpenSSL's; none is known.
    pub fn new(
        current: impl Fn() -> Option<Arc<Profile>> + Send + Sync + 'static,
    ) -> Result<Self, ErrorStack> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        // The profile decides on versions, and an option would outlast it.
        acceptor.clear_options(SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
        acceptor.set_options(SslOptions::CIPHER_SERVER_PREFERENCE | SslOptions::PRIORITIZE_CHACHA);
        // Otherwise a record takes two reads, one for its length, and a third to see that there is no other.
        acceptor.set_read_ahead(true);
        acceptor.set_client_hello_callback(move |ssl, _| {
            current().ok_or_else(ErrorStack::get)?.apply(ssl)?;
            Ok(ClientHelloResponse::SUCCESS)
        });
        Ok(Self { acceptor: acceptor.build() })
    }

    /// Makes the handshake on a connection that was accepted just now. It takes as long as the client likes.
    ///
    /// # Errors
    /// The client and the listener do not come together, or the client is gone.
    pub async fn accept(&self, connection: impl IO + 'static) -> pingora::Result<Stream> {
        Ok(Box::new(handshake_with_callback(&self.acceptor, connection, &Note).await?))
    }
}

/// The name that a client asked for (SNI), as it wrote it; in the `extension` of a connection's `SslDigest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName(pub String);

/// Notes what the log wants to know of a handshake.
struct Note;

#[async_trait]
impl TlsAccept for Note {
    async fn handshake_complete_callback(&self, ssl: &SslRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let name = ssl.servername(NameType::HOST_NAME)?;
        // Else it is no name of DNS, and could spoil a log's lines.
        name.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Arc::new(ServerName(name.into())) as _)
    }
}
