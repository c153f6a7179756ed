//! Evenkeel's Layer-4 data path: everything that happens to a packet, as plain `no_std` Rust.
//!
//! A packet goes through the files in this order:
//!
//! ```text
//! main (the XDP entry; only built for BPF)
//!   → pipeline   the stages as a list
//!   → frame      VLAN tags, options and fragment headers off; → fragment: later fragments follow the first
//!   → parse      is this frame something we could own?
//!   → lookup     whose is it: a VIP's, a local address's, nobody's; which half?
//!   → slow_path  the way of packets that change more than themselves; the others skip all but the last two
//!   → admit      no half yet: is there a listener? → layer7: of one whose connections end in this host
//!   → access     may this client in?
//!   → schedule   which member?
//!   → limit      may one more come, or one more packet?
//!   → open       take a local port (→ ports), resolve next hops (→ next_hop), claim both halves; or refuse: tell the client so
//!   → icmp       neither TCP nor UDP: ping (→ echo), or an error about a session? → icmp_error: errors that we write ourselves
//!   → tcp_state  what the segment does to its session, → connection: and to the number of connections
//!   → toa        strip forged options, insert the client's address, lower the MSS
//!   → rewrite    addresses, ports, MACs, TTL, checksums
//!   → verdict    the outcome becomes an XDP action and a counter
//! ```
//!
//! The address family is a type parameter of the stages ([`family`]). They see packets through [`packet::Packet`] and
//! maps through [`tables::Tables`], and these two know no stage; the functions of a stage that the kernel verifies once
//! and apart are that stage's trait `OutOfLine`. The kernel's implementations are in `kernel/`, the host's (for tests) in
//! [`host`]. [`leg`] is what packets of all sessions have in common, [`wire`] are headers as they lie in the packet, and
//! [`abi`] is what the maps hold: the contract with userspace. At the backend, [`receiver`] reads what `toa` wrote.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", allow(internal_features))]

#[cfg(not(target_arch = "bpf"))]
extern crate std;

pub mod abi;
pub mod access;
pub mod address;
pub mod admit;
pub mod bench;
pub mod checksum;
pub mod connection;
pub mod echo;
#[cfg(test)]
mod evenness;
pub mod family;
pub mod fragment;
pub mod frame;
pub mod half_open;
#[cfg(not(target_arch = "bpf"))]
pub mod host;
pub mod icmp;
pub mod icmp_error;
pub mod layer7;
pub mod leg;
pub mod limit;
pub mod lookup;
pub mod next_hop;
mod object;
pub mod open;
pub mod packet;
pub mod parse;
pub mod pipeline;
pub mod ports;
pub mod receiver;
pub mod rewrite;
pub mod schedule;
pub mod shared;
pub mod slow_path;
pub mod stray;
pub mod tables;
pub mod tcp_reset;
pub mod tcp_state;
pub mod toa;
pub mod verdict;
pub mod wire;
