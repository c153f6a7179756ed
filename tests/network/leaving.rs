//! Which sessions does the balancer end, and does it tell both ends: when a member drains for too long or is down, its VIP or
//! the whole data path goes, a client is shut out while data flows, or it knows nothing of a session?

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use testbed::{Network, Size, wait_for};

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

    /// A word each way, which may not arrive.
    fn speak(&self) {
        for mut stream in &self.0 {
            stream.write_all(b"hello").unwrap();
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

#[test]
fn connections_leave_a_member_that_is_down_if_the_pool_says_so() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let backend = &network.backends[0];
    let checked = backend.enter(|| TcpListener::bind((backend.address(), 8081))).unwrap().unwrap();
    let health =
        "on_down = \"reset\"\nhealth = { protocol = \"tcp\", port = 8081, interval = \"1s\", retries = 1 }";
    let balancer = Balancer::start_in(network, Settings { pool: health, ..Settings::default() });
    wait_for("the first check", DEADLINE, || balancer.member(0)["health"] == "up").unwrap();
    let pair = Pair::new(&balancer);
    drop(checked);
    pair.assert_reset();
}

#[test]
fn an_unload_tells_both_ends() {
    for (clients, backends) in [(Family::V4, Family::V4), (Family::V6, Family::V4)] {
        let mut balancer = Balancer::start(Settings::between(clients, backends));
        let pairs: Vec<Pair> = (0..20).map(|_| Pair::new(&balancer)).collect();
        balancer.end();
        let said = balancer.unload();
        assert!(said.contains("20 open TCP sessions were reset at both ends"), "{said}");
        pairs.into_iter().for_each(Pair::assert_reset);
    }
}

/// Neither end can hear of the unload; both learn when they ask the next data path.
#[test]
fn whoever_believes_in_a_session_of_an_earlier_load_is_told_when_it_asks() {
    for without_session in ["reset", "drop"] {
        let mut balancer = Balancer::start(Settings::default());
        let pair = Pair::new(&balancer);
        balancer.end();
        let way = |verb| {
            for end in ["198.51.100.0/24", "192.0.2.0/24"] {
                let rule = ["ip", "rule", verb, "blackhole", "to", end, "pref", "1"];
                balancer.network.balancer.run(&rule).unwrap();
            }
        };
        way("add");
        balancer.unload();
        way("del");
        balancer.settings.host = if without_session == "reset" {
            "local_addresses = [\"100.64.0.0/28\"]\nmax_sessions = 65536"
        } else {
            "local_addresses = [\"100.64.0.0/28\"]\nmax_sessions = 65536\nwithout_session = \"drop\""
        };
        balancer.write();
        balancer.run();
        pair.speak();
        if without_session == "reset" {
            pair.assert_reset();
            assert!(balancer.counter("reset_no_session") >= 2);
        } else {
            wait_for("what nobody answers", DEADLINE, || balancer.counter("drop_no_session") >= 2).unwrap();
            assert_eq!(balancer.counter("reset_no_session"), 0);
        }
    }
}

/// What is on its way in both directions when the list changes is acknowledged by nobody any more.
#[test]
fn a_client_that_is_shut_out_while_data_flows_is_told_with_numbers_that_it_believes() {
    let mut balancer = Balancer::start(Settings::default());
    for _ in 0..5 {
        let Pair(ends) = Pair::new(&balancer);
        ends[0].set_read_timeout(Some(DEADLINE)).unwrap();
        let [client, server] = ends.map(|mut end| {
            thread::spawn(move || {
                // Both send and both read, so that every packet moves both numbers.
                loop {
                    if let Err(error) = end.write_all(&[7; 100]).and_then(|()| end.read_exact(&mut [0; 100]))
                    {
                        return error.kind();
                    }
                }
            })
        });
        balancer.settings.listener = "deny = [\"0.0.0.0/0\"]".into();
        balancer.reload();
        for (end, who) in [(client, "client"), (server, "server")] {
            let kind = end.join().unwrap();
            assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{who}: {kind:?}");
        }
        balancer.settings.listener = String::new();
        balancer.reload();
    }
}
