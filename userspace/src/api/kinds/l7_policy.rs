//! What is known of an L7 policy.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What is known of an L7 policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct L7Policy {
    pub(in crate::api) head: Head,
    pub(in crate::api) listener: Uuid,
    /// Which one it is of its listener's, from 1 and without gaps.
    pub(in crate::api) position: u32,
    pub(in crate::api) action: L7Action,
}

/// What happens to a request, by Octavia's names; a number is the status of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum L7Action {
    /// It is answered with 403.
    #[default]
    Reject,
    /// It goes to this pool.
    RedirectToPool(Uuid),
    /// The client is sent to this URL.
    RedirectToUrl(String, u16),
    /// The client is sent to this URL with the request's path and query behind it.
    RedirectPrefix(String, u16),
    /// The client is sent to this listener of the same load balancer.
    RedirectToListener(Uuid, u16),
}

/// The names of what may happen.
pub const ACTIONS: [&str; 5] =
    ["REJECT", "REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REDIRECT_PREFIX", "REDIRECT_TO_LISTENER"];

impl L7Action {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        let [reject, pool, url, prefix, listener] = ACTIONS;
        match self {
            Self::Reject => reject,
            Self::RedirectToPool(_) => pool,
            Self::RedirectToUrl(..) => url,
            Self::RedirectPrefix(..) => prefix,
            Self::RedirectToListener(..) => listener,
        }
    }

    /// The pool that it needs.
    pub const fn pool(&self) -> Option<Uuid> {
        match self {
            Self::RedirectToPool(id) => Some(*id),
            _ => None,
        }
    }

    /// The listener that it needs.
    pub const fn listener(&self) -> Option<Uuid> {
        match self {
            Self::RedirectToListener(id, _) => Some(*id),
            _ => None,
        }
    }

    /// The status of its answer, if that is chosen.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::RedirectToUrl(_, status)
            | Self::RedirectPrefix(_, status)
            | Self::RedirectToListener(_, status) => Some(*status),
            Self::Reject | Self::RedirectToPool(_) => None,
        }
    }
}

record!(L7Policy, "l7policy", "L7Policy", |it| Some(it.listener));
