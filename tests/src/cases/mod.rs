//! Packets and what must become of them: one table for the data path on the host and for the program in the kernel.
//!
//! Every case begins with empty tables and a world with a [`Cast`]: the VIP has one listener, its pool one member, and
//! there is one local address of each family, whose first free port is [`Cast::local`]'s. All casts fit into one world.
//!
//! `cast` makes segments; `tcp`, `toa`, `udp`, `icmp`, `refused` and `normalising` are the table.

mod cast;
mod icmp;
mod normalising;
mod refused;
mod tcp;
mod toa;
mod udp;

use std::net::SocketAddr;

pub use self::{
    cast::{Cast, options},
    icmp::{Message, NARROW_MTU, behind_options, error as icmp_error},
    normalising::{Extension, PROVIDER_TAG, TAG, in_pieces, piece, tagged, with_extensions, with_options},
};
use crate::Segment;

/// The IPv4 client.
pub const CLIENT: SocketAddr = Cast::IPV4.client;
/// The IPv4 listener.
pub const VIP: SocketAddr = Cast::IPV4.vip;
/// The IPv4 local address, with its first free port.
pub const LOCAL: SocketAddr = Cast::IPV4.local;
/// The IPv4 member.
pub const BACKEND: SocketAddr = Cast::IPV4.backend;
/// The balancer's MAC towards the client, and the client's.
pub const FRONT: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
/// The balancer's MAC towards the backend, and the backend's.
pub const BACK: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];

/// Which interface a frame comes in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Front,
    /// The backend's.
    Back,
}

/// One frame.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it comes in.
    pub side: Side,
    /// The Ethernet frame.
    pub frame: Vec<u8>,
    /// "forward", or the name of the counter under which it ends.
    pub verdict: &'static str,
}

/// Frames that follow each other.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub what: &'static str,
    /// The frames.
    pub steps: Vec<Step>,
}

/// An Ethernet frame around an IP packet, to the balancer. The packet's version says which EtherType it has.
pub fn frame(side: Side, packet: &[u8]) -> Vec<u8> {
    let [balancer, host] = match side {
        Side::Front => FRONT,
        Side::Back => BACK,
    };
    let ethertype = match packet.first().map(|byte| byte >> 4) {
        Some(6) => [0x86, 0xDD],
        _ => [8, 0],
    };
    [&balancer[..], &host, &ethertype, packet].concat()
}

/// [`Cast::from_client`] over IPv4.
pub fn from_client(edit: impl FnOnce(&mut Segment)) -> Segment {
    Cast::IPV4.from_client(edit)
}

/// [`Cast::from_backend`] over IPv4.
pub fn from_backend(edit: impl FnOnce(&mut Segment)) -> Segment {
    Cast::IPV4.from_backend(edit)
}

/// [`Cast::syn`] over IPv4.
pub fn syn() -> Segment {
    Cast::IPV4.syn()
}

/// [`Cast::syn_ack`] over IPv4.
pub fn syn_ack() -> Segment {
    Cast::IPV4.syn_ack()
}

/// [`Cast::ack`] over IPv4.
pub fn ack(payload: &[u8]) -> Segment {
    Cast::IPV4.ack(payload)
}

/// The table, played by `cast`.
pub fn cases(cast: Cast) -> Vec<Case> {
    let mut table = tcp::cases(cast);
    table.extend(toa::cases(cast));
    table.extend(udp::cases(cast));
    table.extend(icmp::cases(cast));
    table.extend(refused::cases(cast));
    table.extend(normalising::cases(cast));
    table
}
