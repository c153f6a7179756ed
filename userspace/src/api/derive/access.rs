//! Who may connect to a listener: `allowed_cidrs` and its whitelist become one access list.

use std::collections::BTreeSet;

use ipnet::IpNet;
use model::{access::Access, object::AccessList, value::Network};

use super::common::meta;
use crate::api::{
    error::{Fault, invalid},
    kinds::{listener::Listener, whitelist::Whitelist},
    record::Head,
    records::Records,
};

/// A listener's access list; none if everybody may connect. If it has two lists, a client must be in both.
pub(super) fn access_list(records: &Records, listener: &Listener) -> Result<Option<AccessList>, Fault> {
    let whitelist = records.children::<Whitelist>(listener.head.id).find(|it| it.is_on);
    let networks = match (&listener.allowed_cidrs, whitelist.map(|it| &it.networks)) {
        (None, None) => return Ok(None),
        (Some(one), Some(other)) => both(one, other),
        (Some(one), None) | (None, Some(one)) => one.clone(),
    };
    let networks = networks.into_iter().map(|network| Network::new(network).map_err(invalid("whitelist")));
    let allow = Some(networks.collect::<Result<_, _>>()?);
    let access = Access { allow, deny: BTreeSet::new() };
    Ok(Some(AccessList { meta: meta(&Head::default())?, access }))
}

/// Whose addresses are in both: of two networks that overlap one is in the other.
fn both(one: &BTreeSet<IpNet>, other: &BTreeSet<IpNet>) -> BTreeSet<IpNet> {
    let within = |network: &&IpNet, all: &BTreeSet<IpNet>| {
        std::iter::successors(Some(**network), IpNet::supernet).any(|around| all.contains(&around))
    };
    let of_one = one.iter().filter(|network| within(network, other));
    of_one.chain(other.iter().filter(|network| within(network, one))).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn who_is_in_both_is_in_the_two(
            lists in [(); 2].map(|()| collection::btree_set((0..4u8, 24..=32u8), 0..6)),
            host in 0..=255u8,
        ) {
            let networks = |list: &BTreeSet<(u8, u8)>| -> BTreeSet<IpNet> {
                let one = |(net, length): &(u8, u8)| format!("192.0.{net}.64/{length}").parse::<IpNet>().unwrap().trunc();
                list.iter().map(one).collect()
            };
            let [one, other] = [networks(&lists[0]), networks(&lists[1])];
            for net in 0..4 {
                let client: std::net::IpAddr = [192, 0, net, host].into();
                let is_in = |all: &BTreeSet<IpNet>| all.iter().any(|network| network.contains(&client));
                prop_assert_eq!(is_in(&both(&one, &other)), is_in(&one) && is_in(&other));
            }
        }
    }
}
