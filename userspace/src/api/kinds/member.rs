//! What is known of a member.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record};

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

impl Record for Member {
    const KIND: &'static str = "member";
    const NAME: &'static str = "Member";

    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    fn parent(&self) -> Option<Uuid> {
        Some(self.pool)
    }
}
