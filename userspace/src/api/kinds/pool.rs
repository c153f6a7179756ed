//! What is known of a pool.

use model::{
    id::{Id, of_text},
    object::PoolId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What is known of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pool {
    pub(in crate::api) head: Head,
    /// None only of the file's, which may be several load balancers'.
    pub(in crate::api) load_balancer: Option<Uuid>,
    pub(in crate::api) protocol: PoolProtocol,
    pub(in crate::api) algorithm: PoolAlgorithm,
    /// Whether members' weights are nothing to [`PoolAlgorithm::SourceIp`].
    pub(in crate::api) ignores_weights: bool,
    pub(in crate::api) persistence: Option<Persistence>,
    /// Whether members are spoken to over TLS; their certificates are not checked.
    pub(in crate::api) tls_enabled: bool,
}

/// What a pool's members speak, by Octavia's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PoolProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// HTTP.
    Http,
    /// TLS that passes through.
    Https,
    /// HTTP after a PROXY protocol header of version 1.
    Proxy,
    /// The same of version 2.
    ProxyV2,
}

/// How a pool shares, by Octavia's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PoolAlgorithm {
    /// By turns.
    #[default]
    RoundRobin,
    /// To the member that has the fewest.
    LeastConnections,
    /// By the client's address.
    SourceIp,
}

/// How a pool's clients stay with their members, by Octavia's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// `SOURCE_IP`, `HTTP_COOKIE` or `APP_COOKIE`.
    pub kind: String,
    /// The application's cookie.
    pub cookie_name: Option<String>,
    /// Seconds, of `SOURCE_IP`.
    pub timeout: Option<u32>,
}

/// What a pool's members may speak, by name.
pub const PROTOCOLS: [(&str, PoolProtocol); 6] = [
    ("TCP", PoolProtocol::Tcp),
    ("UDP", PoolProtocol::Udp),
    ("HTTP", PoolProtocol::Http),
    ("HTTPS", PoolProtocol::Https),
    ("PROXY", PoolProtocol::Proxy),
    ("PROXYV2", PoolProtocol::ProxyV2),
];
/// How a pool may share, by name.
pub const ALGORITHMS: [(&str, PoolAlgorithm); 3] = [
    ("ROUND_ROBIN", PoolAlgorithm::RoundRobin),
    ("LEAST_CONNECTIONS", PoolAlgorithm::LeastConnections),
    ("SOURCE_IP", PoolAlgorithm::SourceIp),
];

impl PoolProtocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        PROTOCOLS.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| name)
    }

    /// Whether it is served at Layer 7.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Proxy | Self::ProxyV2)
    }
}

record!(Pool, "pool", "Pool", |it| it.load_balancer);

/// The ids under which a pool is or may be served.
pub fn served_as(pool: &Pool) -> [PoolId; 2] {
    [Id::from_uuid(pool.head.id), at_layer4(pool.head.id)]
}

/// The id of an HTTP pool as TCP listeners use it.
pub fn at_layer4(pool: Uuid) -> PoolId {
    Id::from_uuid(of_text(&format!("layer 4\0{pool}")))
}
