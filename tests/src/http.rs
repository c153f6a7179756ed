//! An HTTP/1.1 backend that answers with its name, the peer address that its socket sees, the TOA option as it came in
//! on the wire, and the `X-Forwarded-For` header if there is one.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, poll};

use crate::{capture::Listener, host::Host, segment::Segment, wait::wait_for};

/// How often a thread looks whether the backend ends, in milliseconds.
const TICK: u8 = 100;
/// How long the capture may lag behind the socket.
const LAG: Duration = Duration::from_millis(500);

/// A backend that runs until it is dropped, on threads of this process.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    _listener: Listener,
}

impl Backend {
    /// Starts one on the host's IPv4 address and this port; 0 takes a free one.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start(host: &Host, port: u16) -> Result<Self> {
        Self::start_on(host, host.address().into(), port)
    }

    /// The same on another address of the host.
    ///
    /// # Errors
    /// If the port is taken or the address is not the host's.
    pub fn start_on(host: &Host, address: IpAddr, port: u16) -> Result<Self> {
        let wire = Wire::default();
        let kept = wire.clone();
        let listener = Listener::new(host, "eth0", move |segment| kept.note(&segment))?;
        let socket = host.enter(|| TcpListener::bind((address, port)))?;
        let socket =
            socket.with_context(|| format!("cannot listen on {}", SocketAddr::new(address, port)))?;
        let address = socket.local_addr()?;
        let (name, ended) = (host.name().to_owned(), Arc::new(AtomicBool::new(false)));
        let end = ended.clone();
        let acceptor = host.enter(|| thread::spawn(move || accept(&socket, &name, &wire, &end)))?;
        Ok(Self { address, ended, acceptor: Some(acceptor), _listener: listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if self.acceptor.take().is_some_and(|acceptor| acceptor.join().is_err()) {
            eprintln!("the backend on {} ended early: it panicked", self.address);
        }
    }
}

/// Every connection gets a thread, which ends with the backend too.
fn accept(socket: &TcpListener, name: &str, wire: &Wire, ended: &AtomicBool) {
    thread::scope(|scope| {
        while !ended.load(Ordering::Relaxed) {
            let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            if !matches!(poll(&mut ready, TICK), Ok(1..)) {
                continue;
            }
            if let Ok((stream, _)) = socket.accept() {
                // A client that breaks off is its own affair.
                scope.spawn(move || serve(&stream, name, wire, ended));
            }
        }
    });
}

/// Answers the requests of one connection, until it closes or asks for that.
fn serve(stream: &TcpStream, name: &str, wire: &Wire, ended: &AtomicBool) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    stream.set_nodelay(true)?;
    let mut requests = BufReader::new(stream);
    while !ended.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        if requests.buffer().is_empty() && poll(&mut ready, TICK)? == 0 {
            continue;
        }
        let Some(request) = Request::read(&mut requests)? else { break };
        let (status, body) = if request.is_get {
            let forwarded =
                request.forwarded.map_or(String::new(), |client| format!("forwarded for: {client}\n"));
            ("200 OK", format!("backend: {name}\npeer: {peer}\ntoa: {}\n{forwarded}", wire.toa(peer)))
        } else {
            ("405 Method Not Allowed", "GET is all there is\n".to_owned())
        };
        let connection = if request.closes { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        let mut answers = stream;
        answers.write_all((head + &body).as_bytes())?;
        if request.closes {
            break;
        }
    }
    wire.forget(peer);
    Ok(())
}

/// What matters of a request; one with a body is not understood, and so the connection closes after it.
struct Request {
    is_get: bool,
    closes: bool,
    /// What `X-Forwarded-For` says.
    forwarded: Option<String>,
}

impl Request {
    /// The next one, or `None` at the end of the connection.
    fn read(connection: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let is_get = line.starts_with("GET ");
        let mut closes = !is_get || line.trim_end().ends_with("HTTP/1.0");
        let mut forwarded = None;
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                return Ok(Some(Self { is_get, closes, forwarded }));
            }
            closes |= header.strip_prefix("connection:").is_some_and(|value| value.trim() == "close");
            forwarded =
                header.strip_prefix("x-forwarded-for:").map(|value| value.trim().to_owned()).or(forwarded);
        }
    }
}

/// What came in on the wire, by the address and port that sent it.
#[derive(Clone, Debug, Default)]
struct Wire(Arc<Mutex<HashMap<SocketAddr, Seen>>>);

#[derive(Debug, Default)]
struct Seen {
    toa: Option<SocketAddr>,
    data: bool,
}

impl Wire {
    fn note(&self, segment: &Segment) {
        let mut connections = self.connections();
        if segment.tcp.syn {
            connections.insert(segment.source, Seen::default());
        }
        if let Some(seen) = connections.get_mut(&segment.source) {
            seen.toa = segment.toa().first().copied().or(seen.toa);
            seen.data |= !segment.payload.is_empty();
        }
    }

    /// The TOA option on the connection whose peer is `peer` for the socket, which is the client if a TOA receiver
    /// runs here: then the wire knows it by its option.
    fn toa(&self, peer: SocketAddr) -> String {
        let mut toa = None;
        // The socket may have been faster than the capture.
        let _ = wait_for("the capture", LAG, || {
            let connections = self.connections();
            let seen = connections.get(&peer);
            let seen = seen.or_else(|| connections.values().find(|seen| seen.toa == Some(peer)));
            toa = seen.and_then(|seen| seen.toa);
            seen.is_some_and(|seen| seen.data)
        });
        toa.map_or_else(|| "none".to_owned(), |client| client.to_string())
    }

    fn forget(&self, peer: SocketAddr) {
        self.connections().retain(|source, seen| *source != peer && seen.toa != Some(peer));
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<SocketAddr, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
