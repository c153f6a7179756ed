//! Load balancers.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use model::{
    control::VipPool,
    id::of_text,
    value::{HostAddress, Megabits, Number},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, ids, may_go, nested, new_head};
use crate::api::{
    draft::Draft,
    error::{Fault, invalid},
    fields::{Fields, missing},
    kinds::{
        listener::Listener,
        load_balancer::{LoadBalancer, PROVIDERS, Vip},
        pool::Pool,
    },
    networks,
    view::{View, worst},
};

impl LoadBalancer {
    /// What stands for the port that Octavia would give the VIP: the cloud provider of Kubernetes asks for one.
    fn port(&self) -> Uuid {
        of_text(&format!("port\0{}", self.head.id))
    }
}

impl Resource for LoadBalancer {
    const MANY: &'static str = "loadbalancers";
    const TRACES: [&'static str; 3] = ["create loadbalancer", "update loadbalancer", "delete loadbalancer"];
    const HAS_PROTECTION: bool = true;
    const ONLY_AT_CREATION: &'static [&'static str] = &[
        "vip_address",
        "vip_subnet_id",
        "vip_network_id",
        "vip_port_id",
        "additional_vips",
        "provider",
        "flavor_id",
        "availability_zone",
    ];

    fn create(draft: &mut Draft<'_>, _parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let mut made = Self { head: new_head::<Self>(&mut fields, draft)?, ..Self::default() };
        made.settings(draft, &mut fields)?;
        fields.word("provider", &PROVIDERS)?.set(&mut made.provider, PROVIDERS[0].into());
        if made.provider.is_empty() {
            made.provider = PROVIDERS[0].into();
        }
        fields.unsupported("flavor_id", &[], "there are no flavors")?;
        fields.unsupported("availability_zone", &[], "there are no availability zones")?;
        fields.unsupported(
            "vip_port_id",
            &[],
            "VIPs are routes and not ports; give vip_subnet_id or vip_network_id",
        )?;
        made.vips = vips(draft, &mut fields)?;
        let listeners = fields.list("listeners")?.value().unwrap_or_default();
        let pools = fields.list("pools")?.value().unwrap_or_default();
        fields.end()?;
        // What is inside is whose it is.
        let asks = std::mem::replace(&mut draft.project, made.head.project.clone());
        let id = draft.create(made)?;
        let created = nested::create(draft, id, listeners, pools);
        draft.project = asks;
        created.map(|()| id)
    }

    fn tell(&self, view: &View<'_>) -> Map<String, Value> {
        nested::tell(self, view)
    }

    fn settings(&mut self, _draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        fields.integer("bandwidth_mbit", Megabits::RANGE)?.set_option(&mut self.bandwidth_mbit);
        fields.unsupported("vip_qos_policy_id", &[], "give bandwidth_mbit")?;
        fields.unsupported(
            "vip_sg_ids",
            &[json!([])],
            "there are no security groups; give a listener allowed_cidrs",
        )?;
        fields.unsupported("vip_vnic_type", &[json!("normal")], "VIPs are routes and have no ports")
    }

    fn delete(&self, draft: &mut Draft<'_>, cascade: bool) -> Result<(), Fault> {
        may_go(self)?;
        let id = self.head.id;
        let listeners: Vec<_> = draft.records.children::<Listener>(id).cloned().collect();
        let pools: Vec<_> = draft.records.children::<Pool>(id).cloned().collect();
        let is_empty = listeners.is_empty() && pools.is_empty();
        if !is_empty && !cascade {
            return Err(Fault::invalid(format!(
                "Cannot delete Load Balancer {id} - it has children: {} listeners, {} pools. Delete them first, or say \
                 cascade=true.",
                listeners.len(),
                pools.len()
            )));
        }
        // They may lead to each other's listeners, and to the pools.
        listeners.iter().for_each(|listener| listener.remove_policies(draft));
        listeners.iter().try_for_each(|listener| listener.delete(draft, true))?;
        pools.iter().try_for_each(|pool| pool.delete(draft, true))?;
        draft.remove::<Self>(id);
        Ok(())
    }

    fn sample() -> Self {
        Self::default()
    }

