//! What does a client hear while no member takes connections?

use std::{io::ErrorKind, net::TcpStream, time::Duration};

use crate::balancer::{Balancer, DEADLINE, Family, Settings};

fn connect(balancer: &Balancer, patience: Duration) -> ErrorKind {
    let vip = balancer.settings.vip();
    balancer
        .network
        .client()
        .enter(|| TcpStream::connect_timeout(&vip, patience))
        .unwrap()
        .unwrap_err()
        .kind()
}

#[test]
fn nothing_or_a_reset() {
    for clients in [Family::V4, Family::V6] {
        let settings = Settings { weights: vec![0], ..Settings::between(clients, Family::V4) };
        let mut balancer = Balancer::start(settings);
        assert_eq!(connect(&balancer, Duration::from_secs(1)), ErrorKind::TimedOut);
        assert!(balancer.counter("drop_no_member") > 0);
        assert_eq!(balancer.counter("reset_no_member"), 0);

        balancer.settings.listener = "when_down = \"reset\"".into();
        balancer.reload();
        assert_eq!(connect(&balancer, DEADLINE), ErrorKind::ConnectionRefused, "{clients:?}");
        assert!(balancer.counter("reset_no_member") > 0);
        let status = balancer.ask("status");
        assert!(status["listeners"][0]["refused"]["no_member"].as_u64() > Some(1));
        assert_eq!(balancer.open_sessions(), 0);
    }
}
