//! The sockets that the API listens on, and the thread that serves them: not one of those that carry traffic.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router, extract::DefaultBodyLimit};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use model::control::Listen;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::spawn_blocking,
    time::{interval, timeout},
};

use super::{
    handlers::Source,
    routes::{MOST, routes},
    shared::Shared,
    trace::milliseconds,
};

/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last, requests and pauses together: clients make a new one.
const CONNECTION: Duration = Duration::from_mins(5);
/// How long traces are kept (OTC guide, section 9.2).
const TRACES: Duration = Duration::from_hours(7 * 24);
/// How often older ones are removed.
const TIDY: Duration = Duration::from_hours(1);
/// How many connections there may be at once; more have to wait for one to end.
const CONNECTIONS: usize = 256;

/// A socket that listens.
pub struct Bound(Socket);

enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Bound {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken, or the directory of the socket is not there.
    pub fn new(listen: &Listen) -> io::Result<Self> {
        Ok(Self(match listen {
            Listen::Loopback(address) => {
                let socket = std::net::TcpListener::bind(address)?;
                socket.set_nonblocking(true)?;
                Socket::Tcp(socket)
            }
            Listen::Unix(path) => {
                // A socket that an earlier process left; nothing else is removed.
                if fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket()) {
                    fs::remove_file(path)?;
                }
                let socket = std::os::unix::net::UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
                socket.set_nonblocking(true)?;
                Socket::Unix(socket)
            }
        }))
    }

    /// Serves until the process ends, on a thread of its own.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn serve(self, shared: Arc<Shared>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("api".into());
        thread.spawn(move || runtime.block_on(self.accept(shared))).map(drop)
    }

    async fn accept(self, shared: Arc<Shared>) {
        tokio::spawn(tidy(shared.clone()));
        let router = routes(shared).layer(DefaultBodyLimit::max(MOST));
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        match self.0 {
            Socket::Tcp(socket) => {
                let Ok(socket) = TcpListener::from_std(socket) else { return };
                loop {
                    let Ok(permit) = connections.clone().acquire_owned().await else { return };
                    let Ok((stream, peer)) = socket.accept().await else { continue };
                    let _ = stream.set_nodelay(true);
                    serve(stream, router.clone(), Source(peer.ip().to_string()), permit);
                }
            }
            Socket::Unix(socket) => {
                let Ok(socket) = UnixListener::from_std(socket) else { return };
                loop {
                    let Ok(permit) = connections.clone().acquire_owned().await else { return };
                    let Ok((stream, _)) = socket.accept().await else { continue };
                    serve(stream, router.clone(), Source("local".into()), permit);
                }
            }
        }
    }
}

/// Removes traces that are too old, now and then.
async fn tidy(shared: Arc<Shared>) {
    let mut turns = interval(TIDY);
    loop {
        turns.tick().await;
        let before = milliseconds().saturating_sub(TRACES.as_millis() as u64);
        let shared = shared.clone();
        let forgotten = spawn_blocking(move || shared.with_store(|store| store.forget_traces(before))).await;
        if let Ok(Err(error)) = forgotten {
            tracing::warn!("old traces cannot be removed: {error}");
        }
    }
}

/// Serves one connection.
fn serve<T: Send + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    source: Source,
    permit: T,
) {
    let service = TowerToHyperService::new(router.layer(Extension(source)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 * 1024);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::spawn(async move {
        // What goes wrong with a connection is the client's to notice.
        let _ = timeout(CONNECTION, connection).await;
        drop(permit);
    });
}
