//! What a listener does at its edge towards the clients, ready for use: its settings, log and counters. One for each
//! VIP, in its snapshot; a changed configuration puts another in its place, and the next request goes by that.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;

use super::{
    log::{Log, Logs},
    metrics::{Counters, Metrics},
};
use crate::model::{
    Listener, ListenerKey,
    edge::{Forwarded, Limits, TrustedProxies},
    http::HttpListener,
    policy::Action,
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
    /// The pools to which its policies send requests.
    pub pools: Vec<String>,
    /// Where requests are counted.
    pub counters: Arc<Counters>,
}

/// What the edges of all listeners share.
pub struct Edges {
    /// Access logs.
    pub logs: Logs,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Edges {
    /// No logs and no counters yet.
    ///
    /// # Errors
    /// There can be no thread for logs.
    pub fn new() -> Result<Self> {
        Ok(Self { logs: Logs::start()?, metrics: Arc::default() })
    }

    /// The edge of a listener with these Layer-7 settings.
    ///
    /// # Errors
    /// Its log cannot be opened.
    pub fn edge(&self, key: &ListenerKey, listener: &Listener, http: &HttpListener) -> Result<Edge> {
        let settings = &http.edge;
        let log = settings.log.as_ref().map(|log| self.logs.open(log)).transpose()?;
        Ok(Edge {
            load_balancer: listener.load_balancer.clone(),
            listener: listener.name.clone(),
            vip: SocketAddr::new(key.vip, key.port),
            https: http.tls.is_some(),
            limits: settings.limits,
            head: http.timeouts.head,
            idle: listener.idle_timeout,
            forwarded: settings.forwarded,
            trusted: settings.trusted.clone(),
            log,
            pools: pools(http),
            counters: self.metrics.listener(&listener.load_balancer, &listener.name),
        })
    }
}

impl Edge {
    /// Has its counters say what stands beside them: to be called when requests begin to go by it.
    pub fn is_in_force(&self) {
        self.counters.set_log(self.log.clone());
        self.counters.set_pools(self.pools.clone());
    }

    /// Whom a request is for that names no host: the address that it came to.
    pub fn host(&self) -> String {
        vip(self.vip, self.https)
    }
}

/// An address as it stands in a URL, with the port if it is not the scheme's.
fn vip(address: SocketAddr, https: bool) -> String {
    match address.ip() {
        _ if address.port() != if https { 443 } else { 80 } => address.to_string(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The pools that a listener's policies name.
fn pools(http: &HttpListener) -> Vec<String> {
    let pools = http.policies.iter().filter_map(|policy| match &policy.action {
        Action::Pool(name) => Some(name.clone()),
        Action::Reject(_) | Action::Redirect(_) => None,
    });
    pools.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vip_names_its_port_if_that_is_not_the_schemes() {
        for (address, https, expected) in [
            ("192.0.2.1:80", false, "192.0.2.1"),
            ("192.0.2.1:80", true, "192.0.2.1:80"),
            ("192.0.2.1:443", true, "192.0.2.1"),
            ("[2001:db8::1]:443", true, "[2001:db8::1]"),
            ("[2001:db8::1]:8080", false, "[2001:db8::1]:8080"),
        ] {
            assert_eq!(vip(address.parse().unwrap(), https), expected);
        }
    }
}
