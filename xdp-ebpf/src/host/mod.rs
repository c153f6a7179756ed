//! The host's side of the two traits, for tests: a packet in a vector, maps in vectors, a clock that is set by hand.
//!
//! `packet` is the one trait; `tables` the maps and how a test fills them, `answers` the other trait, by those maps, and
//! `records` what stands for an array map.

mod answers;
mod packet;
mod records;
mod tables;

pub use packet::HostPacket;
pub use records::Records;
pub use tables::HostTables;
