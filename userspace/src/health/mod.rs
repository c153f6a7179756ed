//! The health checker: which members may take new connections, found out by asking them.
//!
//! ```text
//! check      what is asked, and how often (the model's part)
//!   → checker  one task for each address and check; when the next probe is due, and how many there are at a time
//!   → probe    one question: TCP; then http (tls), udp (icmp: its echo)
//!   → failure  what went wrong, as a number, too
//!   → judge    answers in a row become a standing: up or down
//! ```
//!
//! Architecture invariant: nothing here knows aya, pools or maps. `dataplane/health` says what to check and takes the
//! standings from here.

pub mod check;
pub mod checker;
pub mod failure;
mod http;
mod icmp;
pub mod judge;
pub mod probe;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
