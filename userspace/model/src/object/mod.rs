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
    id::{Id, Object, kind},
    tls::{Authorities, ServerCertificate},
    value::{HostAddress, LogPath, Megabits},
};

pub use crate::id::{
    AccessListId, AccessLogId, CertificateId, HealthMonitorId, ListenerId, LoadBalancerId, MemberId,
    PolicyId, PoolId, ServerGroupId,
};

/// Objects of one kind by id. A change shares what it does not touch.
pub type Map<T> = BTreeMap<Id<<T as Object>::Kind>, Arc<T>>;

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

impl Object for LoadBalancer {
    type Kind = kind::LoadBalancer;
}

impl Object for Certificate {
    type Kind = kind::Certificate;
}

impl Object for AccessList {
    type Kind = kind::AccessList;
}

impl Object for AccessLog {
    type Kind = kind::AccessLog;
}
