//! Layer 7: HTTP and HTTPS listeners on Pingora.
//!
//! A request's way: `listen → guard → route → pick → headers → proxy → finish (log, metrics)`.

pub mod edge;
pub mod exchange;
pub mod forwarded;
pub mod guard;
pub mod log;
pub mod metrics;
pub mod proxy_protocol;
