//! One listener: its sockets, the connections that it accepts, and its end without a dropped request.
//!
//! It has a socket for each thread, and the kernel chooses among them by the client's address and port.
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

use arc_swap::ArcSwap;
use model::served::ListenerKey;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use pingora::{
    protocols::Stream,
    server::{ShutdownWatch, configuration::ServerConf},
};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    edge::Edge, error::Error, guard::Guard, proxy::Proxy, proxy_protocol, snapshot::Snapshot,
    stream::ClientStream, tls::Acceptor, upstream,
};
use crate::{
    engine::front::{Admission, Permit},
    pki::system,
};

/// How long a listener still accepts once nothing is steered to it: handshakes under way come to their end.
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);
/// How long to wait for a free descriptor.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// Idle connections of one listener to members.
const IDLE_MEMBER_CONNECTIONS: usize = 4096;
/// How often one request may be sent, those times included when a kept connection turns out to be closed.
const TRIES: usize = 4;

/// A listener that accepts connections. What it does with them is in its snapshot.
pub struct Listening {
    service: Arc<Service>,
    sockets: Vec<StdListener>,
    state: watch::Sender<bool>,
    /// Who admits its connections, once that is known.
    admission: watch::Sender<Option<Arc<dyn Admission>>>,
    /// Ends when the last connection has.
    connections: mpsc::Receiver<()>,
}

/// Why a connection ends before its first request.
#[derive(Debug, Error)]
enum NotBegun {
    /// There is no PROXY protocol header, or none in time; or no handshake in time.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The client and the listener do not come together in TLS.
    #[error(transparent)]
    Handshake(#[from] Box<pingora::Error>),
}

/// What all connections of a listener share.
struct Service {
    snapshot: Arc<ArcSwap<Snapshot>>,
    tls: Acceptor,
    guard: ArcSwap<Guard<Proxy>>,
    settings: Arc<ServerConf>,
}

/// So many sockets that listen for `key` and are not bound to it: what is steered to one of them arrives at any of them,
/// and nothing else from outside. Who is on this host can reach them by their own port, at a loopback address.
///
/// # Errors
/// The kernel has no socket or port to give.
pub fn open(key: &ListenerKey, count: usize) -> Result<Vec<StdListener>, Error> {
    let cannot = |source: io::Error| Error::Socket { key: *key, source };
    let loopback = match key.vip {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
    };
    let mut address = SocketAddr::new(loopback, 0);
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = open_at(address).map_err(|error| cannot(error.into()))?;
        address = socket.local_addr().map_err(cannot)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn open_at(address: SocketAddr) -> nix::Result<StdListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    // The loopback interface may be down.
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    // What is accepted has this from the start.
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::MAXALLOWABLE)?;
    Ok(socket.into())
}

impl Listening {
    /// Accepts connections from `sockets`, each on the thread of one of the `runtimes`, once somebody admits them: see
    /// [`Self::admit`].
    ///
    /// # Errors
    /// A runtime has no room for the socket.
    pub fn start(runtimes: &[Handle], sockets: Vec<StdListener>, snapshot: Snapshot) -> Result<Self, Error> {
        let key = snapshot.key;
        let service = Arc::new(Service::new(settings(runtimes.len()), snapshot)?);
        let (state, ending) = watch::channel(false);
        let (open, connections) = mpsc::channel(1);
        let (admission, admitting) = watch::channel(None);
        for (socket, runtime) in sockets.iter().zip(runtimes) {
            let _inside = runtime.enter();
            let socket = socket.try_clone().and_then(TcpListener::from_std);
            let listener = socket.map_err(|source| Error::Socket { key, source })?;
            let accepting =
                accept(listener, service.clone(), admitting.clone(), ending.clone(), open.clone());
            runtime.spawn(accepting);
        }
        Ok(Self { service, sockets, state, admission, connections })
    }

    /// Has somebody admit its connections, unless somebody does; `admission` says who.
    pub fn admit(&mut self, admission: impl FnOnce() -> Option<Arc<dyn Admission>>) {
        if self.admission.borrow().is_none() {
            self.admission.send_replace(admission());
        }
    }

    /// One of its sockets, if it has any; what is steered to it reaches all of them.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.sockets.first()?.as_fd())
    }

    /// What new requests go by.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.service.snapshot.load_full()
    }

    /// Has new requests go by this. What Pingora wants to know when a connection of HTTP/2 begins, new connections
    /// go by. Returns what they went by until now.
    pub fn apply(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.apply_shared(Arc::new(snapshot))
    }

    /// The same with a snapshot that was in force before.
    pub fn apply_shared(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        self.service.apply(snapshot)
    }

    /// Ends it: the rest of its handshakes, then the requests under way. Nothing may be steered to it any more.
    /// Returns when the last connection is closed.
    pub async fn end(mut self) {
        sleep(LAST_HANDSHAKES).await;
        let _ = self.state.send(true);
        drop((self.admission, self.sockets));
        let _ = self.connections.recv().await;
    }
}

/// What Pingora needs to know beforehand.
fn settings(threads: usize) -> ServerConf {
    ServerConf {
        threads,
        upstream_keepalive_pool_size: IDLE_MEMBER_CONNECTIONS,
        max_retries: TRIES,
        ca_file: system::file_with_one(),
        ..ServerConf::default()
    }
}

