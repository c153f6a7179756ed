//! What a listener does at its edge towards the clients, ready for use: its settings, log and counters. One for each
//! VIP, in its snapshot; a changed configuration puts another in its place, and the next request goes by that.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use model::{
    edge::{Forwarded, RequestLimits, TrustedProxies},
    http::HttpTimeouts,
    object::{ListenerId, PoolId},
    policy::Action,
    served::{HttpListener, Listener, ListenerKey},
};

use super::{
    log::{Log, Logs},
    metrics::{Counters, Metrics},
    pools::SharedPools,
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Which listener it is.
    pub id: ListenerId,
    /// The load balancer's name.
    pub load_balancer: String,
    /// The listener's name.
    pub listener: String,
    /// Where it listens, as clients see it.
    pub vip: SocketAddr,
    /// Whether it speaks TLS.
    pub https: bool,
    /// Whether clients may speak HTTP/2 without it.
    pub cleartext_http2: bool,
    /// What a client may ask for.
    pub limits: RequestBounds,
    /// How long it waits for what.
    pub timeouts: Timeouts,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// Headers that tell members about the client.
    pub forwarded: Forwarded,
    /// Who begins connections with a PROXY protocol header.
    pub trusted: TrustedProxies,
    /// Where requests are written down.
    pub log: Option<Log>,
    /// The pools to which its policies send requests.
    pub pools: Vec<PoolId>,
    /// Where requests are counted.
    pub counters: Arc<Counters>,
}

/// [`RequestLimits`] as bare numbers, which the request path compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBounds {
    /// The largest request head in bytes, request line included.
    pub head_bytes: u32,
    /// What the heads of all requests under way on one HTTP/2 connection may take, in bytes.
    pub heads_bytes: u32,
    /// The most header lines in it.
    pub headers: u16,
    /// The longest pause within a request's body.
    pub body: Duration,
    /// The longest time in which a client takes nothing of its answer.
    pub send: Duration,
    /// The most requests that one HTTP/2 connection may have open.
    pub streams: u16,
}

impl From<RequestLimits> for RequestBounds {
    fn from(limits: RequestLimits) -> Self {
        Self {
            head_bytes: limits.head_bytes.get(),
            heads_bytes: limits.heads_bytes.get(),
            headers: limits.headers.get(),
            body: limits.body.duration(),
            send: limits.send.duration(),
            streams: limits.streams.get(),
        }
    }
}

impl Default for RequestBounds {
    fn default() -> Self {
        RequestLimits::default().into()
    }
}

/// [`HttpTimeouts`] as durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a request's first byte, or from the connection's beginning, to the end of its head.
    pub head: Duration,
    /// For a connection to a member, TLS included.
    pub connect: Duration,
    /// From the request, or from one part of the answer, to the next part.
    pub read: Duration,
    /// For the member to take the next part of the request.
    pub write: Duration,
    /// For the next bytes from either side once a WebSocket is open.
    pub tunnel: Duration,
}

impl From<HttpTimeouts> for Timeouts {
    fn from(timeouts: HttpTimeouts) -> Self {
        Self {
            head: timeouts.head.duration(),
            connect: timeouts.connect.duration(),
            read: timeouts.read.duration(),
            write: timeouts.write.duration(),
            tunnel: timeouts.tunnel.duration(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        HttpTimeouts::default().into()
    }
}

/// What the edges of all listeners share.
pub struct Edges {
    /// Access logs.
    pub logs: Logs,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Edges {
    /// No logs and no counters yet. Members of these pools are counted, too.
    ///
    /// # Errors
    /// There can be no thread for logs.
    pub fn new(pools: SharedPools) -> io::Result<Self> {
        Ok(Self { logs: Logs::start()?, metrics: Arc::new(Metrics::new(pools)) })
    }

    /// The edge of a listener with these Layer-7 settings.
    ///
    /// # Errors
    /// Its log cannot be opened.
    pub fn edge(&self, key: &ListenerKey, listener: &Listener, http: &HttpListener) -> io::Result<Edge> {
        let settings = &http.edge;
        let log = http.log.as_ref().map(|log| self.logs.open(log)).transpose()?;
        let (load_balancer, name) = (listener.load_balancer_name.as_str(), listener.name.as_str());
        Ok(Edge {
            id: listener.id,
            load_balancer: load_balancer.into(),
            listener: name.into(),
            vip: key.socket(),
            https: http.tls.is_some(),
            cleartext_http2: http.tls.is_none() && settings.cleartext_http2,
            limits: settings.limits.into(),
            timeouts: http.timeouts.into(),
            idle: listener.idle_timeout.duration(),
            forwarded: settings.forwarded,
            trusted: settings.trusted.clone(),
            log,
            pools: pools(http),
            counters: self.metrics.listener(listener.id, load_balancer, name),
        })
    }
}

impl Edge {
    /// Has its counters say what stands beside them: to be called when requests begin to go by it.
    pub fn is_in_force(&self) {
        self.counters.set_names(&self.load_balancer, &self.listener);
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
fn pools(http: &HttpListener) -> Vec<PoolId> {
    let pools = http.policies.iter().filter_map(|policy| match &policy.action {
        Action::Pool(id) => Some(*id),
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
