//! Does Layer 4 go on when the daemon dies, and with the next one?

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

fn exchange(client: &mut TcpStream, server: &mut TcpStream, text: &[u8]) {
    client.write_all(text).unwrap();
    let mut heard = vec![0; text.len()];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(heard, text);
    server.write_all(&heard).unwrap();
    client.read_exact(&mut heard).unwrap();
}

#[test]
fn a_killed_daemon_interrupts_nothing_and_the_next_takes_over() {
    let mut balancer = Balancer::start(Settings {
        timeouts: "time_wait = \"1s\"\nclose_wait = \"1s\"",
        ..Settings::default()
    });
    let listener = servers::listen(&balancer.network.backends[0]);
    let connect = |balancer: &Balancer| {
        let client = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        (client, listener.accept().unwrap().0)
    };
    let (mut client, mut server) = connect(&balancer);
    exchange(&mut client, &mut server, b"before");

    balancer.kill();
    exchange(&mut client, &mut server, b"nobody at the helm");
    let (mut late, mut late_server) = connect(&balancer);
    exchange(&mut late, &mut late_server, b"a new connection meanwhile");
    assert_eq!(balancer.open_sessions(), 2, "looking in needs no daemon");

    balancer.run();
    exchange(&mut client, &mut server, b"after");
    exchange(&mut late, &mut late_server, b"after");
    assert_eq!(balancer.sessions_of(0), 2);
    drop((client, server));
    wait_for("the new daemon's sweeper", DEADLINE, || balancer.open_sessions() == 1).unwrap();
}
