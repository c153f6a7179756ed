//! TLS at HTTPS listeners, and what pools ask of members that speak it.
//!
//! ```text
//! pem, key, certificate   PEM files become a model::tls::ServerCertificate or Authorities, or are refused
//! staple   and what the issuer says of a certificate becomes a model::tls::Staple
//!   → profile   a listener's settings become what OpenSSL needs; policy and names say which ciphers and certificate
//!   → accept    handshakes with clients go by the newest profile
//! member   the other side: connections to members
//! ```
//!
//! A handshake takes the listener's profile at its ClientHello and keeps it. What changes takes effect with the next
//! handshake; connections and the listening socket know nothing of it. Tickets stay good across changes, except that
//! where other client authorities are asked for, everybody shows a certificate again.

mod accept;
mod certificate;
mod key;
pub mod member;
mod names;
mod pem;
mod policy;
mod profile;
mod staple;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    accept::{Acceptor, ServerName},
    certificate::{authorities, certificates, server},
    key::private_keys,
    profile::Profile,
    staple::staple,
};
