//! Reading the TCP segments that come in by an interface, off the wire and before the host's own stack.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    libc::PACKET_OUTGOING,
    net::if_::if_nametoindex,
    sys::{
        socket::{
            AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
};

use crate::{host::Host, segment::Segment, wait::wait_for};

/// How often a listener looks whether it should end.
const TICK: i64 = 50;
/// Room for what comes in while the reader waits for its turn, in bytes.
const BUFFER: usize = 64 << 20;

/// Hands every incoming segment to a function until it is dropped.
#[derive(Debug)]
pub struct Listener {
    ended: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Listener {
    /// Every segment that comes in by `interface` after this call goes to `sink`.
    ///
    /// # Errors
    /// If there is no such interface.
    pub fn new(host: &Host, interface: &str, mut sink: impl FnMut(Segment) + Send + 'static) -> Result<Self> {
        let (socket, index) = host
            .enter(|| open(interface))?
            .with_context(|| format!("cannot capture on {interface} of {}", host.name()))?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let reader = thread::spawn(move || {
            let mut frame = vec![0; 1 << 17];
            while !end.load(Ordering::Relaxed) {
                if let Some(segment) = read(&socket, index, &mut frame) {
                    sink(segment);
                }
            }
        });
        Ok(Self { ended, reader: Some(reader) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            eprintln!("a capture ended early: its reader panicked");
        }
    }
}

fn open(interface: &str) -> io::Result<(OwnedFd, usize)> {
    let index = usize::try_from(if_nametoindex(interface)?).unwrap_or_default();
    let socket =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::EthAll))?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(TICK))?;
    Ok((socket, index))
}

/// The next segment, if the next frame is one and comes in by this interface, and soon.
fn read(socket: &OwnedFd, interface: usize, frame: &mut [u8]) -> Option<Segment> {
    let (length, address) = recvfrom::<LinkAddr>(socket.as_raw_fd(), frame).ok()?;
    let address = address.filter(|address| address.ifindex() == interface)?;
    if address.pkttype() == PACKET_OUTGOING {
        return None;
    }
    Segment::parse(frame.get(..length)?)
}

/// Keeps every incoming segment, for tests to look at.
#[derive(Debug)]
pub struct Capture {
    segments: Arc<Mutex<Vec<Segment>>>,
    _listener: Listener,
}

impl Capture {
    /// The segments that have come in so far.
    pub fn segments(&self) -> Vec<Segment> {
        lock(&self.segments).clone()
    }

    /// Waits until the segments satisfy `condition`, and returns them.
    ///
    /// # Errors
    /// If they do not within `deadline`.
    pub fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&[Segment]) -> bool,
    ) -> Result<Vec<Segment>> {
        wait_for(what, deadline, || condition(&lock(&self.segments)))?;
        Ok(self.segments())
    }
}

impl Host {
    /// Keeps every TCP segment that comes in by `interface` from now on, until the capture is dropped.
    ///
    /// # Errors
    /// If there is no such interface.
    pub fn capture(&self, interface: &str) -> Result<Capture> {
        let segments = Arc::new(Mutex::new(Vec::new()));
        let kept = segments.clone();
        let listener = Listener::new(self, interface, move |segment| lock(&kept).push(segment))?;
        Ok(Capture { segments, _listener: listener })
    }
}

fn lock(segments: &Mutex<Vec<Segment>>) -> MutexGuard<'_, Vec<Segment>> {
    segments.lock().unwrap_or_else(PoisonError::into_inner)
}
