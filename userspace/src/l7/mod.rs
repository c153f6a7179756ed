//! Layer 7: HTTP and HTTPS listeners on Pingora.
//!
//! ```text
//! listeners  all of them: what a change of the model starts, alters and ends; threads is where their requests are served
//!   → listen   one listener: its socket, its connections, its end
//!   → stream   one client's connection, small while idle; wrapped is what streams around others hand on
//!   → tls      its encryption, if it is an HTTPS listener's: certificates, versions, who may in
//!   → proxy_protocol   who the client is, if a balancer in front says so; and the same towards members
//!   → guard    a request's head, in time and in shape; message is how far what HTTP/1 says goes
//!   → snapshot what a request goes by: the listener's settings, swapped in one step (edge is a part), and the pools
//!   → proxy    one request, stage by stage
//!   → answer   whether a member answers it, by what route says: which policy it meets; target is what it asks for
//!   → pick     which member of the pool answers it
//!   → forwarded  what a member is told about the client
//!   → upstream how its member is spoken to
//!   → progress the same for what may take long to send in HTTP/2
//!   → pace     how fast a request's body has to come
//!   → tunnel   whether it may become a WebSocket
//!   → hop_by_hop  what of a member's answer is not for the client
//!   → http_1_0 what a client of HTTP/1.0 must not get
//!   → linger   how a connection ends whose client still sends
//!   → failure  what the client is told when that does not work
//!   → exchange what came of it, for log and metrics
//! ```
//!
//! `tls` has certificates, handshakes with clients, and what members that speak TLS must show.
//!
//! Packets pass the XDP program first, which lets them up to the kernel; `dataplane/steer` then finds the listener's
//! socket. Members' health comes from the same checker as Layer 4's, by way of [`crate::engine`].
//!
//! Architecture invariant: nothing here speaks to BPF or reads the file.

pub mod answer;
mod cookies;
pub mod edge;
pub mod error;
pub mod exchange;
pub mod failure;
#[cfg(test)]
mod fixture;
pub mod forwarded;
pub mod guard;
mod hop_by_hop;
mod http_1_0;
mod linger;
pub mod listen;
pub mod listeners;
pub mod log;
mod memory;
mod message;
pub mod metrics;
mod pace;
pub mod pick;
pub mod pools;
mod progress;
pub mod proxy;
pub mod proxy_protocol;
pub mod route;
pub mod snapshot;
pub mod stream;
mod target;
pub mod threads;
pub mod tls;
mod trailers;
mod tunnel;
pub mod upstream;
mod wrapped;
