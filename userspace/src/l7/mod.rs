//! Layer 7: HTTP and HTTPS listeners on Pingora.
//!
//! ```text
//! listeners  all of them: what a change of the model starts, alters and ends
//!   → listen   one listener: its socket, its connections, its end
//!   → stream   one client's connection, small while idle
//!   → snapshot what a request goes by: the listener's settings and its pools, swapped in one step
//!   → proxy    one request, stage by stage
//!   → upstream how its member is spoken to
//!   → failure  what the client is told when that does not work
//! ```
//!
//! `tls` has certificates, handshakes with clients, and what members that speak TLS must show.
//!
//! Packets pass the XDP program first, which lets them up to the kernel; `dataplane/steer` then finds the listener's
//! socket. Members' health comes from the same checker as Layer 4's, by way of [`listeners::Layer7::note_health`].
//!
//! Architecture invariant: nothing here speaks to BPF or reads the file.

pub mod failure;
pub mod listen;
pub mod listeners;
pub mod proxy;
pub mod snapshot;
pub mod stream;
pub mod tls;
pub mod upstream;
