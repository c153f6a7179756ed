//! Layer 7: HTTP and HTTPS listeners on Pingora.
//!
//! A request's way: `listen → guard → route → pick → headers → proxy → finish (log, metrics)`.

pub mod log;
