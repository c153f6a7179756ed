//! What is shown of records goes by: the records, what is known of members, the settings.

use std::{collections::HashMap, net::SocketAddr};

use model::{control::Control, object::PoolId};

use super::records::Records;
use crate::engine::standings::MemberHealth;

/// What is known of members, by pool as it is served and socket.
pub type Health = HashMap<(PoolId, SocketAddr), MemberHealth>;

/// What is shown goes by this.
pub struct View<'a> {
    /// All records.
    pub records: &'a Records,
    /// What is known of members.
    pub health: &'a Health,
    /// The settings.
    pub control: &'a Control,
}

/// What several parts are together: what is worst among them, those that are switched off aside.
pub fn worst(parts: impl Iterator<Item = &'static str>) -> &'static str {
    let rank = |status: &&str| ["ONLINE", "DEGRADED", "ERROR"].iter().position(|known| known == status);
    parts.filter(|status| rank(status).is_some()).max_by_key(rank).unwrap_or("ONLINE")
}
