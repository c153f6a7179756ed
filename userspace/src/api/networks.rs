//! `/v2.0/networks` and `/v2.0/subnets`: the VIP pools as clients of OpenStack know such things. Each is a network with one
//! subnet.

use model::{
    control::{Control, VipPool},
    id::of_text,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// The id of a pool as a network: the same for the same name.
pub fn network(pool: &VipPool) -> Uuid {
    of_text(&format!("network\0{}", pool.name))
}

/// The id of a pool as a subnet: the same for the same name.
pub fn subnet(pool: &VipPool) -> Uuid {
    of_text(&format!("subnet\0{}", pool.name))
}

/// The pool that is this network.
pub fn by_network(control: &Control, id: Uuid) -> Option<&VipPool> {
    control.vip_pools.iter().find(|pool| network(pool) == id)
}

/// The pool that is this subnet.
pub fn by_subnet(control: &Control, id: Uuid) -> Option<&VipPool> {
    control.vip_pools.iter().find(|pool| subnet(pool) == id)
}

/// The pools as networks.
pub fn networks(control: &Control) -> Vec<Value> {
    let network = |pool: &VipPool| {
        json!({
            "id": network(pool),
            "name": pool.name.as_str(),
            "status": "ACTIVE",
            "admin_state_up": true,
            "shared": true,
            "router:external": true,
            "subnets": [subnet(pool)],
        })
    };
    control.vip_pools.iter().map(network).collect()
}

/// The pools as subnets.
pub fn subnets(control: &Control) -> Vec<Value> {
    let subnet = |pool: &VipPool| {
        json!({
            "id": subnet(pool),
            "name": pool.name.as_str(),
            "network_id": network(pool),
            "cidr": pool.range.get().to_string(),
            "ip_version": if pool.range.get().addr().is_ipv4() { 4 } else { 6 },
            "enable_dhcp": false,
            "gateway_ip": null,
        })
    };
    control.vip_pools.iter().map(subnet).collect()
}
