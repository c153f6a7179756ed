//! Whose sessions a changed access list ends. XDP looks at a session when its next packet comes; the sweeper does not
//! wait for one, so that idle clients go as well and both ends are told. Next: `sweep`, which asks.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use model::access::Access;
use xdp_ebpf::abi::ListenerIndex;

/// Passes of the sweeper after which it has seen every session since a list has changed: the one that was going on, and
/// a whole one.
const PASSES: u8 = 2;

/// The lists that have changed a moment ago, by index in `ek_listener`.
#[derive(Default)]
pub struct ChangedLists(HashMap<ListenerIndex, (Allowed, u8)>);

impl ChangedLists {
    /// This listener's list is now another.
    pub fn note(&mut self, listener: ListenerIndex, access: &Access) {
        self.0.insert(listener, (Allowed::of(access), 0));
    }

    /// Whether the listener's list has changed and does not let this client in.
    pub fn shut_out(&self, listener: ListenerIndex, client: IpAddr) -> bool {
        self.0.get(&listener).is_some_and(|(allowed, _)| !allowed.allows(client))
    }

    /// A pass is over.
    pub fn age(&mut self) {
        self.0.retain(|_, (_, passes)| {
            *passes += 1;
            *passes < PASSES
        });
    }
}

/// An access list, made to be asked about a million sessions: the same answers as XDP gets from `ek_access`.
struct Allowed {
    networks: HashMap<IpNet, bool>,
    /// The lengths that there are of each family, the longest first.
    lengths: [Vec<u8>; 2],
    /// What becomes of clients in none of the networks.
    others: bool,
}

impl Allowed {
    fn of(access: &Access) -> Self {
        let allowed = access.allow.iter().flatten().map(|network| (network.get(), true));
        let networks: HashMap<_, _> =
            allowed.chain(access.deny.iter().map(|network| (network.get(), false))).collect();
        let lengths = [true, false].map(|is_v4| {
            let of_family = networks.keys().filter(|network| network.addr().is_ipv4() == is_v4);
            let lengths: BTreeSet<u8> = of_family.map(IpNet::prefix_len).collect();
            lengths.into_iter().rev().collect()
        });
        Self { networks, lengths, others: access.allow.is_none() }
    }

    fn allows(&self, client: IpAddr) -> bool {
        let [v4, v6] = &self.lengths;
        let lengths = if client.is_ipv4() { v4 } else { v6 };
        let around = lengths.iter().filter_map(|&length| IpNet::new(client, length).ok());
        around
            .map(|network| network.trunc())
            .find_map(|network| self.networks.get(&network).copied())
            .unwrap_or(self.others)
    }
}

#[cfg(test)]
mod tests {
    use model::value::Network;
    use proptest::{collection, prelude::*};

    use super::*;

    /// Of few networks, so that they nest and clients are in some of them.
    fn address() -> impl Strategy<Value = IpAddr> {
        (0..4u8, 0..4u8, any::<bool>()).prop_map(|(first, last, is_v6)| {
            if is_v6 {
                let bits = u128::from(first) << 126 | u128::from(last);
                IpAddr::from(bits.to_be_bytes())
            } else {
                IpAddr::from([first << 6, 0, 0, last])
            }
        })
    }

    fn networks() -> impl Strategy<Value = BTreeSet<Network>> {
        let length = prop::sample::select(vec![0u8, 1, 2, 30, 31, 32, 127, 128]);
        let network = (address(), length).prop_map(|(address, length)| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            Network::new(IpNet::new(address, length.min(most)).unwrap().trunc()).unwrap()
        });
        collection::btree_set(network, 0..6)
    }

    /// By definition: the longest network that the client is in, else whether there is an allow list.
    fn may(access: &Access, client: IpAddr) -> bool {
        let longest = |networks: &mut dyn Iterator<Item = &Network>| {
            let networks = networks.map(|network| network.get());
            networks.filter(|network| network.contains(&client)).map(|network| network.prefix_len()).max()
        };
        let allowed = longest(&mut access.allow.iter().flatten());
        match (allowed, longest(&mut access.deny.iter())) {
            (None, None) => access.allow.is_none(),
            (allowed, denied) => allowed > denied,
        }
    }

    proptest! {
        #[test]
        fn the_longest_network_decides(
            allow in prop::option::of(networks()),
            deny in networks(),
            clients in collection::vec(address(), 1..20),
        ) {
            let deny = deny.into_iter().filter(|network| !allow.iter().flatten().any(|other| other == network));
            let access = Access { deny: deny.collect(), allow: allow.clone() };
            let mut changed = ChangedLists::default();
            changed.note(ListenerIndex::new(7), &access);
            for client in clients {
                prop_assert_eq!(changed.shut_out(ListenerIndex::new(7), client), !may(&access, client), "{} of {:?}", client, access);
            }
        }
    }

    #[test]
    fn a_change_holds_for_the_pass_that_goes_on_and_the_next() {
        let client = [198, 51, 100, 2].into();
        let nobody = Access { allow: Some(BTreeSet::new()), ..Access::default() };
        let mut changed = ChangedLists::default();
        changed.note(ListenerIndex::new(7), &nobody);
        assert!(!changed.shut_out(ListenerIndex::new(8), client), "another listener's");
        changed.age();
        assert!(changed.shut_out(ListenerIndex::new(7), client));
        changed.note(ListenerIndex::new(7), &nobody);
        changed.age();
        assert!(changed.shut_out(ListenerIndex::new(7), client), "it begins anew");
        changed.age();
        assert!(!changed.shut_out(ListenerIndex::new(7), client));
    }
}
