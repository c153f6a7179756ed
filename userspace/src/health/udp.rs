//! The UDP probe: an ICMP echo says that the host is there; then a datagram, to which only "port unreachable" is a bad
//! answer, and silence until the time is up a good one.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

use super::{error::ProbeError, failure::Failure, icmp};

/// What is sent to the port. Programs that take the wrong thing ill get something to search for in their logs.
const DATAGRAM: &[u8] = b"evenkeel-health";

/// Asks, until `deadline` at the latest.
///
/// # Errors
/// The host is not there or the port is closed.
pub(super) async fn ask(address: SocketAddr, deadline: Instant) -> Result<(), ProbeError> {
    timeout_at(deadline, icmp::echo(address.ip())).await.map_err(|_| Failure::NoEcho)??;
    let unspecified: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((unspecified, 0)).await?;
    icmp::report_errors(&socket, address.ip())?;
    socket.connect(address).await?;
    let answer = async {
        socket.send(DATAGRAM).await?;
        socket.recv(&mut [0; 1]).await
    };
    match timeout_at(deadline, answer).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            Err(Failure::PortUnreachable.into())
        }
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}
