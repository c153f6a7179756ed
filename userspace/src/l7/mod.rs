//! Layer 7.
//!
//! `tls` has certificates and what connections do with them.

pub mod tls;
