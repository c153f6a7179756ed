//! What is known of a member.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What is known of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub(in crate::api) head: Head,
    pub(in crate::api) pool: Uuid,
    pub(in crate::api) address: IpAddr,
    pub(in crate::api) port: u16,
    pub(in crate::api) weight: u16,
    pub(in crate::api) is_backup: bool,
    /// As the client named it: one of the VIP pools, for people.
    pub(in crate::api) subnet: Option<Uuid>,
    pub(in crate::api) monitor_address: Option<IpAddr>,
    pub(in crate::api) monitor_port: Option<u16>,
}

record!(Member, "member", "Member", |it| Some(it.pool));
