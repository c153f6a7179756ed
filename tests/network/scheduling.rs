//! Do connections go where the pool's algorithm says, and clients stay where they are to stay?

use std::net::{TcpListener, TcpStream};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

/// A balancer with a listening socket on each backend.
fn balancer(weights: Vec<u16>, pool: &'static str) -> (Balancer, Vec<TcpListener>) {
    let timeouts = "time_wait = \"1s\"\nclose_wait = \"1s\"\nclose = \"1s\"";
    let balancer = Balancer::start(Settings { weights, timeouts, pool, ..Settings::default() });
    let listeners: Vec<_> = balancer.network.backends.iter().map(servers::listen).collect();
    for listener in &listeners {
        listener.set_nonblocking(true).unwrap();
    }
    (balancer, listeners)
}

/// Connects, and says which backend it is; both ends stay open.
fn connect(balancer: &Balancer, listeners: &[TcpListener]) -> (usize, TcpStream, TcpStream) {
    let client = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    let mut accepted = None;
    wait_for("the connection at a backend", DEADLINE, || {
        let mut tried = listeners.iter().enumerate();
        accepted = tried.find_map(|(number, listener)| Some((number, listener.accept().ok()?.0)));
        accepted.is_some()
    })
    .unwrap();
    let (number, server) = accepted.unwrap();
    (number, client, server)
}

fn numbers(connections: &[(usize, TcpStream, TcpStream)]) -> [usize; 2] {
    [0, 1].map(|wanted| connections.iter().filter(|(number, ..)| *number == wanted).count())
}

#[test]
fn least_connections_evens_out_what_round_robin_would_not() {
    let (balancer, listeners) = balancer(vec![2, 1], "algorithm = \"weighted-least-connections\"");
    let mut connections: Vec<_> = (0..6).map(|_| connect(&balancer, &listeners)).collect();
    assert_eq!(numbers(&connections), [4, 2]);
    connections.retain(|(number, ..)| *number != 0);
    // Over as soon as both ends have said so, whether the session is forgotten yet or not.
    let open = || {
        let sessions = balancer.ask("sessions");
        sessions.as_array().unwrap().iter().filter(|session| session["state"] == "ESTABLISHED").count()
    };
    wait_for("the end of four connections", DEADLINE, || open() == 2).unwrap();
    connections.extend((0..4).map(|_| connect(&balancer, &listeners)));
    assert_eq!(numbers(&connections), [4, 2]);
}

#[test]
fn a_client_sticks_to_its_member_until_that_drains() {
    let (mut balancer, listeners) = balancer(vec![1, 1], "sticky = { by = \"source-ip\", minutes = 1 }");
    let connections: Vec<_> = (0..6).map(|_| connect(&balancer, &listeners)).collect();
    let first = connections[0].0;
    assert!(connections.iter().all(|(number, ..)| *number == first), "{:?}", numbers(&connections));
    balancer.settings.weights[first] = 0;
    balancer.reload();
    let moved: Vec<_> = (0..4).map(|_| connect(&balancer, &listeners)).collect();
    assert_eq!(numbers(&moved)[1 - first], 4);
    balancer.settings.weights[first] = 1;
    balancer.reload();
    let stays: Vec<_> = (0..4).map(|_| connect(&balancer, &listeners)).collect();
    assert_eq!(numbers(&stays)[1 - first], 4, "it stays where it went");
}

#[test]
fn a_source_meets_one_member_whoever_else_comes() {
    let (balancer, listeners) = balancer(vec![1, 1], "algorithm = \"source-hash\"");
    let connections: Vec<_> = (0..6).map(|_| connect(&balancer, &listeners)).collect();
    assert!(numbers(&connections).contains(&6), "{:?}", numbers(&connections));
}
