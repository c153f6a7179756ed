//! What belongs to this machine and not to its load balancers: interfaces, local addresses, timeouts.

use std::{net::IpAddr, ops::RangeInclusive};

use ipnet::{IpAddrRange, IpNet, Ipv4AddrRange, Ipv6AddrRange};

use crate::{
    invalid::Invalid,
    transport::WithoutSession,
    value::{HalfOpen, HostAddress, Network, PathMtu, Port, ResetRate, Seconds, Sessions},
};

/// The most MACs of virtual routers.
pub const MAX_VIRTUAL_MACS: usize = 8;
/// The most local addresses of one host.
pub const MAX_LOCAL_ADDRESSES: u32 = 256;

/// Where the data path sits and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Names of the interfaces that XDP is attached to: at least one, each once.
    pub interfaces: Vec<Interface>,
    /// The local addresses (LIPs).
    pub local_addresses: LocalAddresses,
    /// Ports of the local addresses that sessions may use; not empty.
    pub local_ports: RangeInclusive<u16>,
    /// How many sessions there is room for.
    pub max_sessions: Sessions,
    /// Whether neighbours are told of VIPs and local addresses that come to this host.
    pub announce: bool,
    /// The most half-open sessions that a listener has with clients of one network: a /24, or a /64 of IPv6.
    pub max_half_open: HalfOpen,
    /// The least MTU that backends are told to take for a path to a client.
    pub min_path_mtu: PathMtu,
    /// MACs beside those of the interfaces whose frames are for this host: at most [`MAX_VIRTUAL_MACS`], each once.
    pub virtual_macs: Vec<VirtualMac>,
    /// What the senders of TCP segments without a session hear.
    pub without_session: WithoutSession,
    /// So many of them in a second.
    pub resets_per_second: ResetRate,
}

/// What `[host]` says if it says nothing.
impl Default for Host {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            local_addresses: LocalAddresses::default(),
            local_ports: LOCAL_PORTS,
            max_sessions: MAX_SESSIONS,
            announce: true,
            max_half_open: HalfOpen::literal(4096),
            min_path_mtu: PathMtu::literal(1280),
            virtual_macs: Vec::new(),
            without_session: WithoutSession::default(),
            resets_per_second: ResetRate::literal(1000),
        }
    }
}

impl Host {
    /// Which settings differ from `other`'s, by their keys in the file, of those that a data path which was made for one
    /// of the two cannot follow.
    pub fn differences(&self, other: &Host) -> Vec<&'static str> {
        let keys = [
            ("host.interfaces", self.interfaces != other.interfaces),
            ("host.local_addresses", self.local_addresses != other.local_addresses),
            ("host.local_ports", self.local_ports != other.local_ports),
            ("host.max_sessions", self.max_sessions != other.max_sessions),
        ];
        keys.iter().filter(|(_, differs)| *differs).map(|&(key, _)| key).collect()
    }
}

/// The default of [`Host::local_ports`].
pub const LOCAL_PORTS: RangeInclusive<u16> = 1024..=65_535;
/// The default of [`Host::max_sessions`].
pub const MAX_SESSIONS: Sessions = Sessions::literal(1 << 20);

/// A range of ports from its text, `first-last`, both in it.
///
/// # Errors
/// It is none, or empty, or has port 0.
pub fn port_range(text: &str) -> Result<RangeInclusive<u16>, Invalid> {
    use crate::value::Number;

    let port = |text: &str| Some(Port::new(text.parse().ok()?).ok()?.get());
    let range = text.split_once('-').and_then(|(first, last)| Some(port(first)?..=port(last)?));
    range.filter(|range| !range.is_empty()).ok_or_else(|| {
        Invalid::new(
            format!("{text:?} is not a range of ports"),
            "use first-last, both 1 to 65535, such as \"1024-65535\"",
        )
    })
}

/// The name of an interface: 1 to 15 bytes that the kernel would take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface(String);

