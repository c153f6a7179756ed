//! `files` has what PEM files may hold and `any` whatever else they do, `staples` is about OCSP, `handshakes` what clients
//! see; `issue` makes certificates for all.

mod any;
mod files;
mod handshakes;
pub(crate) mod issue;
pub(crate) mod staples;
