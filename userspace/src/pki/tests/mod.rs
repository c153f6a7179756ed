//! `files` has what PEM files may hold, `advice` what makes such of others, and `any` whatever else they do; `staples` is
//! about OCSP; `issue` makes certificates for all.

mod advice;
mod any;
mod files;
pub(crate) mod issue;
pub(crate) mod staples;
