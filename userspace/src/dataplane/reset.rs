//! Resets for the two ends of a session that timed out, through a raw socket: XDP sees only what comes in, so they
//! need no way around it.

use std::{
    io,
    net::SocketAddrV4,
    os::fd::{AsRawFd, OwnedFd},
};

use etherparse::PacketBuilder;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use xdp_ebpf::abi::Half;

use super::sessions::endpoint;

/// One TCP reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Whom it comes from, as the receiver knows it.
    pub from: SocketAddrV4,
    /// Who gets it.
    pub to: SocketAddrV4,
    /// The sequence number that the receiver expects next; with another it would not believe the reset (RFC 5961).
    pub sequence: u32,
}

/// The resets for the client and for the backend.
pub fn for_both_ends(forward: &Half, reverse: &Half) -> [Reset; 2] {
    [
        Reset {
            from: endpoint(forward.dst, forward.dport),
            to: endpoint(forward.src, forward.sport),
            sequence: forward.ack,
        },
        Reset {
            from: endpoint(reverse.dst, reverse.dport),
            to: endpoint(reverse.src, reverse.sport),
            sequence: reverse.ack,
        },
    ]
}

/// A raw socket that sends them.
pub struct ResetSocket(OwnedFd);

impl ResetSocket {
    /// Needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// What `socket` says.
    pub fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // IPPROTO_RAW: the header is ours, VIP or local address as source included.
        Ok(Self(socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Raw)?))
    }

    /// # Errors
    /// What `sendto` says, as when there is no route.
    pub fn send(&self, reset: &Reset) -> io::Result<()> {
        let to = SockaddrIn::from(SocketAddrV4::new(*reset.to.ip(), 0));
        sendto(self.0.as_raw_fd(), &packet(reset)?, &to, MsgFlags::empty())?;
        Ok(())
    }
}

fn packet(reset: &Reset) -> io::Result<Vec<u8>> {
    let builder = PacketBuilder::ipv4(reset.from.ip().octets(), reset.to.ip().octets(), 64)
        .tcp(reset.from.port(), reset.to.port(), reset.sequence, 0)
        .rst();
    let mut bytes = Vec::with_capacity(builder.size(0));
    builder.write(&mut bytes, &[]).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_gets_a_reset_from_whom_it_talks_to() {
        let forward = Half {
            src: [198, 51, 100, 1],
            sport: 40000,
            dst: [203, 0, 113, 10],
            dport: 80,
            ack: 11,
            ..Half::default()
        };
        let reverse = Half {
            src: [192, 0, 2, 11],
            sport: 8080,
            dst: [100, 64, 0, 1],
            dport: 5000,
            ack: 22,
            ..Half::default()
        };
        let [client, backend] = for_both_ends(&forward, &reverse).map(|reset| {
            let bytes = packet(&reset).unwrap();
            let sliced = etherparse::SlicedPacket::from_ip(&bytes).unwrap();
            let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("not TCP") };
            assert!(tcp.rst() && !tcp.ack() && !tcp.syn());
            (tcp.source_port(), tcp.destination_port(), tcp.sequence_number(), reset.from.to_string())
        });
        assert_eq!(client, (80, 40000, 11, "203.0.113.10:80".into()));
        assert_eq!(backend, (5000, 8080, 22, "100.64.0.1:5000".into()));
    }
}
