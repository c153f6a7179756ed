//! `evenkeel-toa` on a backend: do programs that know nothing of it see the client?
//!
//! `command` is the receiver, on a cgroup of the test's own, and `mirror` a server that tells who it sees; `crafted`
//! makes handshakes by hand; `segments`, `programs`, `namespaces` and `upgrade` ask the questions.

mod command;
mod crafted;
mod mirror;
mod namespaces;
mod programs;
mod segments;
mod upgrade;

pub use command::{Receiver, TRUSTED};
