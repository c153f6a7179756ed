//! Does the testbed itself carry what it should, before any balancer is in it?

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use testbed::{Host, Network, Segment, Size, http::Backend};

use crate::balancer::{VIP, VIP6};

const DEADLINE: Duration = Duration::from_secs(5);

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: testbed\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_backend_answers_with_what_its_socket_and_the_wire_say() {
    let network = Network::new(Size { clients: 1, backends: 2 }).unwrap();
    for (address_of, balancer) in [
        ((|host| host.address().into()) as fn(&Host) -> IpAddr, "192.0.2.1"),
        (|host| host.address6().into(), "[2001:db8:2::1]"),
    ] {
        let start = |host| Backend::start_on(host, address_of(host), 8080).unwrap();
        let _backends: Vec<_> = network.backends.iter().map(start).collect();
        for host in &network.backends {
            let address = SocketAddr::new(address_of(host), 8080);
            let answer = network.balancer.enter(|| get(address)).unwrap().unwrap();
            assert!(answer.contains(&format!("backend: {}\n", host.name())), "{answer}");
            assert!(
                answer.contains(&format!("peer: {balancer}:")) && answer.contains("toa: none\n"),
                "{answer}"
            );
        }
    }
}

#[test]
fn nothing_is_forwarded_without_a_balancer() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let _backend = Backend::start(&network.backends[0], 8080).unwrap();
    network.client().run(&["ip", "route", "add", "192.0.2.0/24", "via", "198.51.100.1"]).unwrap();
    network.backends[0].run(&["ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.1"]).unwrap();
    let backend = SocketAddr::from((network.backends[0].address(), 8080));
    let refused = network.client().enter(|| TcpStream::connect_timeout(&backend, Duration::from_secs(1)));
    assert!(refused.unwrap().is_err());
}

#[test]
fn a_made_up_segment_arrives_as_it_was_sent() {
    let network = Network::new(Size { clients: 2, backends: 1 }).unwrap();
    for (client, front) in network.clients.iter().zip(["front", "front2"]) {
        let capture = network.balancer.capture(front).unwrap();
        let ends: [(IpAddr, SocketAddr); 2] =
            [(client.address().into(), VIP), (client.address6().into(), VIP6)];
        for (number, (source, vip)) in ends.into_iter().enumerate() {
            let source = SocketAddr::new(source, 4711);
            let mut forged = Segment::new(source, vip);
            forged.tcp.syn = true;
            forged.tcp.set_options_raw(&[254, 8, 0, 80, 192, 0, 2, 66]).unwrap();
            client.send(&forged).unwrap();
            let seen = capture.wait_for("the SYN", DEADLINE, |segments| segments.len() > number).unwrap();
            assert_eq!((seen[number].source, seen[number].destination), (source, vip));
            assert_eq!(seen[number].toa(), ["192.0.2.66:80".parse().unwrap()]);
            assert!(seen[number].tcp.syn && seen[number].checksum_is_right());
        }
    }
}

#[test]
fn nothing_stays_behind() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let process = network.client().spawn(&["sleep", "1000"]).unwrap();
    let (pid, namespace) = (process.id(), network.client().namespace().to_owned());
    std::mem::forget(process);
    assert!(std::fs::exists(format!("/run/netns/{namespace}")).unwrap());
    drop(network);
    assert!(!std::fs::exists(format!("/run/netns/{namespace}")).unwrap());
    testbed::wait_for("the end of the process", DEADLINE, || {
        // Nobody waits for it, so that it stays a zombie of this process.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    })
    .unwrap();
}
