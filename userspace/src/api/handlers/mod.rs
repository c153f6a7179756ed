//! What happens between a request and its answer: `common` to all, `objects` of every kind, `inside` what is below another's path, `members` a list of them,
//! `status` trees, `quotas`, and `others` that are no objects.

mod common;
pub mod inside;
pub mod members;
pub mod objects;
pub mod others;
pub mod quotas;
pub mod status;

pub use self::common::Source;
