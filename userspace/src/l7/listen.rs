//! One listener: its socket, the connections that it accepts, and its end without a dropped request.
//!
//! Pingora's own services bind their sockets, keep 87 KB for an idle connection and cannot be told apart from their
//! connections when they end, so the loop that accepts is ours and what happens on a connection is Pingora's.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use pingora::{
    protocols::Stream,
    proxy::http_proxy,
    server::{ShutdownWatch, configuration::ServerConf},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    edge::Edge, guard::Guard, proxy::Proxy, proxy_protocol, snapshot::Snapshot, stream::ClientStream,
    tls::Acceptor,
};
use crate::{
    dataplane::seats::{Seat, Seats},
    model::ListenerKey,
};

/// How long a listener still accepts once nothing is steered to it: handshakes under way come to their end.
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);
/// How long to wait for a free descriptor.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// Idle connections to members, in all.
const IDLE_MEMBER_CONNECTIONS: usize = 4096;
/// How many members one request may be sent to.
const TRIES: usize = 4;

/// A listener that accepts connections. What it does with them is in its snapshot.
pub struct Listening {
    service: Arc<Service>,
    socket: StdListener,
    state: watch::Sender<bool>,
    /// For its places; nothing once it has them.
    seats: Option<oneshot::Sender<Seats>>,
    /// Ends when the last connection has.
    connections: mpsc::Receiver<()>,
}

/// What all connections of a listener share.
struct Service {
    snapshot: Arc<ArcSwap<Snapshot>>,
    tls: Acceptor,
    guard: ArcSwap<Guard<Proxy>>,
    settings: Arc<ServerConf>,
}

/// A socket that listens for `key` and is not bound to it: only what is steered to it arrives there.
///
/// # Errors
/// The kernel has no socket or port to give.
pub fn open(key: &ListenerKey) -> Result<StdListener> {
    let (family, address) = match key.vip {
        IpAddr::V4(_) => (AddressFamily::Inet, IpAddr::from(Ipv4Addr::LOCALHOST)),
        IpAddr::V6(_) => (AddressFamily::Inet6, IpAddr::from(Ipv6Addr::LOCALHOST)),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let made = socket(family, SockType::Stream, flags, None).and_then(|socket| {
        // The loopback interface may be down.
        setsockopt(&socket, sockopt::IpFreebind, &true)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(address, 0)))?;
        listen(&socket, Backlog::MAXALLOWABLE)?;
        Ok(socket)
    });
    Ok(made.with_context(|| format!("no socket for {} {}", key.vip, key.port))?.into())
}

impl Listening {
    /// Accepts connections from `socket`, on the threads of `runtime`, once it has places for them: see [`Self::seat`].
    ///
    /// # Errors
    /// The runtime has no room for the socket.
    pub fn start(runtime: &Handle, socket: StdListener, snapshot: Snapshot) -> Result<Self> {
        let service = Arc::new(Service::new(settings(runtime), snapshot)?);
        let (state, ending) = watch::channel(false);
        let (open, connections) = mpsc::channel(1);
        let (seats, places) = oneshot::channel();
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(socket.try_clone()?)?;
        runtime.spawn(accept(listener, service.clone(), places, ending, open));
        Ok(Self { service, socket, state, seats: Some(seats), connections })
    }

    /// Gives it places for its connections, unless it has some; `seats` says which.
    pub fn seat(&mut self, seats: impl FnOnce() -> Option<Seats>) {
        if self.seats.is_some()
            && let Some(seats) = seats()
            && let Some(waiting) = self.seats.take()
        {
            // If nobody waits, it has ended.
            let _ = waiting.send(seats);
        }
    }

    /// The socket, to be steered to.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What new requests go by.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.service.snapshot.load_full()
    }

    /// Has new requests go by this. What Pingora wants to know when a connection of HTTP/2 begins, new connections
    /// go by.
    pub fn follow(&self, snapshot: Snapshot) {
        self.service.follow(snapshot);
    }

    /// Ends it: the rest of its handshakes, then the requests under way. Nothing may be steered to it any more.
    /// Returns when the last connection is closed.
    pub async fn end(mut self) {
        sleep(LAST_HANDSHAKES).await;
        let _ = self.state.send(true);
        drop((self.seats, self.socket));
        let _ = self.connections.recv().await;
    }
}

