//! No address has two roles, and the data path's address table has room for all.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use xdp_ebpf::{
    abi::{AddressBucket, AddressEntry, address_bucket},
    family::V4,
};

use super::{document::Value, host::LocalRanges};

/// How many addresses with the same [`address_bucket`] there is room for.
const BUCKET: usize = size_of::<AddressBucket<V4>>() / size_of::<AddressEntry<V4>>();

pub(super) fn check(
    locals: &LocalRanges<'_>,
    vips: &BTreeMap<IpAddr, Value<'_>>,
    members: &[(IpAddr, Value<'_>)],
) {
    for (vip, value) in vips {
        if let Some((range, at)) = locals.overlapping((*vip).into()) {
            let line = at.line();
            value.refuse(format!("{vip} is a local address, {range} on line {line}; a VIP must not be one"));
        }
    }
    for (member, value) in members {
        if let Some((range, at)) = locals.overlapping((*member).into()) {
            let line = at.line();
            value.refuse(format!(
                "{member} is a local address, {range} on line {line}; use the backend's own"
            ));
        } else if let Some(vip) = vips.get(member) {
            let line = vip.line();
            value.refuse(format!("{member} is a VIP on line {line}; use the backend's own address"));
        }
    }

    let mut buckets: HashMap<(bool, u32), Vec<IpAddr>> = HashMap::new();
    for (address, value) in locals.iter().chain(vips.iter().map(|(vip, value)| (*vip, *value))) {
        let number = match address {
            IpAddr::V4(address) => address_bucket(address.octets()),
            IpAddr::V6(address) => address_bucket(address.octets()),
        };
        let bucket = buckets.entry((address.is_ipv6(), number)).or_default();
        if bucket.len() < BUCKET {
            bucket.push(address);
        } else {
            value.refuse(format!(
                "{address} has no room in the address table: it would share a place with {bucket:?}; use another \
                 address for one of them"
            ));
        }
    }
}
