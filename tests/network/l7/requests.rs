//! Does a request reach a member as it was, and does its answer come back as it was?

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    balancer::{Balancer, VIP},
    l7::{echo::Echo, http, nginx},
};

#[test]
fn requests_of_one_connection_go_to_each_member_in_turn() {
    let balancer = Balancer::start(http(3));
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());

    let answers = balancer.client(&["curl", "-sSf", "--max-time", "20", "http://203.0.113.10/?[1-60]"]);
    for name in ["backend1", "backend2", "backend3"] {
        assert_eq!(answers.lines().filter(|line| *line == name).count(), 20, "{answers}");
    }
    let sockets = balancer.network.balancer.run(&["ss", "-Hltn"]).unwrap();
    assert!(!sockets.contains(&VIP.ip().to_string()), "nothing binds the VIP:\n{sockets}");
}

#[test]
fn bodies_and_heads_arrive_whole() {
    let balancer = Balancer::start(http(1));
    let _echo = Echo::start(&balancer.network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..16 << 20).map(|at: u32| (at / 251) as u8).collect();
    let sum: u64 = large.iter().map(|&byte| u64::from(byte)).sum();
    let file = directory.path().join("large");
    fs::write(&file, &large).unwrap();
    let file = format!("@{}", file.display());
    let expected = format!("body of {} bytes, sum {sum}\n", large.len());

    let url = "http://203.0.113.10:80/a%20path?and=query";
    let post = ["curl", "-sSf", "--max-time", "60", "-H", "Host: shop.example", "--data-binary", &file, url];
    let answer = balancer.client(&post);
    assert!(answer.ends_with(&expected), "{answer}");
    assert!(answer.contains("\nPOST /a%20path?and=query HTTP/1.1\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("\nhost: shop.example\r\n"), "{answer}");

    let chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"];
    let answer = balancer.client(&[&post[..5], &chunked[..], &post[5..]].concat());
    assert!(answer.ends_with(&expected), "{answer}");
}

#[test]
fn a_large_answer_arrives_whole() {
    let balancer = Balancer::start(http(1));
    let directory = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..16 << 20).map(|at: u32| (at / 251) as u8).collect();
    fs::write(directory.path().join("large"), &large).unwrap();
    let _servers = nginx(&balancer, directory.path());

    let arrived = directory.path().join("arrived");
    let url = "http://203.0.113.10/large";
    balancer.client(&["curl", "-sSf", "--max-time", "60", "-o", arrived.to_str().unwrap(), url]);
    assert!(fs::read(&arrived).unwrap() == large);
}

#[test]
fn a_websocket_needs_no_configuration() {
    let balancer = Balancer::start(http(1));
    let _echo = Echo::start(&balancer.network.backends[0]);

    let client = balancer.network.client().enter(|| TcpStream::connect(VIP));
    let mut client = client.unwrap().unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = "GET /chat HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // Masked text frames, which nobody in between may look into.
    for word in ["a", "longer", "and the last"] {
        let frame = [&[0x81, 0x80 | word.len() as u8, 0, 0, 0, 0], word.as_bytes()].concat();
        client.write_all(&frame).unwrap();
        let mut back = vec![0; frame.len()];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, frame);
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
