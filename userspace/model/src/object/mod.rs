//! Objects as operators know them, by id. What belongs to one object alone is inside of it: policies in their listener,
//! members and the health monitor in their server group. References between objects are ids.
//!
//! Names may be empty, and two objects may have the same one.

mod listener;
mod meta;
mod pool;

use std::{collections::BTreeMap, sync::Arc};

pub use self::{
    listener::{Http, Listener, Policy, Reference, Service, Tls},
    meta::{Meta, Project, Source},
    pool::{HealthMonitor, Member, Pool, PoolKind, ServerGroup, Turns7},
};
use crate::{
    access::Access,
    edge::LogFormat,
    id::{Id, Kind},
    tls::{Authorities, ServerCertificate},
    value::{HostAddress, LogPath, Megabits},
};

/// Of a load balancer.
pub type LoadBalancerId = Id<LoadBalancer>;
/// Of a listener.
pub type ListenerId = Id<Listener>;
/// Of a forwarding policy.
pub type PolicyId = Id<Policy>;
/// Of a pool.
pub type PoolId = Id<Pool>;
/// Of a server group.
pub type ServerGroupId = Id<ServerGroup>;
/// Of a member.
pub type MemberId = Id<Member>;
/// Of a certificate.
pub type CertificateId = Id<Certificate>;
/// Of an access list.
pub type AccessListId = Id<AccessList>;
/// Of an access log.
pub type AccessLogId = Id<AccessLog>;

/// Objects of one kind by id. A change shares what it does not touch.
pub type Map<T> = BTreeMap<Id<T>, Arc<T>>;

/// All objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Load balancers.
    pub load_balancers: Map<LoadBalancer>,
    /// Listeners with their policies.
    pub listeners: Map<Listener>,
    /// Pools.
    pub pools: Map<Pool>,
    /// Server groups with their members and health monitors.
    pub server_groups: Map<ServerGroup>,
    /// Certificates.
    pub certificates: Map<Certificate>,
    /// Access lists.
    pub access_lists: Map<AccessList>,
    /// Access logs.
    pub access_logs: Map<AccessLog>,
}

/// A load balancer: addresses that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancer {
    /// What every object has.
    pub meta: Meta,
    /// Its VIPs.
    pub vips: Vec<HostAddress>,
    /// What all its listeners forward together, both directions added up, from the IP header on.
    pub bandwidth: Option<Megabits>,
    /// Where its HTTP listeners' requests are written down.
    pub access_log: Option<AccessLogId>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What every object has.
    pub meta: Meta,
    /// What it is good for.
    pub material: Material,
}

/// What a certificate is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// It is a server's, with its key.
    Server(Arc<ServerCertificate>),
    /// They are CAs', which say whose certificates are good.
    Authorities(Arc<Authorities>),
}

/// An access list of one or several listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessList {
    /// What every object has.
    pub meta: Meta,
    /// Who may connect.
    pub access: Access,
}

/// An access log of one or several load balancers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// What every object has.
    pub meta: Meta,
    /// The file.
    pub path: LogPath,
    /// How a request is written.
    pub format: LogFormat,
}

impl Kind for LoadBalancer {
    const NAME: &'static str = "load balancer";
}

impl Kind for Certificate {
    const NAME: &'static str = "certificate";
}

impl Kind for AccessList {
    const NAME: &'static str = "access list";
}

impl Kind for AccessLog {
    const NAME: &'static str = "access log";
}
