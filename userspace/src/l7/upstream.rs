//! How a member is spoken to: HTTP/1.1 or HTTP/2, with TLS or without, and how long it may take.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use pingora::{
    Result,
    http::RequestHeader,
    protocols::{ALPN, TcpKeepalive},
    upstreams::peer::HttpPeer,
};

use super::snapshot::Pool;
use crate::model::http::HttpTimeouts;

/// How long an unused connection to a member is kept: less than what most servers keep theirs for, so that it is ours
/// to close and no request meets a closed one.
const IDLE: Duration = Duration::from_secs(50);
/// Requests at the same time on one HTTP/2 connection.
const STREAMS: usize = 100;

thread_local! {
    /// Different in each thread. What comes on a connection wakes the thread that made it, so no other one uses it again.
    static THREAD: u64 = {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Relaxed) << 48
    };
}

/// The member as Pingora wants it.
pub fn peer(pool: &Pool, member: SocketAddr, timeouts: &HttpTimeouts) -> HttpPeer {
    let mut peer = HttpPeer::new(member, pool.tls.is_some(), String::new());
    peer.group_key = THREAD.with(|&thread| thread);
    let options = &mut peer.options;
    options.alpn = if pool.http.http2 { ALPN::H2 } else { ALPN::H1 };
    options.max_h2_streams = STREAMS;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.read);
    options.write_timeout = Some(timeouts.write);
    options.idle_timeout = Some(IDLE);
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 3,
        user_timeout: Duration::ZERO,
    });
    if let Some(tls) = &pool.tls {
        tls.apply(&mut peer);
    }
    peer
}

/// Asks for a path, if the client asked for a URL as it would ask a forward proxy.
///
/// # Errors
/// None that is known: the path is part of what the client asked for.
pub fn to_origin(request: &mut RequestHeader) -> Result<()> {
    if matches!(request.raw_path(), [b'/' | b'*', ..]) {
        return Ok(());
    }
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    request.set_raw_path(path.as_bytes())
}

/// Has the connection made anew and not kept, whatever others there are.
pub fn renew(peer: &mut HttpPeer) {
    /// Connections are used again for peers with the same key only.
    static KEY: AtomicU64 = AtomicU64::new(0x6672_6573_6800_0000);
    peer.group_key ^= KEY.fetch_add(1, Relaxed);
    peer.options.idle_timeout = Some(Duration::ZERO);
}
