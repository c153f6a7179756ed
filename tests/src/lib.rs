//! Networks of namespaces with real hosts in them, for Evenkeel's tests and its demo.
//!
//! `network` lays out clients, a balancer and backends, `router` makes the way to one narrow; `host` is one of them, and runs things inside. `namespace`
//! makes and removes what is under a host, `sweep` removes it when its owner could not, and `enter` is how a thread
//! or a program gets in. `process` guards what was started, `wait` waits for conditions, `binary` builds the
//! project's own programs. `capture` reads TCP segments off the wire and `send` puts made-up ones on it, both as a
//! `segment` (UDP: a `datagram`); `cases` is the table of packets that host and kernel must agree on; `http` is a backend
//! that answers with who it is and what it saw. `imports` reads which files of a crate import which, `documents` reads README
//! and `docs/`: both are held to what they say.
//!
//! Tests of the balancer are in `kernel/` and `network/`, next to `src/`.

mod binary;
pub mod capture;
pub mod cases;
mod datagram;
pub mod documents;
mod enter;
mod host;
pub mod http;
pub mod imports;
mod namespace;
pub mod network;
mod process;
mod router;
mod segment;
mod send;
mod sweep;
mod wait;

pub use binary::binary;
pub use datagram::Datagram;
pub use host::Host;
pub use network::{Network, Size};
pub use process::Process;
pub use segment::Segment;
pub use sweep::{Interrupt, interrupt};
pub use wait::wait_for;
