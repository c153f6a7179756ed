//! What a host serves because of its objects: listeners by what they listen on, and pools, flattened to what the two
//! layers ask for. `flatten` makes it; `plan` compares two.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

pub use crate::transport::{OnDown, Protocol, WhenDown, WithoutSession};
use crate::{
    access::Access,
    algorithm::Algorithm,
    edge::{AccessLog, Edge},
    health::Check,
    http::{HttpTimeouts, MemberHttp},
    id::{ListenerId, LoadBalancerId, PoolId},
    policy::{self, Condition, PolicyOrder},
    sticky::{Ejection, Sticky},
    tls::{Authorities, Ciphers, ServerCertificate, TlsPolicy},
    value::{ConnectionRate, MaxConnections, Megabits, Name, Port, Seconds, StickyMinutes, Weight},
};

/// All that one host serves. Keys are identities: two of these that share a key mean the same thing, changed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Every load balancer's VIPs, with or without listeners.
    pub vips: BTreeSet<IpAddr>,
    /// Listeners by what they listen on. Every VIP in a key is in `vips`, every pool named is in `pools`.
    pub listeners: BTreeMap<ListenerKey, Arc<Listener>>,
    /// Pools by id.
    pub pools: BTreeMap<PoolId, Arc<Pool>>,
}

/// What a listener listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey {
    /// The VIP.
    pub vip: IpAddr,
    /// The port.
    pub port: Port,
    /// The transport protocol.
    pub protocol: Protocol,
}

impl ListenerKey {
    /// VIP and port.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.vip, self.port.get())
    }
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Which one it is. At several VIPs it is the same one.
    pub id: ListenerId,
    /// Its name.
    pub name: Name,
    /// Whose it is.
    pub load_balancer: LoadBalancerId,
    /// The name of that.
    pub load_balancer_name: Name,
    /// Where its connections go, or its requests that no policy sends elsewhere. Only an HTTP listener may have none.
    pub pool: Option<PoolId>,
    /// How long an established TCP session, a UDP session that the backend has answered, or an HTTP client's connection
    /// between two requests may be idle.
    pub idle_timeout: Seconds,
    /// Who may connect.
    pub access: Access,
    /// How much it takes.
    pub limits: Limits,
    /// What a client hears while no member takes connections.
    pub when_down: WhenDown,
    /// Whether it was removed and only goes on with the connections that it has. Only of HTTP listeners.
    pub drains: bool,
    /// What makes it a Layer-7 listener; its key's protocol is TCP then.
    pub http: Option<Arc<HttpListener>>,
}

/// How much a listener takes; none of a limit is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What all listeners of its load balancer forward together, both directions added up, from the IP header on. The
    /// same in all of them.
    pub bandwidth: Option<Megabits>,
    /// Connections at the same time.
    pub connections: Option<MaxConnections>,
    /// New connections per second in the long run; after a quiet second so many may come at once.
    pub connections_per_second: Option<ConnectionRate>,
}

/// The Layer-7 part of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpListener {
    /// TLS, which makes it an HTTPS listener.
    pub tls: Option<Tls>,
    /// How long it waits for what.
    pub timeouts: HttpTimeouts,
    /// Where its requests are written down.
    pub log: Option<AccessLog>,
    /// What it does at its edge towards the clients.
    pub edge: Edge,
    /// Where requests go that are not for the listener's own pool, in order.
    pub policies: Vec<Policy>,
    /// Which of several policies wins.
    pub policy_order: PolicyOrder,
    /// Where all requests are sent instead; policies and pool do not matter then.
    pub redirect: Option<Redirect>,
}

impl HttpListener {
    /// The protocol's name in files and tables.
    pub const fn protocol(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// TLS towards the clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
    /// Never empty. For a name that a client asks for, the first that is for exactly this name, else the first that
    /// has a wildcard for it.
    pub certificates: Vec<Arc<ServerCertificate>>,
    /// For clients that ask for another name, or for none; one of `certificates`.
    pub default_certificate: Arc<ServerCertificate>,
    /// If given, only clients with a certificate of these are let in.
    pub client_ca: Option<Arc<Authorities>>,
    /// Versions and ciphers.
    pub policy: TlsPolicy,
    /// Other ciphers than the policy's.
    pub ciphers: Option<Ciphers>,
}

/// One forwarding policy of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: Name,
    /// Which requests it is for.
    pub condition: Arc<Condition>,
    /// What happens to them.
    pub action: Action,
}

/// What happens to a request; another listener is named by its port.
pub type Action = policy::Action<Port>;
/// Where a request is sent.
pub type Redirect = policy::Redirect<Port>;
/// The same.
pub type RedirectTo = policy::RedirectTo<Port>;

/// A pool: members that share the connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: Name,
    /// Its members by address and port.
    pub members: BTreeMap<SocketAddr, Member>,
    /// How they share them; by turns, for how long a client of Layer 4 stays with its member.
    pub algorithm: Algorithm<Option<StickyMinutes>>,
    /// How members are checked; if they are not, all count as healthy.
    pub check: Option<Arc<Check>>,
    /// For how long sessions may stay with a member that was removed or has weight 0, before they are reset. None:
    /// until they end.
    pub drain_timeout: Option<Seconds>,
    /// What becomes of the sessions or requests of a member that goes down.
    pub on_down: OnDown,
    /// What makes it a pool for HTTP listeners, and for them only.
    pub http: Option<HttpPool>,
}

/// A member of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its share; 0 if it takes no new connections.
    pub weight: Weight,
    /// Whether it takes connections only while no other member does.
    pub backup: bool,
    /// Where it is checked.
    pub checked_at: SocketAddr,
}

/// The Layer-7 part of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPool {
    /// How members are spoken to.
    pub member: MemberHttp,
    /// How clients stay with their member; round robin only.
    pub sticky: Option<Sticky>,
    /// For how long a new member's share grows; round robin only.
    pub slow_start: Option<Seconds>,
    /// When a member that fails rests.
    pub ejection: Option<Ejection>,
}
