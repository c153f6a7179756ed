//! Do large transfers arrive as they were sent?

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::Command,
    thread,
};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

const MEGABYTES_100: usize = 100 << 20;

fn random_file(path: &std::path::Path) {
    let mut bytes = vec![0; MEGABYTES_100];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    fs::write(path, bytes).unwrap();
}

fn sha256(path: &std::path::Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_hundred_megabytes_down() {
    let balancer = Balancer::start(Settings::default());
    let directory = tempfile::tempdir().unwrap();
    random_file(&directory.path().join("large"));
    let _server = servers::nginx(&balancer.network.backends[0], directory.path(), "");
    let arrived = directory.path().join("arrived");
    let target = arrived.to_str().unwrap();
    balancer.client(&["curl", "-sSf", "--max-time", "120", "-o", target, "http://203.0.113.10/large"]);
    assert_eq!(sha256(&arrived), sha256(&directory.path().join("large")));
}

#[test]
fn a_hundred_megabytes_up_before_any_reply() {
    let balancer = Balancer::start(Settings::default());
    let listener = servers::listen(&balancer.network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let (sent, arrived) = (directory.path().join("sent"), directory.path().join("arrived"));
    random_file(&sent);
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            std::io::copy(&mut stream, &mut fs::File::create(&arrived).unwrap()).unwrap();
            stream.write_all(b"thanks").unwrap();
        });
        let mut stream = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        std::io::copy(&mut fs::File::open(&sent).unwrap(), &mut stream).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, "thanks");
        server.join().unwrap();
    });
    assert_eq!(sha256(&arrived), sha256(&sent));
}
