//! How a member is spoken to: HTTP/1.1 or HTTP/2, with TLS or without, and how long it may take.
//!
//! ```text
//! connector  has Pingora speak HTTP/1 on connections of ours
//!   → connection what passes on one of them
//!     → answer   how far a member's answer goes
//!     → pages    buffers that wait have no memory
//! ```

mod answer;
mod connection;
mod connector;
mod pages;

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::header::HOST;
use pingora::{
    Error, ErrorType, OrErr, Result,
    http::RequestHeader,
    protocols::{
        ALPN, TcpKeepalive,
        l4::{ext::set_tcp_keepalive, socket::SocketAddr as PingoraAddr},
    },
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

pub use self::{
    connection::Link,
    connector::{HttpProxy, proxy},
};
use super::{
    edge::{Edge, Timeouts},
    pick::{BeforeConnect, Picked},
    pools::Pool,
    target,
};

/// How long an unused connection to a member is kept: less than what most servers keep theirs for, so that it is ours
/// to close and no request meets a closed one.
const IDLE: Duration = Duration::from_secs(50);
/// The same if it can be used for one client's connection only, since it began with that one's PROXY protocol header.
const IDLE_OF_ONE_CLIENT: Duration = Duration::from_secs(5);
/// Requests at the same time on one HTTP/2 connection.
const STREAMS: usize = 100;
/// What of one answer may wait for its client, in bytes, on such a connection, which has room for all of them: a client
/// that does not read its answer keeps back nobody else's.
const WINDOW: u32 = 64 * 1024;
/// When a member on whose connection nothing moves is asked whether it is still there: it is given up after 90 s.
const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_mins(1),
    interval: Duration::from_secs(10),
    count: 3,
    user_timeout: Duration::ZERO,
};

/// In the key of connections that are reset when their member goes down.
const RESET_ON_DOWN: u64 = 1 << 47;

thread_local! {
    /// Different in each thread. What comes on a connection wakes the thread that made it, so no other one uses it again.
    static THREAD: u64 = {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Relaxed) << 48
    };
}

/// The member as Pingora wants it.
pub fn peer(pool: &Pool, picked: &Picked, timeouts: &Timeouts) -> HttpPeer {
    let mut peer = HttpPeer::new(picked.member, pool.tls.is_some(), String::new());
    peer.group_key = THREAD.with(|&thread| thread);
    if let Some(before) = picked.connection.before_connect() {
        before.demand(&mut peer);
        // Those for which that was not done are not used.
        peer.group_key ^= RESET_ON_DOWN;
    }
    let options = &mut peer.options;
    // Of HTTP/1 it is the connection that ends when nothing moves.
    (options.alpn, options.read_timeout) = match pool.http.member.http2 {
        true => (ALPN::H2, Some(timeouts.read)),
        false => (connector::protocol(), None),
    };
    options.max_h2_streams = STREAMS;
    options.h2_stream_window_size = Some(WINDOW);
    options.h2_connection_window_size = Some(STREAMS as u32 * WINDOW);
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.write_timeout = Some(timeouts.write);
    options.idle_timeout =
        Some(if pool.http.member.proxy_protocol.is_some() { IDLE_OF_ONE_CLIENT } else { IDLE });
    // `tunnel` has its own.
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    options.tcp_keepalive = Some(KEEPALIVE);
    if let Some(tls) = &pool.tls {
        tls.apply(&mut peer);
    }
    peer
}

/// Makes a connection to a member for which Pingora's own way will not do, with `first` as its first bytes; `patience` is
/// for both.
///
/// # Errors
/// There is no connection in that time; the error's type says why not.
pub async fn connect(
    member: &PingoraAddr,
    before: &BeforeConnect,
    first: &[u8],
    patience: Duration,
) -> Result<TcpStream> {
    let address = *member.as_inet().ok_or_else(|| Error::new(ErrorType::ConnectError))?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.or_err(ErrorType::InternalError, "no socket")?;
    before.act(&socket)?;
    let connected = async {
        let mut stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(first).await?;
        io::Result::Ok(stream)
    };
    let connected = timeout(patience, connected).await;
    let connected = connected.or_err_with(ErrorType::ConnectTimedout, || format!("to {address}"))?;
    let stream = connected.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
            _ => ErrorType::ConnectError,
        };
        Error::because(kind, format!("to {address}"), error)
    })?;
    set_tcp_keepalive(&stream, &KEEPALIVE)?;
    Ok(stream)
}

