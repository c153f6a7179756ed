//! One probe: a question to one address, which has ended when its time is up, whatever the other end does.

use std::net::SocketAddr;

use model::health::{Check, Probe};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{error::ProbeError, failure::Failure, http, udp};

/// Asks `address` once. The port of `check` is not looked at.
///
/// # Errors
/// It is not well, or could not be asked.
pub async fn probe(address: SocketAddr, check: &Check) -> Result<(), ProbeError> {
    let deadline = Instant::now() + check.pace.timeout().duration();
    let answer = async {
        match &check.probe {
            Probe::Tcp => TcpStream::connect(address).await.map(drop).map_err(ProbeError::from),
            Probe::Http(get) => http::ask(address, get).await,
            Probe::Udp => udp::ask(address, deadline).await,
        }
    };
    timeout_at(deadline, answer).await.unwrap_or(Err(Failure::Timeout.into()))
}
