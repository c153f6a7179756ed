//! No address has two roles, and the data path's table of addresses has room for all.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use super::{At, Check};
use crate::{
    difference::both,
    object::{LoadBalancer, Member, MemberId},
};

impl Check<'_> {
    pub(super) fn addresses(&mut self) {
        for (id, load_balancer) in self.difference.load_balancers.there() {
            if load_balancer.vips.is_empty() && !self.surroundings.unread.contains(&id.uuid()) {
                self.add(At::field(id, "vip"), "missing", "give it at least one");
            }
        }
        let vips = |load_balancer: Option<&LoadBalancer>| {
            load_balancer.map(|load_balancer| load_balancer.vips.clone()).unwrap_or_default()
        };
        let mut edits = self.difference.load_balancers.iter();
        let has_moved_vips =
            self.surroundings.before.is_none() || edits.any(|edit| vips(edit.old) != vips(edit.new));
        let members = if has_moved_vips { self.members_of_all() } else { self.moved_members() };
        if !has_moved_vips && members.is_empty() {
            return;
        }
        let vips = self.vips();
        for (id, member) in members {
            self.member(At::field(id, "address"), member.address.get(), &vips);
            if let Some(address) = member.monitor_address.filter(|address| *address != member.address) {
                self.member(At::field(id, "monitor_address"), address.get(), &vips);
            }
        }
        if has_moved_vips {
            self.places(&vips);
        }
    }

    /// Every VIP. What is wrong with one is told.
    fn vips(&mut self) -> BTreeMap<IpAddr, At> {
        let mut vips = BTreeMap::new();
        for (id, load_balancer) in self.in_order(&self.objects.load_balancers) {
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
                        if let Some((index, range)) = self.surroundings.local_addresses.range_of(vip) {
                            self.add_beside(
                                at,
                                format!("{vip} is a local address, {range}"),
                                At::local_addresses(index),
                                "a VIP must not be one",
                            );
                        }
                    }
                }
            }
        }
        vips
    }

    fn members_of_all(&self) -> Vec<(MemberId, Arc<Member>)> {
        let members = self.objects.server_groups.values().flat_map(|group| &group.members);
        members.map(|(&id, member)| (id, member.clone())).collect()
    }

    /// Members that are or are checked at another address than before.
    fn moved_members(&self) -> Vec<(MemberId, Arc<Member>)> {
        let nothing = BTreeMap::new();
        let edits = self.difference.server_groups.iter();
        let members = edits.flat_map(|edit| {
            let old = edit.old.map_or(&nothing, |group| &group.members);
            edit.new.into_iter().flat_map(move |group| both(old, &group.members))
        });
        let moved = members.filter_map(|(&id, old, new)| {
            let new = new?;
            let addresses = |member: &Member| (member.address, member.monitor_address);
            let is_there = old.is_some_and(|old| Arc::ptr_eq(old, new) || addresses(old) == addresses(new));
            (!is_there).then(|| (id, new.clone()))
        });
        moved.collect()
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
        // What is both takes one place, and is told already.
        let vips = vips.iter().filter(|(vip, _)| locals.range_of(**vip).is_none());
        let mut vips: Vec<_> = vips.map(|(&vip, &at)| (vip, at)).collect();
        vips.sort_by_key(|(_, at)| (self.surroundings.order.get(&at.id), at.id, at.index));
        let locals = locals.iter_with_ranges().map(|(address, index)| (address, At::local_addresses(index)));
        for (address, at) in locals.chain(vips) {
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
