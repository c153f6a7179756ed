//! What is known of a listener.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::listener_tls::ListenerTls;
use crate::api::record::{Head, Record, record};

/// What is known of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listener {
    pub(in crate::api) head: Head,
    pub(in crate::api) load_balancer: Uuid,
    pub(in crate::api) protocol: Protocol,
    pub(in crate::api) port: u16,
    pub(in crate::api) default_pool: Option<Uuid>,
    /// None: as many as come.
    pub(in crate::api) connection_limit: Option<u32>,
    pub(in crate::api) insert_headers: BTreeMap<String, String>,
    /// Who may connect; none: everybody.
    pub(in crate::api) allowed_cidrs: Option<BTreeSet<IpNet>>,
    /// Milliseconds, as the other times.
    pub(in crate::api) client_data: u32,
    pub(in crate::api) member_connect: u32,
    pub(in crate::api) member_data: u32,
    /// Whether of several policies the one wins that says more, and not the first.
    pub(in crate::api) is_specific: bool,
    /// Of one that ends TLS.
    pub(in crate::api) tls: ListenerTls,
}

/// What a listener speaks, by Octavia's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP at Layer 4.
    #[default]
    Tcp,
    /// UDP at Layer 4.
    Udp,
    /// HTTP at Layer 7.
    Http,
    /// TLS that passes through at Layer 4.
    Https,
    /// HTTP over TLS that ends here.
    #[serde(rename = "TERMINATED_HTTPS")]
    TerminatedHttps,
}

impl Protocol {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::TerminatedHttps => "TERMINATED_HTTPS",
        }
    }

    /// Whether it is served at Layer 7.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::TerminatedHttps)
    }

    /// Whether its listeners may have pools that speak this.
    pub fn goes_with(self, pool: &str) -> bool {
        match self {
            Self::Tcp => matches!(pool, "TCP" | "HTTP" | "HTTPS"),
            Self::Udp => pool == "UDP",
            Self::Http | Self::TerminatedHttps => matches!(pool, "HTTP" | "PROXY" | "PROXYV2"),
            Self::Https => matches!(pool, "TCP" | "HTTPS"),
        }
    }
}

record!(Listener, "listener", "Listener", |it| Some(it.load_balancer));
