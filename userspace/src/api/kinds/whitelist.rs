//! What is known of a whitelist.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What is known of a whitelist, of which a listener has at most one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whitelist {
    pub(in crate::api) head: Head,
    pub(in crate::api) listener: Uuid,
    /// Whether nobody else may connect; else it says nothing.
    pub(in crate::api) is_on: bool,
    /// Who may connect.
    pub(in crate::api) networks: BTreeSet<IpNet>,
}

record!(Whitelist, "whitelist", "Whitelist", |it| Some(it.listener));
