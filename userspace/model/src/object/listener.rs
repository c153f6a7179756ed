//! Listeners and their policies.

use std::{collections::BTreeSet, sync::Arc};

use super::meta::Meta;
use crate::{
    edge::Edge,
    http::HttpTimeouts,
    id::{AccessListId, CertificateId, ListenerId, LoadBalancerId, Object, PolicyId, PoolId, kind},
    policy::{Action, Condition, PolicyOrder, Redirect},
    tls::{Ciphers, TlsPolicy},
    transport::{Protocol, WhenDown},
    value::{ConnectionRate, MaxConnections, Port, Seconds},
};

/// A listener: a port of a load balancer, and what happens to what comes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What every object has.
    pub meta: Meta,
    /// Whose VIPs it is at.
    pub load_balancer: LoadBalancerId,
    /// The port of those.
    pub port: Port,
    /// What it speaks.
    pub service: Service,
    /// Where its connections go, or its requests that no policy sends elsewhere. Only HTTP needs none.
    pub default_pool: Option<PoolId>,
    /// How long an established TCP session, a UDP session that the backend has answered, or an HTTP client's connection
    /// between two requests may be idle.
    pub idle_timeout: Seconds,
    /// Who may connect; everybody if there is none.
    pub access_list: Option<AccessListId>,
    /// The most connections at the same time.
    pub max_connections: Option<MaxConnections>,
    /// The most new connections per second in the long run; after a quiet second so many may come at once.
    pub max_connections_per_second: Option<ConnectionRate>,
}

impl Listener {
    /// How long it may be idle, unless the operator says: at Layer 4.
    pub const IDLE_TIMEOUT: Seconds = Seconds::literal(300);
    /// The same between two requests.
    pub const HTTP_IDLE_TIMEOUT: Seconds = Seconds::literal(60);

    /// Its Layer-7 settings, if it has some.
    pub const fn http(&self) -> Option<&Http> {
        match &self.service {
            Service::Http { http, .. } | Service::Https { http, .. } => Some(http),
            Service::Tcp { .. } | Service::Udp => None,
        }
    }

    /// Every object that it needs, as often as it names it.
    pub fn references(&self) -> impl Iterator<Item = Reference> {
        let policies = self.http().map_or(&[][..], |http| &http.policies);
        let of_policy = |policy: &Arc<Policy>| match &policy.action {
            Action::Pool(pool) => Some(Reference::Pool(*pool)),
            Action::Redirect(redirect) => redirect.listener().map(Reference::Listener),
            Action::Reject(_) => None,
        };
        let (redirect, tls) = match &self.service {
            Service::Http { redirect, .. } => (redirect.as_ref(), None),
            Service::Https { tls, .. } => (None, Some(tls)),
            Service::Tcp { .. } | Service::Udp => (None, None),
        };
        let own = [
            Some(Reference::LoadBalancer(self.load_balancer)),
            self.default_pool.map(Reference::Pool),
            self.access_list.map(Reference::AccessList),
            redirect.and_then(Redirect::listener).map(Reference::Listener),
            tls.map(|tls| Reference::Certificate(tls.default_certificate)),
            tls.and_then(|tls| tls.client_ca).map(Reference::Certificate),
        ];
        let certificates = tls.map_or(&[][..], |tls| &tls.certificates);
        let certificates = certificates.iter().copied().map(Reference::Certificate);
        own.into_iter().flatten().chain(certificates).chain(policies.iter().filter_map(of_policy))
    }
}

/// What a listener refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// Its load balancer.
    LoadBalancer(LoadBalancerId),
    /// One that clients are redirected to.
    Listener(ListenerId),
    /// One that it or a policy sends to.
    Pool(PoolId),
    /// Its own one or one of those that it believes.
    Certificate(CertificateId),
    /// Who may connect.
    AccessList(AccessListId),
}

/// What a listener speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// TCP, forwarded at Layer 4.
    Tcp {
        /// What a client hears while no member takes connections.
        when_down: WhenDown,
    },
    /// UDP, forwarded at Layer 4.
    Udp,
    /// HTTP.
    Http {
        /// Its settings.
        http: Http,
        /// Where all requests are sent instead; policies and pool do not matter then.
        redirect: Option<Redirect<ListenerId>>,
    },
    /// HTTP over TLS.
    Https {
        /// Its settings.
        http: Http,
        /// Those of TLS.
        tls: Tls,
    },
}

impl Service {
    /// Its name in files and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp",
            Self::Udp => "udp",
            Self::Http { .. } => "http",
            Self::Https { .. } => "https",
        }
    }

    /// What carries it.
    pub const fn transport(&self) -> Protocol {
        match self {
            Self::Udp => Protocol::Udp,
            Self::Tcp { .. } | Self::Http { .. } | Self::Https { .. } => Protocol::Tcp,
        }
    }
}

/// The Layer-7 settings of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// How long it waits for what.
    pub timeouts: HttpTimeouts,
    /// What it does at its edge towards the clients.
    pub edge: Edge,
    /// Where requests go that are not for the listener's own pool, in their order.
    pub policies: Vec<Arc<Policy>>,
    /// Which of several policies wins.
    pub policy_order: PolicyOrder,
}

/// The TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
    /// Servers' certificates, never empty. For a name that a client asks for, the first that is for exactly this name,
    /// else the first that has a wildcard for it.
    pub certificates: Vec<CertificateId>,
    /// For clients that ask for another name, or for none; one of `certificates`.
    pub default_certificate: CertificateId,
    /// If given, only clients with a certificate of these are let in.
    pub client_ca: Option<CertificateId>,
    /// Versions and ciphers.
    pub policy: TlsPolicy,
    /// Other ciphers than the policy's.
    pub ciphers: Option<Ciphers>,
}

/// A forwarding policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its own; no two policies have the same.
    pub id: PolicyId,
    /// What every object has.
    pub meta: Meta,
    /// Which requests it is for.
    pub condition: Arc<Condition>,
    /// What happens to them.
    pub action: Action<ListenerId>,
}

impl Policy {
    /// The pools that the policies of a listener send requests to.
    pub fn pools<'a>(policies: impl IntoIterator<Item = &'a Arc<Policy>>) -> BTreeSet<PoolId> {
        let pool = |policy: &Arc<Policy>| match policy.action {
            Action::Pool(pool) => Some(pool),
            Action::Reject(_) | Action::Redirect(_) => None,
        };
        policies.into_iter().filter_map(pool).collect()
    }
}

impl Object for Listener {
    type Kind = kind::Listener;
}

impl Object for Policy {
    type Kind = kind::Policy;
}
