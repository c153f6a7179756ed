//! `allow` and `deny` of a listener: who may connect.

use std::collections::{BTreeSet, HashMap};

use model::access::Access;

use super::{document::Table, scalar};

/// Who may connect; `None` if the listener says nothing of it.
pub(super) fn read(table: &Table<'_>) -> Option<Access> {
    let mut lines = HashMap::new();
    let mut read = |key| {
        let list = table.get(key)?;
        let mut networks = BTreeSet::new();
        for value in list.list_or_empty() {
            let Some(network) = scalar::network(value) else { continue };
            if let Some((other, line)) = lines.get(&network) {
                value.refuse(format!(
                    "{network} is in {other} on line {line} already; give each network once"
                ));
                continue;
            }
            lines.insert(network, (key, value.line()));
            networks.insert(network);
        }
        Some(networks)
    };
    let (allow, deny) = (read("allow"), read("deny"));
    let is_silent = allow.is_none() && deny.is_none();
    (!is_silent).then(|| Access { allow, deny: deny.unwrap_or_default() })
}
