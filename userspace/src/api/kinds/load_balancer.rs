//! What is known of a load balancer.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What is known of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    pub(in crate::api) head: Head,
    /// Its VIPs, the first of them `vip_address`.
    pub(in crate::api) vips: Vec<Vip>,
    /// What it may forward.
    pub(in crate::api) bandwidth_mbit: Option<u32>,
    /// As the client named it; there is one.
    pub(in crate::api) provider: String,
}

/// One VIP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    /// The address.
    pub address: IpAddr,
    /// The subnet that it is from, if it is from one.
    pub subnet: Option<Uuid>,
}

/// The names of the only provider: ours, and what clients say that know Octavia alone.
pub const PROVIDERS: [&str; 3] = ["evenkeel", "octavia", "amphora"];

record!(LoadBalancer, "loadbalancer", "Load Balancer", |_| None);
