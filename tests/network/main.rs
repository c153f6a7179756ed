//! Tests in a network of namespaces, with real clients and servers. They need root.
//!
//! `balancer` starts the daemon in a network and asks it questions, `servers` are what runs behind it; every other
//! file answers one question.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod access;
mod advice;
mod announcing;
mod api;
mod balancer;
mod bulk;
mod commands;
mod documents;
mod draining;
mod ending;
mod families;
mod health;
mod l7;
mod leaving;
mod limits;
mod looking_in;
mod next_hops;
mod not_sent;
mod path_mtu;
mod pins;
mod plumbing;
mod ports;
mod proportion;
mod receiver;
mod refusals;
mod rerouting;
mod returning;
mod scheduling;
mod servers;
mod sizes;
mod takeover;
mod toa;
mod traffic;
mod udp;
mod when_down;
mod whole;
