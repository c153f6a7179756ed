//! What belongs to this machine and not to its load balancers: interfaces, local addresses, timeouts.
//!
//! `config/` makes these from the file; like `model`, they know no file format. The load balancers are in `model`.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

/// The most local addresses of one host.
pub const MAX_LOCAL_ADDRESSES: u32 = 256;

/// Where the data path sits and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Names of the interfaces that XDP is attached to; 1 to [`xdp_ebpf::abi::MAX_INTERFACES`], each once.
    pub interfaces: Vec<String>,
    /// The local addresses (LIPs): ascending, so those of IPv4 first; each once, at most [`MAX_LOCAL_ADDRESSES`].
    pub local_addresses: Vec<IpAddr>,
    /// Ports of the local addresses that sessions may use; not empty, never port 0.
    pub local_ports: RangeInclusive<u16>,
    /// How many sessions there is room for; 1024 to 16,777,216.
    pub max_sessions: u32,
}

impl Host {
    /// Why a data path that was made for this one cannot follow another, and what to do; `None` if it can.
    pub fn refuse(&self, other: &Host) -> Option<String> {
        let keys = [
            ("interfaces", self.interfaces != other.interfaces),
            ("local_addresses", self.local_addresses != other.local_addresses),
            ("local_ports", self.local_ports != other.local_ports),
            ("max_sessions", self.max_sessions != other.max_sessions),
        ];
        let differ: Vec<_> =
            keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| format!("host.{key}")).collect();
        let way = match differ.as_slice() {
            [] => return None,
            [interfaces] if interfaces == "host.interfaces" => {
                "end this process and start another (sessions go on meanwhile)"
            }
            _ => "end this process, `evenkeel unload` and start another (all sessions end)",
        };
        Some(format!("another {} than runs: {way}", differ.join(", ")))
    }
}

/// How long a session may rest in each state; whole seconds, 1 s to a day. An established TCP session's and an
/// answered UDP session's is the listener's idle timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// SYN seen, handshake not complete.
    pub syn_recv: Duration,
    /// The backend has closed its side.
    pub fin_wait: Duration,
    /// Both sides have closed.
    pub time_wait: Duration,
    /// A reset was seen.
    pub close: Duration,
    /// The client has closed its side.
    pub close_wait: Duration,
    /// The client has closed, then the backend; the last acknowledgement is missing.
    pub last_ack: Duration,
    /// UDP that the backend has not answered.
    pub udp_one_way: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            syn_recv: Duration::from_secs(30),
            fin_wait: Duration::from_secs(60),
            time_wait: Duration::from_secs(7),
            close: Duration::from_secs(10),
            close_wait: Duration::from_secs(60),
            last_ack: Duration::from_secs(30),
            udp_one_way: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_is_refused_with_the_way_to_it() {
        let host = Host {
            interfaces: vec!["eth0".into()],
            local_addresses: vec![[100, 64, 0, 1].into()],
            local_ports: 1024..=65535,
            max_sessions: 4096,
        };
        assert_eq!(host.refuse(&host), None);
        let moved = Host { interfaces: vec!["eth1".into()], ..host.clone() };
        assert_eq!(
            host.refuse(&moved).unwrap(),
            "another host.interfaces than runs: end this process and start another (sessions go on meanwhile)"
        );
        let larger = Host { max_sessions: 8192, local_ports: 1..=9, ..moved };
        assert_eq!(
            host.refuse(&larger).unwrap(),
            "another host.interfaces, host.local_ports, host.max_sessions than runs: end this process, `evenkeel unload` and start another (all sessions end)"
        );
    }
}
