//! The data path on the host, packet by packet. What comes out is read by etherparse, never by our own parser.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod access;
mod cases;
mod disorder;
mod fragments;
mod fuzz;
mod garbage;
mod icmp;
mod icmp_error;
mod macs;
mod normalising;
mod ports;
mod schedule;
mod sessions;
mod strangers;
mod strays;
mod toa;
mod world;
