//! No address has two roles, and the data path's address table has room for all.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use xdp_ebpf::abi::{AddressBucket, address_bucket};

use super::{document::Value, host::LocalRanges};

/// How many addresses with the same [`address_bucket`] there is room for.
const BUCKET: usize = size_of::<AddressBucket>() / size_of::<xdp_ebpf::abi::AddressEntry>();

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

    let mut buckets: HashMap<u32, Vec<IpAddr>> = HashMap::new();
    for (address, value) in locals.iter().chain(vips.iter().map(|(vip, value)| (*vip, *value))) {
        let IpAddr::V4(v4) = address else { continue };
        let bucket = buckets.entry(address_bucket(v4.octets())).or_default();
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
