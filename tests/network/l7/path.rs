//! Do packets for an HTTP listener take their way: past XDP with its access lists, up to the process, and to the next
//! process?

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Family, Settings, VIP},
    l7::{echo::Echo, http, nginx},
};

const SHORT: Duration = Duration::from_millis(700);
const GET: [&str; 5] = ["curl", "-sSf", "--max-time", "20", "http://203.0.113.10/"];

#[test]
fn xdp_keeps_out_whom_the_list_names_also_from_open_connections() {
    let listener = "allow = [\"198.51.100.0/24\"]".to_owned();
    let mut balancer = Balancer::start(Settings { listener, ..http(1) });
    let _echo = Echo::start(&balancer.network.backends[0]);
    assert!(balancer.client(&GET).starts_with("backend1\n"));
    assert!(balancer.counter("pass_layer7") > 0);

    let connect = || balancer.network.client().enter(|| TcpStream::connect_timeout(&VIP, SHORT)).unwrap();
    let mut open = connect().unwrap();
    balancer.settings.listener = "allow = [\"198.51.100.0/24\"]\ndeny = [\"198.51.100.2\"]".to_owned();
    balancer.reload();
    let denied = balancer.counter("drop_denied");
    open.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("the cut", DEADLINE, || balancer.counter("drop_denied") > denied).unwrap();
    let connect = || balancer.network.client().enter(|| TcpStream::connect_timeout(&VIP, SHORT)).unwrap();
    assert!(connect().is_err());

    balancer.settings.listener = String::new();
    balancer.reload();
    // What was sent in vain is sent again.
    open.set_read_timeout(Some(DEADLINE)).unwrap();
    open.read_exact(&mut [0; 12]).unwrap();
    assert!(balancer.client(&GET).starts_with("backend1\n"));
}

#[test]
fn clients_and_members_of_both_families_meet() {
    for (clients, backends) in [(Family::V6, Family::V4), (Family::V4, Family::V6), (Family::V6, Family::V6)]
    {
        let balancer = Balancer::start(Settings { clients, backends, ..http(1) });
        let _echo = Echo::start_at(&balancer.network.backends[0], backends);
        let url = format!("http://{}/", balancer.settings.vip());
        let answer = balancer.client(&["curl", "-gsSf", "--max-time", "20", &url]);
        let client = clients.address_of(balancer.network.client());
        assert!(answer.to_lowercase().contains(&format!("\nx-forwarded-for: {client}\r\n")), "{answer}");
    }
}

#[test]
fn the_next_process_serves_in_place_of_one_that_was_killed() {
    let mut balancer = Balancer::start(http(2));
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());
    for _ in 0..2 {
        balancer.client(&GET);
        balancer.kill();
        balancer.run();
    }
    balancer.client(&GET);
    balancer.end();
    balancer.run();
    balancer.client(&GET);
}