impl Interface {
    /// Checks one.
    ///
    /// # Errors
    /// The kernel could not give this name.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == ':';
        if text.is_empty() || text.len() > 15 || matches!(text, "." | "..") || text.contains(forbidden) {
            let reason = format!("{text:?} cannot be an interface");
            return Err(Invalid::new(reason, "use a name as `ip link` shows it"));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The MAC of a virtual router, such as VRRP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualMac([u8; 6]);

impl VirtualMac {
    /// From its text: six bytes in hexadecimal, with colons.
    ///
    /// # Errors
    /// It is none, or nobody's: all zeros.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split(':').collect();
        let is_byte = |part: &&str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit());
        let mut bytes = [0; 6];
        let is_one = parts.len() == bytes.len() && parts.iter().all(is_byte);
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = u8::from_str_radix(part, 16).unwrap_or(0);
        }
        if !is_one || bytes == [0; 6] {
            let reason = format!("{text:?} is not a MAC");
            return Err(Invalid::new(reason, "use six bytes with colons, such as \"00:00:5e:00:01:0a\""));
        }
        Ok(Self(bytes))
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl std::fmt::Display for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The local addresses of a host, as ranges of which none overlaps another: at most [`MAX_LOCAL_ADDRESSES`] in all. Two
/// are the same if they have the same addresses, in whatever ranges.
#[derive(Clone, Debug, Default)]
pub struct LocalAddresses(Vec<Network>);

impl PartialEq for LocalAddresses {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for LocalAddresses {}

impl LocalAddresses {
    /// These ranges by their first addresses, without those that lie in another; [`overlap`] tells which do.
    ///
    /// # Errors
    /// There are more addresses than [`MAX_LOCAL_ADDRESSES`].
    pub fn new(ranges: impl IntoIterator<Item = Network>) -> Result<Self, Invalid> {
        let mut sorted: Vec<Network> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut ranges: Vec<Network> = Vec::with_capacity(sorted.len());
        for range in sorted {
            if ranges.last().is_none_or(|last| overlap(*last, range).is_none()) {
                ranges.push(range);
            }
        }
        let addresses = |range: &Network| {
            let range = range.get();
            1u64.checked_shl((range.max_prefix_len() - range.prefix_len()).into()).unwrap_or(u64::MAX)
        };
        let total = ranges.iter().map(addresses).fold(0, u64::saturating_add);
        if total > u64::from(MAX_LOCAL_ADDRESSES) {
            let total = if total > 1 << 32 { "more than 2³²".to_owned() } else { total.to_string() };
            return Err(Invalid::new(
                format!("{total} addresses in all"),
                format!("use at most {MAX_LOCAL_ADDRESSES}, such as one /24, or one /120 of IPv6"),
            ));
        }
        Ok(Self(ranges))
    }

    /// Ascending, so those of IPv4 first; each once.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().flat_map(|range| every_address(range.get()))
    }