/// Asks for a path of a host, even if the client asked for a URL as it would ask a forward proxy, or named no host: then
/// it meant the address that it came to.
///
/// # Errors
/// None that is known: path and host are part of what the client asked for.
pub fn to_origin(request: &mut RequestHeader, edge: &Edge) -> Result<()> {
    if request.uri.authority().is_none() && !request.headers.contains_key(HOST) {
        let host = target::authority(request).map(<[u8]>::to_vec);
        request.insert_header(HOST, host.unwrap_or_else(|| edge.host().into()))?;
    }
    if !matches!(request.raw_path(), [b'/' | b'*', ..]) {
        let path = target::path(request).into_owned();
        request.set_raw_path(&path)?;
    }
    Ok(())
}

/// Has the connection made anew and not kept, whatever others there are.
pub fn renew(peer: &mut HttpPeer) {
    /// Connections are used again for peers with the same key only.
    static KEY: AtomicU64 = AtomicU64::new(0x6672_6573_6800_0000);
    peer.group_key ^= KEY.fetch_add(1, Relaxed);
    peer.options.idle_timeout = Some(Duration::ZERO);
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::HeaderMap;
    use model::{
        edge::ProxyVersion,
        http::MemberHttp,
        object::PoolId,
        served::{self, HttpPool, Member},
        value::Weight,
    };
    use nix::sys::socket::{getsockopt, sockopt};
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;
    use crate::l7::pick::{self, secret::Secret};

    /// In the list of what is set otherwise than by default.
    #[test]
    fn peers_are_as_the_document_says() {
        let document = include_str!("../../../../docs/http.md");
        let says = |row: String| assert!(document.contains(&row), "{row}");
        let at = "192.0.2.1:80".parse().unwrap();
        let peer_of = |http2, proxy_protocol| peer_to(at, http2, proxy_protocol);
        for http2 in [false, true] {
            let [plain, proxied] =
                [None, Some(ProxyVersion::V1)].map(|version| peer_of(http2, version).options);
            assert_eq!(plain.write_timeout, Some(Timeouts::default().write));
            let idle = [plain.idle_timeout, proxied.idle_timeout].map(|time| time.unwrap().as_secs());
            says(format!("| `idle_timeout` | none | {} s; {} s with PROXY protocol |", idle[0], idle[1]));
            says(format!("| `max_h2_streams` | 1 | {} |", plain.max_h2_streams));
            let (stream, all) =
                (plain.h2_stream_window_size.unwrap(), plain.h2_connection_window_size.unwrap());
            says(format!("| 8 MiB for both | {} KB, and {} times that |", stream / 1024, all / stream));
            let keepalive = plain.tcp_keepalive.unwrap();
            let (idle, every) = (keepalive.idle.as_secs(), keepalive.interval.as_secs());
            says(format!("| none | after {idle} s, {} times in {every} s |", keepalive.count));
        }
        let here = peer_of(false, None).group_key;
        assert_eq!(here, peer_of(false, None).group_key);
        let there = std::thread::spawn(move || peer_to(at, false, None).group_key).join().unwrap();
        assert_ne!(here, there, "each thread has its own");
    }

    /// The peer for the only member of a pool.
    fn peer_to(member: SocketAddr, http2: bool, proxy_protocol: Option<ProxyVersion>) -> HttpPeer {
        let there = Member { weight: Weight::literal(1), backup: false, checked_at: member };
        let http = HttpPool {
            member: MemberHttp { http2, proxy_protocol, ..MemberHttp::default() },
            ..HttpPool::default()
        };
        let settings = served::Pool {
            members: [(member, there)].into(),
            http: Some(http.clone()),
            ..served::Pool::default()
        };
        let secret = Secret::from_bytes(b"a secret for tests, 32 bytes or more").unwrap();
        let pool = Pool::new(PoolId::of_names(&["a"]), &settings.into(), &http, &secret, None).unwrap();
        let request = pick::Request { client: member.ip(), headers: &HeaderMap::new(), is_https: false };
        let picked = pool.balancer.pick(&request, &[], pick::Now::read()).unwrap();
        peer(&pool, &picked, &Timeouts::default())
    }

    /// Pingora sets nothing on a tunnel's connection, and what is not sent anything never fails.
    #[tokio::test]
    async fn a_connection_of_ours_notices_when_its_member_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let member = listener.local_addr().unwrap().into();
        let stream =
            connect(&member, &BeforeConnect::default(), b"hello", Duration::from_secs(20)).await.unwrap();
        assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap() && stream.nodelay().unwrap());
        assert_eq!(getsockopt(&stream, sockopt::TcpKeepIdle).unwrap(), 60);
        let mut first = [0; 5];
        listener.accept().await.unwrap().0.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"hello");
        drop(listener);
        let refused =
            connect(&member, &BeforeConnect::default(), b"", Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(*refused.etype(), ErrorType::ConnectRefused);
    }
}
