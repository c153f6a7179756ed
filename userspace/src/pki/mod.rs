//! PEM, private keys, chains of certificates, authorities and OCSP responses: files become what the model has, or are
//! refused. Nothing here makes a handshake.
//!
//! ```text
//! pem        text taken apart into blocks
//!   → key, certificate   keys; a server's chain with its key; authorities
//!   → staple             what the issuer says of a certificate
//!   → loaded             as OpenSSL has them again: does a certificate go with a TLS policy? has a list a root?
//! system     the authorities that this host trusts
//! ```

mod certificate;
mod error;
mod key;
mod loaded;
mod pem;
mod staple;
pub mod system;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    certificate::{authorities, authorities_at_any_time, certificates, in_time, matched, server},
    error::PkiError,
    key::private_keys,
    loaded::{Loaded, presentable, roots, security_level},
    staple::staple,
};
