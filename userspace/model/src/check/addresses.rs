//! No address has two roles, and the data path's table of addresses has room for all.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::IpAddr,
};

use super::{At, Check};

impl Check<'_> {
    pub(super) fn addresses(&mut self) {
        let objects = self.objects;
        let locals = self.surroundings.local_addresses;
        let mut vips = BTreeMap::new();
        for (id, load_balancer) in self.in_order(&objects.load_balancers) {
            for (index, vip) in load_balancer.vips.iter().map(|vip| vip.get()).enumerate() {
                let at = At::field(id, "vip").nth(index);
                match vips.entry(vip) {
                    Entry::Occupied(other) => self.add_beside(
                        at,
                        format!("{vip} is already a VIP"),
                        *other.get(),
                        "give each VIP to one load balancer, once",
                    ),
                    Entry::Vacant(place) => {
                        place.insert(at);
                    }
                }
                if let Some((index, range)) = locals.range_of(vip) {
                    self.add_beside(
                        at,
                        format!("{vip} is a local address, {range}"),
                        At::local_addresses(index),
                        "a VIP must not be one",
                    );
                }
            }
        }
        let same_vips = self.surroundings.before.is_some_and(|before| {
            before.load_balancers.len() == objects.load_balancers.len()
                && objects
                    .load_balancers
                    .keys()
                    .all(|&id| self.is_known(|objects| &objects.load_balancers, id))
        });
        for (&id, group) in &objects.server_groups {
            if !(same_vips && self.is_known(|objects| &objects.server_groups, id)) {
                for (&id, member) in &group.members {
                    self.member(At::field(id, "address"), member.address.get(), &vips);
                    if let Some(address) = member.monitor_address {
                        self.member(At::field(id, "monitor_address"), address.get(), &vips);
                    }
                }
            }
        }
        if !same_vips {
            self.places(&vips);
        }
    }

    fn member(&mut self, at: At, member: IpAddr, vips: &BTreeMap<IpAddr, At>) {
        if let Some((index, range)) = self.surroundings.local_addresses.range_of(member) {
            self.add_beside(
                at,
                format!("{member} is a local address, {range}"),
                At::local_addresses(index),
                "use the backend's own",
            );
        } else if let Some(&vip) = vips.get(&member) {
            self.add_beside(at, format!("{member} is a VIP"), vip, "use the backend's own address");
        }
    }

    fn places(&mut self, vips: &BTreeMap<IpAddr, At>) {
        let capacity = self.surroundings.capacity;
        let mut places: HashMap<(bool, u32), Vec<IpAddr>> = HashMap::new();
        let locals = self.surroundings.local_addresses;
        let locals = locals.iter_with_ranges().map(|(address, index)| (address, At::local_addresses(index)));
        for (address, at) in locals.chain(vips.iter().map(|(&vip, &at)| (vip, at))) {
            let place = places.entry((address.is_ipv6(), (capacity.place)(address))).or_default();
            if place.len() < capacity.addresses_per_place {
                place.push(address);
            } else {
                let shared = format!("{place:?}");
                self.add(
                    at,
                    format!(
                        "{address} has no room in the address table: it would share a place with {shared}"
                    ),
                    "use another address for one of them",
                );
            }
        }
    }
}
