//! `handshakes` is what clients see of certificates, policies and authorities, `staples` what of OCSP.

mod handshakes;
mod staples;
