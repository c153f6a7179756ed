//! TLS for the HTTP probe, with the pool's own settings: a member whose certificate no request would accept is not well.

use std::{io, pin::Pin, sync::LazyLock};

use model::tls::{MemberTls, MemberTrust};
use openssl::{
    error::ErrorStack,
    ssl::{Ssl, SslContext, SslMethod, SslVerifyMode},
    x509::{X509, store::X509StoreBuilder},
};
use pingora::tls::tokio_ssl::SslStream;
use tokio::net::TcpStream;

use super::{error::ProbeError, failure::Failure};
use crate::pki::system;

/// Trusts the CAs that this host trusts.
static SYSTEM: LazyLock<Result<SslContext, ErrorStack>> =
    LazyLock::new(|| trusting(system::authorities().iter().cloned()));

/// Makes the handshake on a new connection.
///
/// # Errors
/// The member's certificate is not a good one, or it does not speak TLS.
pub(super) async fn connect(
    stream: TcpStream,
    settings: &MemberTls,
) -> Result<SslStream<TcpStream>, ProbeError> {
    let stream = session(settings).and_then(|session| SslStream::new(session, stream));
    let mut stream = stream.map_err(|error| ProbeError::Local(error.into()))?;
    match Pin::new(&mut stream).connect().await.map_err(|error| error.into_io_error()) {
        Ok(()) => Ok(stream),
        Err(Ok(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error.into()),
        Err(_) => Err(Failure::NoTls.into()),
    }
}

fn session(settings: &MemberTls) -> Result<Ssl, ErrorStack> {
    let mut session = match settings.verify() {
        MemberTrust::System => Ssl::new(SYSTEM.as_ref().map_err(Clone::clone)?)?,
        MemberTrust::Authorities(authorities) => {
            let certificates = authorities.certificates.iter().map(|der| X509::from_der(der));
            let context = trusting(certificates.collect::<Result<Vec<_>, _>>()?)?;
            Ssl::new(&context)?
        }
        MemberTrust::Anyone => Ssl::new(&SslContext::builder(SslMethod::tls_client())?.build())?,
    };
    if let Some(name) = settings.server_name() {
        session.set_hostname(name.as_str())?;
        session.param_mut().set_host(name.as_str())?;
    }
    session.set_alpn_protos(b"\x08http/1.1")?;
    Ok(session)
}

fn trusting(authorities: impl IntoIterator<Item = X509>) -> Result<SslContext, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for authority in authorities {
        store.add_cert(authority)?;
    }
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_cert_store(store.build());
    context.set_verify(SslVerifyMode::PEER);
    Ok(context.build())
}
