//! `files` has what PEM files may hold and `any` whatever else they do, `staples` is about OCSP; `issue` makes certificates
//! for all.

mod any;
mod files;
pub(crate) mod issue;
pub(crate) mod staples;
