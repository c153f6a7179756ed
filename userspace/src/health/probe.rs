//! One probe: a question to one address, which has ended when its time is up, whatever the other end does.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    check::{Health, Probe},
    failure::Failure,
    http, udp,
};

/// Why a probe was not good.
#[derive(Debug)]
pub enum ProbeError {
    /// The member's fault.
    Failed(Failure),
    /// This host's: the probe could not be made and says nothing about the member.
    Local(io::Error),
}

/// Asks `address` once. The port of `health` is not looked at.
///
/// # Errors
/// It is not well, or could not be asked.
pub async fn probe(address: SocketAddr, health: &Health) -> Result<(), ProbeError> {
    let deadline = Instant::now() + health.timeout;
    let answer = async {
        match &health.probe {
            Probe::Tcp => TcpStream::connect(address).await.map(drop).map_err(ProbeError::from),
            Probe::Http(get) => http::ask(address, get).await,
            Probe::Udp => udp::ask(address, deadline).await,
        }
    };
    timeout_at(deadline, answer).await.unwrap_or(Err(Failure::Timeout.into()))
}

impl From<Failure> for ProbeError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for ProbeError {
    /// What the kernel says of a connection is about the member if it came, or could have come, from there.
    fn from(error: io::Error) -> Self {
        Self::Failed(match error.kind() {
            ErrorKind::ConnectionRefused => Failure::Refused,
            ErrorKind::TimedOut => Failure::Timeout,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Failure::Reset
            }
            ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::PermissionDenied => Failure::Unreachable,
            _ => return Self::Local(error),
        })
    }
}
