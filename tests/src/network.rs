//! The network that tests and demo run in.
//!
//! ```text
//! client ──── front  balancer  back ──── switch (a bridge) ──┬── backend1
//! client2 ─── front2                                         ├── backend2
//!                                                            └── backend3
//! ```
//!
//! Clients live in 198.51.100.0/24, one /28 each, and reach the VIPs (203.0.113.0/24) through the balancer. Backends
//! live in 192.0.2.0/24 and know of nothing else but the local addresses (100.64.0.0/24), behind the balancer's
//! `back`. The same holds for IPv6, beside it on every link: clients in 2001:db8:1::/48, one /64 each, VIPs
//! (2001:db8:a::/64), backends in 2001:db8:2::/64, local addresses (2001:db8:64::/64). Nothing forwards between the
//! balancer's interfaces unless a balancer does.
//!
//! The ends compute their checksums in software, because XDP sees packets before a virtual interface would have to.
//! An interface to which XDP redirects frames needs NAPI, which `gro on` turns on; a merge limit below two segments
//! then keeps every segment as it was on the wire, so that a capture shows what was sent. That is enough for
//! `XDP_REDIRECT`, which is all that a balancer between two interfaces does. Frames of an `XDP_TX` wait in the other
//! end's ring for its next interrupt, unless an XDP program is attached there too.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};

use crate::{host::Host, namespace::ip, sweep};

/// The balancer's address towards the backends.
pub const BALANCER_BACK: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The same of IPv6.
pub const BALANCER_BACK6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 2, 0, 0, 0, 0, 1);
/// Where VIPs are taken from: clients reach all of it through the balancer.
pub const VIPS: &str = "203.0.113.0/24";
/// The same of IPv6.
pub const VIPS6: &str = "2001:db8:a::/64";
/// Where local addresses are taken from: backends reach all of it through the balancer.
pub const LOCAL_ADDRESSES: &str = "100.64.0.0/24";
/// The same of IPv6.
pub const LOCAL_ADDRESSES6: &str = "2001:db8:64::/64";

/// How many hosts a network has.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// 1–16; each is behind an interface of its own (`front`, `front2`, …).
    pub clients: u8,
    /// 1–240.
    pub backends: u8,
}

/// A network; dropping it removes it with everything that runs there.
#[derive(Debug)]
pub struct Network {
    /// `client`, `client2`, …
    pub clients: Vec<Host>,
    /// Has the interfaces `front` (and `front2`, …) and `back`.
    pub balancer: Host,
    /// `backend1` (192.0.2.11, 2001:db8:2::11), `backend2` (192.0.2.12, 2001:db8:2::12), …; the tenth is at ::1a.
    pub backends: Vec<Host>,
    /// The bridge between balancer and backends; its ports are named after who is behind them.
    pub switch: Host,
    /// Between hosts and their links, see `narrow_client` and `narrow_backend`.
    pub(crate) routers: Vec<Host>,
}

impl Network {
    /// Sets one up.
    ///
    /// # Errors
    /// If this process is not root's, or `ip` or `ethtool` is missing.
    pub fn new(size: Size) -> Result<Self> {
        let prefix = sweep::unique_prefix();
        let [_, front] = client_addresses(0);
        let balancer = Host::new(&prefix, "balancer", front)?;
        let switch = Host::new(&prefix, "switch", (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED))?;
        let clients = (0..size.clients).map(|index| client(&prefix, index, &balancer));
        let clients = clients.collect::<Result<_>>().context("setting up the clients")?;
        join_switch(&switch, &balancer, &prefix).context("setting up the switch")?;
        let backends = (1..=size.backends).map(|number| backend(&prefix, number, &switch));
        let backends = backends.collect::<Result<_>>().context("setting up the backends")?;
        Ok(Self { clients, balancer, backends, switch, routers: Vec::new() })
    }

    /// The first client.
    pub fn client(&self) -> &Host {
        &self.clients[0]
    }
}

