//! `files` has what PEM files may hold, `handshakes` what clients see; `issue` makes certificates for both.

mod files;
mod handshakes;
pub(crate) mod issue;
