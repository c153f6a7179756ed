//! The data path on the host, packet by packet. What comes out is read by etherparse, never by our own parser.

mod cases;
mod garbage;
mod sessions;
mod toa;
mod world;
