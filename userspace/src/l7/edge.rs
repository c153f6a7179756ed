//! What a listener does at its edge towards the clients, ready for use: its settings, log and counters. One for each
//! VIP; a changed configuration puts another in its place, and the next request goes by that.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{log::Log, metrics::Counters};
use crate::model::{
    Listener, ListenerKey,
    edge::{Forwarded, Limits, TrustedProxies},
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The load balancer's name.
    pub load_balancer: String,
    /// The listener's name.
    pub listener: String,
    /// Where it listens, as clients see it.
    pub vip: SocketAddr,
    /// Whether it speaks TLS.
    pub https: bool,
    /// What a client may ask for.
    pub limits: Limits,
    /// How long a request's head may take.
    pub head: Duration,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// Headers that tell members about the client.
    pub forwarded: Forwarded,
    /// Who begins connections with a PROXY protocol header.
    pub trusted: TrustedProxies,
    /// Where requests are written down.
    pub log: Option<Log>,
    /// Where they are counted.
    pub counters: Arc<Counters>,
}

impl Edge {
    /// The edge of an HTTP or HTTPS listener, `None` for others.
    pub fn new(
        key: &ListenerKey,
        listener: &Listener,
        log: Option<Log>,
        counters: Arc<Counters>,
    ) -> Option<Self> {
        let http = listener.http.as_ref()?;
        counters.set_log(log.clone());
        Some(Self {
            load_balancer: listener.load_balancer.clone(),
            listener: listener.name.clone(),
            vip: SocketAddr::new(key.vip.into(), key.port),
            https: http.tls.is_some(),
            limits: http.edge.limits,
            head: http.timeouts.head,
            idle: listener.idle_timeout,
            forwarded: http.edge.forwarded,
            trusted: http.edge.trusted.clone(),
            log,
            counters,
        })
    }
}