    /// Each address as in [`Self::iter`], with which of [`Self::ranges`] it is of.
    pub fn iter_with_ranges(&self) -> impl Iterator<Item = (IpAddr, usize)> {
        let ranges = self.0.iter().enumerate();
        ranges.flat_map(|(index, range)| every_address(range.get()).map(move |address| (address, index)))
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[Network] {
        &self.0
    }

    /// The range that an address is in, and which one it is.
    pub fn range_of(&self, address: IpAddr) -> Option<(usize, Network)> {
        let begin_behind = self.0.partition_point(|range| range.get().addr() <= address);
        let index = begin_behind.checked_sub(1)?;
        let range = *self.0.get(index)?;
        range.get().contains(&address).then_some((index, range))
    }

    /// Whether there are some, and none of the family of `address`.
    pub fn lack_family_of(&self, address: IpAddr) -> bool {
        !self.0.is_empty() && self.0.iter().all(|range| range.get().addr().is_ipv4() != address.is_ipv4())
    }
}

/// What two ranges have in common: the smaller of them, or nothing.
pub fn overlap(one: Network, other: Network) -> Option<Network> {
    if one.get().contains(&other.get()) {
        Some(other)
    } else {
        other.get().contains(&one.get()).then_some(one)
    }
}

/// A range of local addresses from its text: a single address, or an aligned prefix.
///
/// # Errors
/// It is not one, or has addresses in it that are no host's.
pub fn local_range(text: &str) -> Result<Network, Invalid> {
    let range: Network = text.parse()?;
    for address in [range.get().network(), range.get().broadcast()] {
        HostAddress::new(address, "local address").map_err(|invalid| {
            // The range is what was written, not its first or last address.
            let kind = invalid.reason.replacen(&format!("\"{address}\""), &format!("{text:?}"), 1);
            Invalid::new(kind, invalid.remedy)
        })?;
    }
    Ok(range)
}

/// The first and the last too, which the ranges of `ipnet` leave out for IPv4.
fn every_address(range: IpNet) -> IpAddrRange {
    match range {
        IpNet::V4(range) => Ipv4AddrRange::new(range.network(), range.broadcast()).into(),
        IpNet::V6(range) => Ipv6AddrRange::new(range.network(), range.broadcast()).into(),
    }
}

/// How long a session may rest in each state. An established TCP session's and an
/// answered UDP session's is the listener's idle timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// SYN seen, handshake not complete.
    pub syn_recv: Seconds,
    /// The backend has closed its side.
    pub fin_wait: Seconds,
    /// Both sides have closed.
    pub time_wait: Seconds,
    /// A reset was seen.
    pub close: Seconds,
    /// The client has closed its side.
    pub close_wait: Seconds,
    /// The client has closed, then the backend; the last acknowledgement is missing.
    pub last_ack: Seconds,
    /// UDP that the backend has not answered.
    pub udp_one_way: Seconds,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            syn_recv: Seconds::literal(30),
            fin_wait: Seconds::literal(60),
            time_wait: Seconds::literal(7),
            close: Seconds::literal(10),
            close_wait: Seconds::literal(60),
            last_ack: Seconds::literal(30),
            udp_one_way: Seconds::literal(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn host(interface: &str, locals: &str, ports: RangeInclusive<u16>) -> Host {
        Host {
            interfaces: vec![Interface::new(interface).unwrap()],
            local_addresses: LocalAddresses::new([local_range(locals).unwrap()]).unwrap(),
            local_ports: ports,
            max_sessions: Sessions::literal(4096),
            ..Host::default()
        }
    }

    #[test]
    fn differences_are_named_by_their_keys() {
        let one = host("eth0", "100.64.0.1", 1024..=65_535);
        assert_eq!(one.differences(&one), [""; 0]);
        assert_eq!(one.differences(&host("eth1", "100.64.0.1", 1024..=65_535)), ["host.interfaces"]);
        let ranges =
            |texts: &[&str]| LocalAddresses::new(texts.iter().map(|text| local_range(text).unwrap()));
        assert_eq!(ranges(&["100.64.0.0/31"]), ranges(&["100.64.0.1", "100.64.0.0"]), "written otherwise");
        assert_eq!(
            one.differences(&host("eth0", "100.64.0.2", 1..=9)),
            ["host.local_addresses", "host.local_ports"]
        );
    }

    #[test]
    fn interfaces_are_names_that_the_kernel_takes() {
        for (name, good) in [
            ("eth0", true),
            ("a", true),
            ("0123456789abcde", true),
            ("0123456789abcdef", false),
            ("", false),
            (".", false),
            ("..", false),
            ("a b", false),
            ("a/b", false),
            ("a:0", false),
        ] {
            assert_eq!(Interface::new(name).is_ok(), good, "{name:?}");
        }
    }

    proptest! {
        /// Against every address of every range in one list.
        #[test]
        fn local_addresses_are_each_once_and_ascending(
            ranges in collection::vec((0..1024u32, 22..=32u8), 0..6)
        ) {
            let range = |(bits, length): (u32, u8)| {
                ipnet::Ipv4Net::new((0x6440_0000 | bits).into(), length).unwrap().trunc()
            };
            let ranges: Vec<_> = ranges.into_iter().map(range).collect();
            let mut all: Vec<IpAddr> = ranges
                .iter()
                .flat_map(|range| u32::from(range.network())..=u32::from(range.broadcast()))
                .map(|bits| IpAddr::V4(bits.into()))
                .collect();
            all.sort_unstable();
            all.dedup();
            let made = LocalAddresses::new(ranges.iter().map(|&range| Network::new(range.into()).unwrap()));
            match made {
                Ok(made) => {
                    prop_assert_eq!(made.iter().collect::<Vec<_>>(), &*all);
                    for (address, index) in made.iter_with_ranges() {
                        prop_assert_eq!(made.range_of(address), Some((index, made.ranges()[index])));
                    }
                    for bits in 0x6440_0000 - 1..=0x6440_0400 {
                        let address = IpAddr::V4(u32::into(bits));
                        let range = made.range_of(address);
                        prop_assert_eq!(range.is_some(), all.contains(&address));
                        prop_assert!(range.is_none_or(|(_, range)| range.get().contains(&address)));
                    }
                }
                Err(_) => prop_assert!(all.len() > MAX_LOCAL_ADDRESSES as usize),
            }
        }
    }
}