/// The client's addresses and the balancer's opposite to it.
fn client_addresses(index: u8) -> [(Ipv4Addr, Ipv6Addr); 2] {
    [2, 1].map(|host| {
        let v6 = Ipv6Addr::new(0x2001, 0xDB8, 1, index.into(), 0, 0, 0, host.into());
        (Ipv4Addr::new(198, 51, 100, index * 16 + host), v6)
    })
}

fn numbered(name: &str, index: u8) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}{}", index + 1) }
}

fn client(prefix: &str, index: u8, balancer: &Host) -> Result<Host> {
    let [addresses, gateways] = client_addresses(index);
    let host = Host::new(prefix, &numbered("client", index), addresses)?;
    let front = numbered("front", index);
    link((&host, "eth0"), (balancer, &front))?;
    host.run(&["ip", "link", "set", "eth0", "gro_max_size", "1500"])?;
    host.run(&["ethtool", "-K", "eth0", "tx", "off", "gro", "on"])?;
    for (host, device, (v4, v6)) in [(balancer, front.as_str(), gateways), (&host, "eth0", addresses)] {
        host.run(&["ip", "address", "add", &format!("{v4}/28"), "dev", device])?;
        host.run(&["ip", "address", "add", &format!("{v6}/64"), "dev", device])?;
    }
    host.run(&["ip", "route", "add", VIPS, "via", &gateways.0.to_string()])?;
    host.run(&["ip", "route", "add", VIPS6, "via", &gateways.1.to_string()])?;
    Ok(host)
}

fn join_switch(switch: &Host, balancer: &Host, prefix: &str) -> Result<()> {
    ip(&[
        "-n",
        &format!("{prefix}-switch"),
        "link",
        "add",
        "bridge",
        "type",
        "bridge",
        "forward_delay",
        "0",
    ])?;
    switch.run(&["ip", "link", "set", "bridge", "up"])?;
    link((switch, "balancer"), (balancer, "back"))?;
    switch.run(&["ip", "link", "set", "balancer", "master", "bridge", "gro_max_size", "1500"])?;
    switch.run(&["ethtool", "-K", "balancer", "tx", "off", "gro", "on"])?;
    balancer.run(&["ip", "address", "add", &format!("{BALANCER_BACK}/24"), "dev", "back"])?;
    balancer.run(&["ip", "address", "add", &format!("{BALANCER_BACK6}/64"), "dev", "back"])?;
    Ok(())
}

fn backend(prefix: &str, number: u8, switch: &Host) -> Result<Host> {
    let address = Ipv4Addr::new(192, 0, 2, 10 + number);
    let address6 = Ipv6Addr::new(0x2001, 0xDB8, 2, 0, 0, 0, 0, 0x10 + u16::from(number));
    let host = Host::new(prefix, &format!("backend{number}"), (address, address6))?;
    link((&host, "eth0"), (switch, host.name()))?;
    switch.run(&["ip", "link", "set", host.name(), "master", "bridge"])?;
    host.run(&["ethtool", "-K", "eth0", "tx", "off"])?;
    host.run(&["ip", "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
    host.run(&["ip", "address", "add", &format!("{address6}/64"), "dev", "eth0"])?;
    host.run(&["ip", "route", "add", LOCAL_ADDRESSES, "via", &BALANCER_BACK.to_string()])?;
    host.run(&["ip", "route", "add", LOCAL_ADDRESSES6, "via", &BALANCER_BACK6.to_string()])?;
    Ok(host)
}

/// Joins two hosts by a pair of virtual interfaces and takes both up.
pub(crate) fn link(one: (&Host, &str), other: (&Host, &str)) -> Result<()> {
    let ((host, name), (peer_host, peer)) = (one, other);
    let (inside, peer_inside) = (host.namespace(), peer_host.namespace());
    ip(&[
        "link",
        "add",
        "name",
        name,
        "netns",
        inside,
        "type",
        "veth",
        "peer",
        "name",
        peer,
        "netns",
        peer_inside,
    ])?;
    for (host, name) in [one, other] {
        host.run(&["ip", "link", "set", name, "up"])?;
    }
    Ok(())
}
