//! Pools, and the server groups whose members they share connections among.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use super::meta::Meta;
use crate::{
    algorithm::{Algorithm, Weights},
    health::Check,
    http::MemberHttp,
    id::{CertificateId, HealthMonitorId, MemberId, Object, ServerGroupId, kind},
    sticky::{Ejection, Sticky},
    transport::OnDown,
    value::{HostAddress, Name, Port, Seconds, StickyMinutes, Weight},
};

/// A pool: how connections or requests are shared among the members of a server group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What every object has.
    pub meta: Meta,
    /// Whose members.
    pub server_group: ServerGroupId,
    /// What weights are to source hash.
    pub weights: Weights,
    /// What becomes of the sessions or requests of a member that goes down.
    pub on_down: OnDown,
    /// For which listeners.
    pub kind: PoolKind,
}

/// For which listeners a pool is, and how it shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// For TCP and UDP listeners.
    Layer4 {
        /// How members share the connections; by turns, for how long a client stays with its member.
        algorithm: Algorithm<Option<StickyMinutes>>,
        /// For how long sessions may stay with a member that was removed or has weight 0, before they are reset. None:
        /// until they end.
        drain_timeout: Option<Seconds>,
    },
    /// For HTTP and HTTPS listeners.
    Layer7 {
        /// How members share the requests.
        algorithm: Algorithm<Turns7>,
        /// How they are spoken to.
        http: MemberHttp<CertificateId>,
        /// When a member that fails rests.
        ejection: Option<Ejection>,
    },
}

impl PoolKind {
    /// The algorithm, without what goes with it.
    pub const fn algorithm(&self) -> Algorithm<()> {
        match self {
            Self::Layer4 { algorithm, .. } => algorithm.bare(),
            Self::Layer7 { algorithm, .. } => algorithm.bare(),
        }
    }

    /// The CA whose certificates members must show, if one is named.
    pub fn authorities(&self) -> Option<CertificateId> {
        match self {
            Self::Layer4 { .. } => None,
            Self::Layer7 { http, .. } => http.tls.as_ref()?.authorities().copied(),
        }
    }
}

/// What turns of requests may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns7 {
    /// How clients stay with their member.
    pub sticky: Option<Sticky>,
    /// For how long a new member's share grows.
    pub slow_start: Option<Seconds>,
}

/// A list of servers that one or several pools use, and that is checked once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerGroup {
    /// What every object has.
    pub meta: Meta,
    /// Its members; no two have the same address and port.
    pub members: BTreeMap<MemberId, Arc<Member>>,
    /// How they are checked; if they are not, all count as healthy.
    pub monitor: Option<HealthMonitor>,
}

/// A member of a server group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What every object has.
    pub meta: Meta,
    /// Its address.
    pub address: HostAddress,
    /// The port that it serves.
    pub port: Port,
    /// Its share.
    pub weight: Weight,
    /// Whether it takes new connections; if not, it drains as with weight 0.
    pub enabled: bool,
    /// Whether it takes connections only while no other member does.
    pub backup: bool,
    /// Where it stands; for people.
    pub zone: Name,
    /// Where it is checked, if not at its own address.
    pub monitor_address: Option<HostAddress>,
    /// The port that is checked, if neither its own nor the check's.
    pub monitor_port: Option<Port>,
}

impl Member {
    /// Address and port.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address.get(), self.port.get())
    }
}

/// How the members of a group are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthMonitor {
    /// Its own; no two monitors have the same.
    pub id: HealthMonitorId,
    /// What every object has.
    pub meta: Meta,
    /// What is asked, and how often.
    pub check: Arc<Check<CertificateId>>,
}

impl ServerGroup {
    /// The CA whose certificates members must show to be healthy, if one is named.
    pub fn authorities(&self) -> Option<CertificateId> {
        self.monitor.as_ref()?.check.authorities().copied()
    }
}

impl Object for Pool {
    type Kind = kind::Pool;
}

impl Object for ServerGroup {
    type Kind = kind::ServerGroup;
}

impl Object for Member {
    type Kind = kind::Member;
}

impl Object for HealthMonitor {
    type Kind = kind::HealthMonitor;
}
