//! Do programs as people run them, behind the balancer, log the client's address and port?

use std::{
    fs,
    io::{self, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
};

use testbed::{Host, Process, wait_for};

use super::{Receiver, TRUSTED};
use crate::balancer::{BACKEND_PORT, Balancer, DEADLINE, Settings, VIP};

/// Sends a request through the balancer, and waits until the server closes; where from.
fn request(balancer: &Balancer) -> SocketAddr {
    let mut stream = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let client = stream.local_addr().unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    match io::copy(&mut stream, &mut io::sink()) {
        // An SSH server leaves the rest unread of what it does not understand.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        answered => assert!(answered.is_ok(), "{answered:?}"),
    }
    client
}

/// Starts the server, before any receiver is there, and asks it once without and once with one. `log` is where its log
/// is, `line` what it says of a connection from an address.
fn sees_the_client(
    serve: impl FnOnce(&Receiver, &Host) -> Process,
    log: impl Fn(&Process) -> String,
    line: impl Fn(SocketAddr) -> String,
) {
    let balancer = Balancer::start(Settings::default());
    let backend = &balancer.network.backends[0];
    let receiver = Receiver::new(backend);
    let server = serve(&receiver, backend);
    let up = || backend.enter(|| TcpStream::connect((backend.address(), BACKEND_PORT))).unwrap().is_ok();
    wait_for("the server", DEADLINE, up).unwrap();

    let client = request(&balancer);
    assert!(!log(&server).contains(&line(client)), "the client is seen without a receiver");
    receiver.attach(TRUSTED);
    let client = request(&balancer);
    wait_for("the log", DEADLINE, || log(&server).contains(&line(client)))
        .unwrap_or_else(|error| panic!("{error}: no {:?} in\n{}", line(client), log(&server)));
    assert_eq!(receiver.total("with_toa"), 1);

    // From elsewhere, everything is as before.
    let direct = balancer.network.balancer.enter(|| TcpStream::connect((backend.address(), BACKEND_PORT)));
    let mut direct = direct.unwrap().unwrap();
    let neighbour = direct.local_addr().unwrap();
    direct.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    wait_for("the log", DEADLINE, || log(&server).contains(&line(neighbour))).unwrap();
    assert_eq!(receiver.total("direct"), 1);
}

#[test]
fn nginx() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().display();
    let file = directory.path().join("nginx.conf");
    let config = format!(
        "daemon off; error_log stderr; pid {home}/pid; events {{}}\n\
         http {{ log_format peer 'from $remote_addr:$remote_port.'; access_log {home}/access.log peer;\n\
         client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;\n\
         uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;\n\
         server {{ listen {BACKEND_PORT} backlog=4096; location / {{ return 200 'hello'; }} }} }}\n"
    );
    fs::write(&file, config).unwrap();
    sees_the_client(
        |receiver, host| receiver.serve(host, &["nginx", "-c", file.to_str().unwrap()]),
        |_| fs::read_to_string(directory.path().join("access.log")).unwrap_or_default(),
        |client| format!("from {client}."),
    );
}

#[test]
fn haproxy() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("haproxy.cfg");
    let config = format!(
        "global\n log stdout format raw local0\n\
         defaults\n mode http\n log global\n timeout client 5s\n log-format \"from %ci:%cp.\"\n\
         frontend test\n bind :{BACKEND_PORT}\n http-request return status 200\n"
    );
    fs::write(&file, config).unwrap();
    sees_the_client(
        |receiver, host| receiver.serve(host, &["haproxy", "-f", file.to_str().unwrap()]),
        Process::log,
        |client| format!("from {client}."),
    );
}

/// Listens on `[::]`, and logs no port.
#[test]
fn python_on_a_dual_stack_socket() {
    let directory = tempfile::tempdir().unwrap();
    let (port, root) = (BACKEND_PORT.to_string(), directory.path().to_str().unwrap());
    sees_the_client(
        |receiver, host| {
            receiver.serve(
                host,
                &["python3", "-u", "-m", "http.server", &port, "--bind", "::", "--directory", root],
            )
        },
        Process::log,
        |client| format!("::ffff:{} - - ", client.ip()),
    );
}

/// Accepts, forks, and lets the child say who is there.
#[test]
fn a_forking_server() {
    let listen = format!("TCP4-LISTEN:{BACKEND_PORT},fork,reuseaddr");
    let child = "SYSTEM:echo from $SOCAT_PEERADDR\\:$SOCAT_PEERPORT. >&2; echo hello";
    sees_the_client(
        |receiver, host| receiver.serve(host, &["socat", &listen, child]),
        Process::log,
        |client| format!("from {client}."),
    );
}

/// An SSH server that forks for every connection. Nobody logs in: a request for `/` is no SSH.
#[test]
fn dropbear() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("host_key");
    let key = key.to_str().unwrap();
    let made = Command::new("dropbearkey").args(["-t", "ed25519", "-f", key]).output();
    assert!(made.unwrap().status.success());
    let port = BACKEND_PORT.to_string();
    sees_the_client(
        |receiver, host| receiver.serve(host, &["dropbear", "-F", "-E", "-r", key, "-p", &port]),
        Process::log,
        |client| format!("Child connection from {}:{}", client.ip(), client.port()),
    );
}
