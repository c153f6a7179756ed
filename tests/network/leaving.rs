//! Whom does the balancer send away, when a member drains for too long or its VIP goes?

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use crate::{
    balancer::{Balancer, DEADLINE, Family, Settings},
    servers,
};

/// Both ends of a connection.
struct Pair([TcpStream; 2]);

impl Pair {
    fn new(balancer: &Balancer) -> Self {
        let listener = servers::listen(&balancer.network.backends[0]);
        let vip = balancer.settings.vip();
        let client = balancer.network.client().enter(|| TcpStream::connect(vip)).unwrap().unwrap();
        let (server, _) = listener.accept().unwrap();
        let pair = Self([client, server]);
        pair.talk();
        pair
    }

    /// A word each way.
    fn talk(&self) {
        let Self([client, server]) = self;
        for (mut from, mut to) in [(client, server), (server, client)] {
            to.set_read_timeout(Some(DEADLINE)).unwrap();
            from.write_all(b"hello").unwrap();
            to.read_exact(&mut [0; 5]).unwrap();
        }
    }

    fn assert_reset(self) {
        for (mut stream, end) in self.0.into_iter().zip(["client", "server"]) {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset, "{end}");
        }
    }
}

#[test]
fn connections_stay_with_a_drained_or_removed_member_for_so_long_and_no_longer() {
    for weights in [vec![0], vec![]] {
        let mut balancer =
            Balancer::start(Settings { pool: "drain_timeout = \"3s\"", ..Settings::default() });
        let pair = Pair::new(&balancer);
        balancer.settings.weights = weights;
        balancer.reload();
        pair.talk();
        pair.assert_reset();
        assert_eq!(balancer.open_sessions(), 0);
    }
}

#[test]
fn connections_to_a_vip_that_goes_are_reset() {
    let mut balancer = Balancer::start(Settings::between(Family::V4, Family::V4));
    let pair = Pair::new(&balancer);
    balancer.settings.clients = Family::V6;
    balancer.reload();
    pair.assert_reset();
}
