//! What is known of a health monitor.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What is known of a health monitor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthMonitor {
    pub(in crate::api) head: Head,
    pub(in crate::api) pool: Uuid,
    pub(in crate::api) kind: MonitorKind,
    /// Seconds.
    pub(in crate::api) delay: u32,
    /// Seconds, as the client gave them; what counts is at most the delay.
    pub(in crate::api) timeout: u32,
    pub(in crate::api) max_retries: u8,
    pub(in crate::api) max_retries_down: u8,
    pub(in crate::api) url_path: String,
    pub(in crate::api) expected_codes: String,
    pub(in crate::api) domain_name: Option<String>,
    pub(in crate::api) http_version: Option<String>,
}

/// What is asked, by Octavia's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum MonitorKind {
    /// Whether the port takes a connection.
    #[default]
    Tcp,
    /// What a GET is answered with.
    Http,
    /// The same over TLS.
    Https,
    /// Whether the host answers and the port is not called unreachable.
    UdpConnect,
}

/// What may be asked, by name.
pub const KINDS: [(&str, MonitorKind); 4] = [
    ("TCP", MonitorKind::Tcp),
    ("HTTP", MonitorKind::Http),
    ("HTTPS", MonitorKind::Https),
    ("UDP-CONNECT", MonitorKind::UdpConnect),
];
impl MonitorKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether it asks by HTTP.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

record!(HealthMonitor, "healthmonitor", "Health Monitor", |it| Some(it.pool));