    fn show(&self, view: &View<'_>) -> Map<String, Value> {
        let id = self.head.id;
        let first = self.vips.first();
        let pool = first.and_then(|vip| networks::by_subnet(view.control, vip.subnet?));
        let network = pool.map(networks::network);
        let more = self.vips.iter().skip(1);
        let more: Vec<_> =
            more.map(|vip| json!({ "ip_address": vip.address, "subnet_id": vip.subnet })).collect();
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("vip_address", json!(first.map(|vip| vip.address)));
        put("vip_subnet_id", json!(first.and_then(|vip| vip.subnet)));
        put("vip_network_id", json!(network));
        put("vip_port_id", json!(self.port()));
        put("vip_qos_policy_id", Value::Null);
        put("vip_sg_ids", json!([]));
        put("vip_vnic_type", json!("normal"));
        put("additional_vips", json!(more));
        put("provider", json!(self.provider));
        put("flavor_id", Value::Null);
        put("availability_zone", Value::Null);
        put("bandwidth_mbit", json!(self.bandwidth_mbit));
        let records = view.records;
        put("listeners", ids(records.children::<Listener>(id).map(|listener| listener.head.id)));
        put("pools", ids(records.children::<Pool>(id).map(|pool| pool.head.id)));
        object
    }

    fn operating_status(&self, view: &View<'_>) -> &'static str {
        if !self.head.is_enabled {
            return "OFFLINE";
        }
        let listeners =
            view.records.children::<Listener>(self.head.id).map(|listener| listener.operating_status(view));
        let pools = view.records.children::<Pool>(self.head.id).map(|pool| pool.operating_status(view));
        worst(listeners.chain(pools))
    }
}

/// The VIPs that a request asks for.
fn vips(draft: &Draft<'_>, fields: &mut Fields) -> Result<Vec<Vip>, Fault> {
    let taken: BTreeSet<IpAddr> =
        draft.records.all::<LoadBalancer>().flat_map(|other| &other.vips).map(|vip| vip.address).collect();
    let subnet = fields.id("vip_subnet_id")?.value();
    let network = fields.id("vip_network_id")?.value();
    let address = fields.text("vip_address", 64)?.value();
    if subnet.is_none() && network.is_none() && address.is_none() {
        return Err(Fault::invalid(
            "VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id. Ask /v2.0/subnets which there are.",
        ));
    }
    let pool = match (subnet, network) {
        (Some(subnet), network) => {
            let pool = networks::by_subnet(draft.control, subnet)
                .ok_or_else(|| Fault::not_found("Subnet", subnet))?;
            if let Some(network) = network.filter(|network| *network != networks::network(pool)) {
                return Err(Fault::value("vip_network_id", network, "The subnet is of another."));
            }
            Some(pool)
        }
        (None, Some(network)) => Some(
            networks::by_network(draft.control, network)
                .ok_or_else(|| Fault::not_found("Network", network))?,
        ),
        (None, None) => None,
    };
    let mut vips = vec![vip(draft, "vip_address", address, pool, &taken)?];
    for value in fields.list("additional_vips")?.value().unwrap_or_default() {
        let mut more = Fields::of_value(value, "additional_vips")?;
        let subnet = more.id("subnet_id")?.value().ok_or_else(|| missing("additional_vips.subnet_id"))?;
        let address = more.text("ip_address", 64)?.value();
        more.end()?;
        let pool =
            networks::by_subnet(draft.control, subnet).ok_or_else(|| Fault::not_found("Subnet", subnet))?;
        let taken = taken.iter().copied().chain(vips.iter().map(|vip| vip.address)).collect();
        vips.push(vip(draft, "additional_vips", address, Some(pool), &taken)?);
    }
    Ok(vips)
}

/// The VIP with this address, or a free one of the pool.
fn vip(
    draft: &Draft<'_>,
    attribute: &'static str,
    address: Option<String>,
    pool: Option<&VipPool>,
    taken: &BTreeSet<IpAddr>,
) -> Result<Vip, Fault> {
    let address = match (address, pool) {
        (Some(text), _) => {
            let address = HostAddress::parse(&text, "VIP").map_err(invalid(attribute))?.get();
            if taken.contains(&address) {
                return Err(Fault::conflict(format!("{address} is already a load balancer's VIP.")));
            }
            address
        }
        (None, Some(pool)) => pool
            .addresses()
            .find(|address| !taken.contains(address) && !(draft.is_own_address)(*address))
            .ok_or_else(|| Fault::conflict(format!("No address of {:?} is free.", pool.name.as_str())))?,
        (None, None) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let pool = match pool {
        Some(pool) => pool.has(address).then_some(pool),
        None => draft.control.vip_pools.iter().find(|pool| pool.has(address)),
    };
    let pool = pool.ok_or_else(|| {
        Fault::value(
            attribute,
            address,
            "It is of none of the VIP pools that apply; ask /v2.0/subnets for them.",
        )
    })?;
    Ok(Vip { address, subnet: Some(networks::subnet(pool)) })
}
