//! Layer 7.
//!
//! `route` says which policy a request meets, `pick` which member of a pool answers it.

mod cookies;
pub mod pick;
pub mod route;
