//! What a client's connection has carried, and what became of it: [`super::watched`] writes it down, the proxy reads it.

use std::{
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

/// Bytes of a connection so far, above TLS.
#[derive(Debug, Default)]
pub struct Traffic {
    pub(super) read: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) is_lost: AtomicBool,
    pub(super) is_tunnel: AtomicBool,
    pub(super) may_have_trailers: AtomicBool,
    trailers: Mutex<Vec<u8>>,
}

impl Traffic {
    /// Bytes from the client that were given to Pingora.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Bytes to the client.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// From now on it is a tunnel: what the client sends is no request any more, nor what it has sent ahead.
    pub fn switch(&self) {
        self.is_tunnel.store(true, Relaxed);
    }

    /// The answer that is written next may have fields behind it, if it is in chunks.
    pub fn expect_trailers(&self) {
        self.set_trailers(Vec::new());
        self.may_have_trailers.store(true, Relaxed);
    }

    /// Puts these lines behind it.
    pub fn set_trailers(&self, lines: Vec<u8>) {
        *self.trailers.lock().unwrap_or_else(PoisonError::into_inner) = lines;
    }

    pub(super) fn take_trailers(&self) -> Vec<u8> {
        mem::take(&mut self.trailers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nobody can tell where the body ends that the client sends: nothing more of it is given to Pingora.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Relaxed)
    }
}
