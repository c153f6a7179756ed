//! Has Pingora speak HTTP/1 to members on connections of ours, for which it has a place only where connections of
//! another protocol would be made: a peer that asks for [`protocol`] gets one.
#![allow(unsafe_code, reason = "takes a proxy out of the service that alone makes one with a connector")]

use std::{
    mem::ManuallyDrop,
    ptr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use pingora::{
    ErrorType, OrErr, Result,
    connectors::{
        ConnectorOptions, TransportConnector,
        http::custom::{self, Connection as Made},
    },
    protocols::{ALPN, tls::CustomALPN},
    proxy::{ProcessCustomSession, ProxyHttp, ProxyServiceBuilder},
    server::configuration::ServerConf,
    upstreams::peer::Peer,
};

use super::connection::Connection;

/// A proxy that speaks HTTP/1 so.
pub type HttpProxy<P> = pingora::proxy::HttpProxy<P, Connector>;

/// What a peer asks for to be spoken to so. It is not said to the member.
pub(super) fn protocol() -> ALPN {
    static PROTOCOL: LazyLock<ALPN> = LazyLock::new(|| ALPN::Custom(CustomALPN::new(b"evenkeel".into())));
    PROTOCOL.clone()
}

/// See the module.
pub struct Connector(TransportConnector);

/// A proxy with these settings.
pub fn proxy<P>(settings: &Arc<ServerConf>, inner: P) -> HttpProxy<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync + 'static,
{
    let options = ConnectorOptions::from_server_conf(settings);
    let connector = Connector(TransportConnector::new(Some(options)));
    // No client is offered another protocol.
    let never: ProcessCustomSession<P, Connector> = Arc::new(|_, _, _| Box::pin(async { None }));
    let builder = ProxyServiceBuilder::new(settings, inner).name("").custom(connector, never);
    let mut service = ManuallyDrop::new(builder.build());
    let Some(proxy) = service.app_logic_mut() else { unreachable!("a service that has not begun has it") };
    // SAFETY: the service is never used again nor dropped, so this is the only one. All else in it is an empty name and an
    // empty list of addresses, which have no memory.
    unsafe { ptr::read(proxy) }
}

#[async_trait]
impl custom::Connector for Connector {
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(&self, peer: &P) -> Result<(Made<()>, bool)> {
        let mut peer = peer.clone();
        if let Some(options) = peer.get_mut_peer_options() {
            options.alpn = ALPN::H1;
        }
        let stream = self.0.new_stream(&peer).await?;
        let connection = Connection::new(stream).or_err(ErrorType::InternalError, "no connection")?;
        Ok((Made::Stream(Box::new(connection)), false))
    }

    /// None: Pingora keeps what it speaks HTTP/1 on.
    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        _session: (),
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
    }
}
