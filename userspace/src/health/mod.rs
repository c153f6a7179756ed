//! The health checker: which members may take new connections, found out by asking them.
//!
//! ```text
//! checker    one task for each address and check; when the next probe is due, and how many there are at a time
//!   → probe    one question: TCP; then http (tls), udp (icmp: its echo)
//!   → error    was it the member, or this host?
//!   → failure  what went wrong, as a number, too
//!   → judge    answers in a row become a standing: up or down
//! ```
//!
//! What is asked, and how often, is the model's to say ([`model::health`]).
//!
//! Architecture invariant: nothing here knows aya, pools or maps. `engine` says what to check and takes the standings
//! from here.

pub mod checker;
pub mod error;
pub mod failure;
mod http;
mod icmp;
pub mod judge;
pub mod probe;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
