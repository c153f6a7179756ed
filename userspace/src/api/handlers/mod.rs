//! What happens between a request and its answer: `common` to all, `objects` of every kind, `members` below their pool,
//! `status` trees, and `others` that are no objects.

mod common;
pub mod members;
pub mod objects;
pub mod others;
pub mod status;

pub use self::common::Source;