impl Service {
    fn new(settings: ServerConf, snapshot: Snapshot) -> Result<Self, Error> {
        snapshot.edge.is_in_force();
        let settings = Arc::new(settings);
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let current = snapshot.clone();
        let tls = Acceptor::new(move || current.load().tls.clone());
        let tls = tls.map_err(|error| Error::Start(error.into()))?;
        let guard = ArcSwap::from_pointee(guard(&settings, &snapshot));
        Ok(Self { snapshot, tls, guard, settings })
    }

    fn apply(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let fixed = |edge: &Edge| (edge.limits.streams, edge.limits.head_bytes);
        snapshot.edge.is_in_force();
        let before = self.snapshot.swap(snapshot);
        if fixed(&before.edge) != fixed(&self.snapshot.load().edge) {
            self.guard.store(Arc::new(guard(&self.settings, &self.snapshot)));
        }
        before
    }

    /// Serves a connection until it ends, and keeps `held` as long.
    fn serve(
        self: Arc<Self>,
        (socket, client): (TcpStream, SocketAddr),
        ending: ShutdownWatch,
        held: (Permit, mpsc::Sender<()>),
    ) -> impl Future<Output = ()> {
        // With memory of its own, which is free again when requests come: an idle connection has what is left.
        let begun = Box::pin(self.clone().begin(socket, client));
        async move {
            match begun.await {
                Ok(stream) => self.guard.load_full().serve(stream, &ending).await,
                // The fault of the client or of a proxy in front of it: there was no request yet.
                Err(error) => tracing::debug!("no connection: {error}"),
            }
            drop(held);
        }
    }

    /// What comes before the first request: the PROXY protocol's header and TLS.
    async fn begin(self: Arc<Self>, socket: TcpStream, client: SocketAddr) -> Result<Stream, NotBegun> {
        let snapshot = self.snapshot.load_full();
        let mut socket = ClientStream::new(socket, client);
        proxy_protocol::receive(&mut socket, &snapshot.edge).await?;
        Ok(match snapshot.tls {
            Some(_) => timeout(snapshot.edge.timeouts.head, self.tls.accept(socket))
                .await
                .map_err(io::Error::from)??,
            None => Box::new(socket),
        })
    }
}

fn guard(settings: &Arc<ServerConf>, snapshot: &Arc<ArcSwap<Snapshot>>) -> Guard<Proxy> {
    Guard::new(upstream::proxy(settings, Proxy::new(snapshot.clone())), snapshot.clone())
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    mut admitting: watch::Receiver<Option<Arc<dyn Admission>>>,
    mut ending: ShutdownWatch,
    open: mpsc::Sender<()>,
) {
    let admission = admitting.wait_for(Option::is_some).await.map(|admission| admission.clone());
    let Ok(Some(admission)) = admission else { return };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.changed() => break,
        };
        match accepted {
            Ok(accepted) => {
                // Over the limit, it is closed here.
                let Some(permit) = Permit::acquire(&admission) else { continue };
                tokio::spawn(service.clone().serve(accepted, ending.clone(), (permit, open.clone())));
            }
            Err(error) if is_exhausted(&error) => {
                let snapshot = service.snapshot.load();
                let listener = &snapshot.listener.name;
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

    use super::{
        super::fixture::{DEADLINE, Front, Settings},
        *,
    };
    use crate::l7::route::Routes;

    /// In the list of what is set otherwise than by default.
    #[test]
    fn the_proxys_settings_are_as_the_document_says() {
        let document = include_str!("../../../docs/http.md");
        let (here, there) = (settings(1), ServerConf::default());
        let (pool, pools) = (there.upstream_keepalive_pool_size, here.upstream_keepalive_pool_size);
        for row in [
            format!("| `upstream_keepalive_pool_size` | {pool} | {pools} for each thread |"),
            format!("| `max_retries` | {} | {} |", there.max_retries, here.max_retries),
        ] {
            assert!(document.contains(&row), "{row}");
        }
    }

    #[test]
    fn a_connection_too_many_is_closed_and_one_that_ends_makes_room() {
        let front = Front::start(Settings { most: 1, ..Settings::default() });
        let mut first = front.connect();
        first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        first.read_exact(&mut [0; 12]).unwrap();
        let is_closed = |read: io::Result<usize>| match read {
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

    /// Nothing is asked for as if it were encrypted that is not.
    #[test]
    fn a_connection_from_before_the_listener_spoke_tls_ends_with_its_next_request() {
        let front = Front::start(Settings::default());
        let mut client = front.connect();
        let ask = |client: &mut std::net::TcpStream| {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            client.read(&mut [0; 1024]).unwrap_or(0)
        };
        assert!(ask(&mut client) > 0);
        let before = front.listening.snapshot();
        front.listening.apply(Snapshot {
            key: before.key,
            listener: before.listener.clone(),
            http: before.http.clone(),
            edge: Arc::new(Edge { https: true, ..(*before.edge).clone() }),
            tls: None,
            routes: Routes::build(&[], Default::default()).unwrap(),
            pools: before.pools.clone(),
        });
        assert_eq!(ask(&mut client), 0);
        assert_eq!(front.sent().matches("GET ").count(), 1);
    }
}
