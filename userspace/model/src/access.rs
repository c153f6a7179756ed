//! Who may connect.

use std::collections::BTreeSet;

use crate::value::Network;

/// Who may connect. Of all networks of both lists that a client is in, the longest prefix decides. No network is in
/// both, which [`crate::check`] sees to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Those who may; an empty list lets nobody in, none at all lets everybody in.
    pub allow: Option<BTreeSet<Network>>,
    /// Those who may not.
    pub deny: BTreeSet<Network>,
}

impl Access {
    /// Whether everybody may connect.
    pub fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }

    /// How many networks both lists name.
    pub fn networks(&self) -> usize {
        self.allow.as_ref().map_or(0, BTreeSet::len) + self.deny.len()
    }
}
