//! A router between a host and its link, so that a narrow link lies behind another hop and only ICMP tells of it.
//!
//! ```text
//! client ── narrow ── far  router  near ──── front  balancer  back ──── switch ── near  router  far ── narrow ── backend
//! ```
//!
//! The host's own end of the narrow link takes packets of ordinary size: it does not know either.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::{
    host::Host,
    network::{BALANCER_BACK, BALANCER_BACK6, LOCAL_ADDRESSES, LOCAL_ADDRESSES6, Network, VIPS, VIPS6, link},
    sweep,
};

/// Where the router answers on the narrow link.
const GATEWAY6: &str = "fe80::1";

/// The router's place on the link that the host had.
struct Place<'a> {
    addresses: (Ipv4Addr, Ipv6Addr),
    lengths: [u8; 2],
    /// What lies behind the balancer.
    beyond: [&'a str; 2],
    balancer: (Ipv4Addr, Ipv6Addr),
}

impl Network {
    /// Moves the first client behind a router from which on only `mtu` bytes pass.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn narrow_client(&mut self, mtu: u16) -> Result<()> {
        let client = self.client();
        client.run(&["ip", "link", "del", "eth0"])?;
        let router =
            Host::new(&sweep::unique_prefix(), "router", (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED))?;
        let place = Place {
            addresses: (Ipv4Addr::new(198, 51, 100, 14), Ipv6Addr::new(0x2001, 0xDB8, 1, 0, 0, 0, 0, 0xE)),
            lengths: [28, 64],
            beyond: [VIPS, VIPS6],
            balancer: (self.balancer.address(), self.balancer.address6()),
        };
        link((&router, "near"), (&self.balancer, "front"))?;
        let (v4, v6) = place.balancer;
        self.balancer.run(&["ip", "address", "add", &format!("{v4}/28"), "dev", "front"])?;
        self.balancer.run(&["ip", "address", "add", &format!("{v6}/64"), "dev", "front"])?;
        settle(client, &router, &self.balancer, &place, mtu)?;
        self.routers.push(router);
        Ok(())
    }

    /// Moves the first backend behind a router from which on only `mtu` bytes pass.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn narrow_backend(&mut self, mtu: u16) -> Result<()> {
        let backend = &self.backends[0];
        backend.run(&["ip", "link", "del", "eth0"])?;
        let router =
            Host::new(&sweep::unique_prefix(), "router", (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED))?;
        let place = Place {
            addresses: (Ipv4Addr::new(192, 0, 2, 254), Ipv6Addr::new(0x2001, 0xDB8, 2, 0, 0, 0, 0, 0xFE)),
            lengths: [24, 64],
            beyond: [LOCAL_ADDRESSES, LOCAL_ADDRESSES6],
            balancer: (BALANCER_BACK, BALANCER_BACK6),
        };
        link((&router, "near"), (&self.switch, backend.name()))?;
        self.switch.run(&["ip", "link", "set", backend.name(), "master", "bridge"])?;
        settle(backend, &router, &self.balancer, &place, mtu)?;
        self.routers.push(router);
        Ok(())
    }
}

/// Joins host and router, and makes routes there and back.
fn settle(host: &Host, router: &Host, balancer: &Host, place: &Place<'_>, mtu: u16) -> Result<()> {
    link((host, "eth0"), (router, "far"))?;
    let (v4, v6) = place.addresses;
    let [v4_length, v6_length] = place.lengths;
    let (gateway, gateway6) = place.balancer;
    for words in [
        format!("ip address add {v4}/{v4_length} dev near"),
        format!("ip address add {v6}/{v6_length} dev near"),
        format!("ip link set far mtu {mtu}"),
        format!("ip address add {GATEWAY6}/64 dev far"),
        format!("ip route add {} dev far", host.address()),
        format!("ip route add {} dev far", host.address6()),
        format!("ip route add {} via {gateway}", place.beyond[0]),
        format!("ip route add {} via {gateway6}", place.beyond[1]),
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1".to_owned(),
        "ip link set near gro_max_size 1500".to_owned(),
        "ethtool -K near tx off gro on".to_owned(),
        "ethtool -K far tx off".to_owned(),
    ] {
        run(router, &words)?;
    }
    for words in [
        format!("ip address add {}/32 dev eth0", host.address()),
        format!("ip address add {}/128 dev eth0", host.address6()),
        format!("ip route add {v4} dev eth0"),
        format!("ip route add default via {v4}"),
        format!("ip route add default via {GATEWAY6} dev eth0"),
        "ethtool -K eth0 tx off".to_owned(),
    ] {
        run(host, &words)?;
    }
    run(balancer, &format!("ip route add {} via {v4}", host.address()))?;
    run(balancer, &format!("ip route add {} via {v6}", host.address6()))
}

fn run(host: &Host, words: &str) -> Result<()> {
    host.run(&words.split(' ').collect::<Vec<_>>()).map(drop)
}
