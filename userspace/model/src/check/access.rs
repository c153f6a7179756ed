//! Access lists.

use super::{At, Check};

impl Check<'_> {
    pub(super) fn access_lists(&mut self) {
        for (id, list) in self.difference.access_lists.there() {
            let allowed = list.access.allow.iter().flatten();
            for network in allowed.filter(|network| list.access.deny.contains(network)) {
                self.add_beside(
                    At::field(id, "deny"),
                    format!("{network} is allowed already"),
                    At::field(id, "allow"),
                    "give each network once",
                );
            }
        }
    }
}