/// What Pingora needs to know beforehand.
fn settings(runtime: &Handle) -> ServerConf {
    ServerConf {
        threads: runtime.metrics().num_workers(),
        upstream_keepalive_pool_size: IDLE_MEMBER_CONNECTIONS,
        max_retries: TRIES,
        ..ServerConf::default()
    }
}

impl Service {
    fn new(settings: ServerConf, snapshot: Snapshot) -> Result<Self> {
        let settings = Arc::new(settings);
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let current = snapshot.clone();
        let tls = Acceptor::new(move || current.load().tls.clone())?;
        let guard = ArcSwap::from_pointee(guard(&settings, &snapshot));
        Ok(Self { snapshot, tls, guard, settings })
    }

    fn follow(&self, snapshot: Snapshot) {
        let fixed = |edge: &Edge| (edge.limits.streams, edge.limits.head_bytes, edge.idle);
        let before = self.snapshot.swap(Arc::new(snapshot));
        if fixed(&before.edge) != fixed(&self.snapshot.load().edge) {
            self.guard.store(Arc::new(guard(&self.settings, &self.snapshot)));
        }
    }

    /// Serves a connection until it ends.
    ///
    /// # Errors
    /// The client's, or that of whoever is in front of it: there was no request yet.
    async fn serve(&self, socket: TcpStream, ending: &ShutdownWatch) -> Result<()> {
        // Only makes it slower if it fails.
        let _ = socket.set_nodelay(true);
        let snapshot = self.snapshot.load_full();
        let mut socket = ClientStream::new(socket);
        proxy_protocol::receive(&mut socket, &snapshot.edge).await?;
        let stream: Stream = match snapshot.tls {
            Some(_) => timeout(snapshot.edge.head, self.tls.accept(socket)).await??,
            None => Box::new(socket),
        };
        drop(snapshot);
        self.guard.load_full().serve(stream, ending).await;
        Ok(())
    }
}

fn guard(settings: &Arc<ServerConf>, snapshot: &Arc<ArcSwap<Snapshot>>) -> Guard<Proxy> {
    Guard::new(http_proxy(settings, Proxy::new(snapshot.clone())), snapshot.clone())
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    places: oneshot::Receiver<Seats>,
    mut ending: ShutdownWatch,
    open: mpsc::Sender<()>,
) {
    let Ok(seats) = places.await else { return };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.changed() => break,
        };
        match accepted {
            Ok((socket, _)) => {
                // Over the limit, it is closed here.
                let Some(seat) = seats.take() else { continue };
                let (service, ending, open) = (service.clone(), ending.clone(), open.clone());
                tokio::spawn(async move {
                    if let Err(error) = service.serve(socket, &ending).await {
                        tracing::debug!("no connection: {error:#}");
                    }
                    drop::<(Seat, _)>((seat, open));
                });
            }
            Err(error) if is_exhausted(&error) => {
                let listener = &service.snapshot.load().listener.name;
                tracing::warn!("no connection to {listener} can be accepted: {error}");
                sleep(EXHAUSTED).await;
            }
            // The client was gone again before it was accepted.
            Err(_) => {}
        }
    }
    service.guard.load().cleanup().await;
}

fn is_exhausted(error: &io::Error) -> bool {
    let errors = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|number| errors.contains(&number))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read, Write},
        time::Instant,
    };

    use super::super::fixture::{DEADLINE, Front, Settings};

    #[test]
    fn a_connection_too_many_is_closed_and_one_that_ends_makes_room() {
        let front = Front::start(Settings { most: 1, ..Settings::default() });
        let mut first = front.connect();
        first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        first.read_exact(&mut [0; 12]).unwrap();
        let is_closed = |read: std::io::Result<usize>| match read {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        assert!(is_closed(front.connect().read(&mut [0; 1])));
        assert!(is_closed(front.connect().read(&mut [0; 1])));
        drop(first);
        let served = || {
            let mut next = front.connect();
            let asked = next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            asked.and_then(|()| next.read_exact(&mut [0; 12])).is_ok()
        };
        let end = Instant::now() + DEADLINE;
        while !served() {
            assert!(Instant::now() < end, "no room");
        }
    }
}
