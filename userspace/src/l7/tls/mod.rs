//! TLS at HTTPS listeners, and what pools ask of members that speak it.
//!
//! ```text
//! profile   a listener's settings become what OpenSSL needs; policy and names say which ciphers and certificate
//!   → accept   handshakes with clients go by the newest profile
//! member   the other side: connections to members
//! ```
//!
//! A handshake takes the listener's profile at its ClientHello and keeps it. What changes takes effect with the next
//! handshake; connections and the listening socket know nothing of it. Tickets stay good across changes, except that
//! where other client authorities are asked for, everybody shows a certificate again.

mod accept;
pub mod member;
mod names;
mod policy;
mod profile;
#[cfg(test)]
mod tests;

pub use self::{
    accept::{Acceptor, ServerName},
    profile::{Profile, ProfileError},
};
