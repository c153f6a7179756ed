//! The sockets of a pool's connections to one member, so that they can be reset when it goes down.
#![allow(unsafe_code, reason = "resets a TCP connection: connect(2) to AF_UNSPEC, which no library offers")]

use std::{
    fmt, io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
};

use pingora::{Error, ErrorType, Result, protocols::SocketDigest, upstreams::peer::HttpPeer};
use tokio::net::TcpSocket;

type Act = dyn Fn(&TcpSocket) -> Result<()> + Send + Sync;

/// What is done with each socket before it is connected to a member.
#[derive(Clone, Default)]
pub struct BeforeConnect(Option<Arc<Act>>);

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Sockets(Arc<State>);

#[derive(Default)]
struct State {
    /// How often all were reset.
    resets: AtomicU32,
    is_down: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    sockets: Vec<Socket>,
    /// When there are so many, those that are closed are forgotten.
    room: usize,
}

/// A socket that was opened. It may be closed by now, and its number another one's.
#[derive(Clone, Copy)]
struct Socket {
    fd: RawFd,
    /// The kernel gives no two sockets the same.
    cookie: u64,
}

impl BeforeConnect {
    /// What connections to `peer` have done, however they are made.
    pub fn of(peer: &HttpPeer) -> Self {
        Self(peer.options.upstream_tcp_sock_tweak_hook.clone())
    }

    /// Has it done with connections to `peer`.
    pub fn demand(&self, peer: &mut HttpPeer) {
        peer.options.upstream_tcp_sock_tweak_hook.clone_from(&self.0);
    }

    /// Does it.
    ///
    /// # Errors
    /// The socket shall not connect.
    pub fn act(&self, socket: &TcpSocket) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |act| act(socket))
    }
}

impl fmt::Debug for BeforeConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BeforeConnect").field(&self.0.is_some()).finish()
    }
}

impl Sockets {
    /// Has a socket known before it connects. While the member is down, none does.
    pub(super) fn before_connect(&self) -> BeforeConnect {
        let state = self.0.clone();
        BeforeConnect(Some(Arc::new(move |socket: &TcpSocket| state.hold(socket.as_raw_fd()))))
    }

    /// How often all were reset so far.
    pub(super) fn resets(&self) -> u32 {
        self.0.resets.load(SeqCst)
    }

    /// Whether none connects.
    pub(super) fn is_down(&self) -> bool {
        self.0.is_down.load(SeqCst)
    }

    /// Says whether the member is down. If it is and was not, all are reset.
    pub(super) fn note(&self, is_down: bool) {
        if self.0.is_down.swap(is_down, SeqCst) || !is_down {
            return;
        }
        self.0.resets.fetch_add(1, SeqCst);
        let sockets = mem::take(&mut self.0.lock().sockets);
        sockets.into_iter().for_each(Socket::reset);
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").field("is_down", &self.is_down()).finish_non_exhaustive()
    }
}

impl State {
    fn hold(&self, fd: RawFd) -> Result<()> {
        let mut known = self.lock();
        if self.is_down.load(SeqCst) {
            return Error::e_explain(ErrorType::ConnectError, "the member is down");
        }
        if known.sockets.len() >= known.room {
            known.sockets.retain(Socket::is_open);
            known.room = (2 * known.sockets.len()).max(16);
        }
        known.sockets.extend(cookie(fd).map(|cookie| Socket { fd, cookie }));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    fn is_open(&self) -> bool {
        cookie(self.fd) == Some(self.cookie)
    }

    /// Has both ends fail with "connection reset", whatever they wait for (connect(2), RFC 9293 section 3.10.5).
    fn reset(self) {
        if !self.is_open() {
            return;
        }
        // A number of our own, which nobody else closes. Is it that socket?
        // SAFETY: `dup` returns -1 or a number that is nobody's.
        let own = match unsafe { libc::dup(self.fd) } {
            -1 => return,
            fd => unsafe { OwnedFd::from_raw_fd(fd) },
        };
        if cookie(own.as_raw_fd()) != Some(self.cookie) {
            return;
        }
        let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
        // SAFETY: the address is as long as said and outlives the call.
        let done =
            unsafe { libc::connect(own.as_raw_fd(), &raw const nowhere, size_of_val(&nowhere) as u32) };
        if done != 0 {
            let error = io::Error::last_os_error();
            tracing::warn!("a connection to a member that is down is not reset: {error}");
        }
    }
}

/// A socket's cookie; none if that is no socket's number.
fn cookie(fd: RawFd) -> Option<u64> {
    SocketDigest::from_raw_fd(fd).socket_cookie().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn both_ends_are_reset_and_only_those_that_are_known_and_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = || {
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (near, listener.accept().unwrap().0)
        };
        let (sockets, mut known, mut other) = (Sockets::default(), pair(), pair());
        for _ in 0..100 {
            sockets.0.hold(pair().0.as_raw_fd()).unwrap();
        }
        assert!(sockets.0.lock().sockets.len() < 32, "closed ones are forgotten");
        sockets.0.hold(known.0.as_raw_fd()).unwrap();
        // The number of a socket that is closed, which another one may have.
        sockets.0.lock().sockets.push(Socket { fd: other.0.as_raw_fd(), cookie: 1 });

        sockets.note(true);
        assert_eq!(known.0.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(known.1.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        other.0.set_nonblocking(true).unwrap();
        assert_eq!(other.0.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(sockets.0.hold(other.0.as_raw_fd()).is_err());
        sockets.note(true);
        assert_eq!(sockets.resets(), 1);
        sockets.note(false);
        sockets.0.hold(other.0.as_raw_fd()).unwrap();
    }
}
