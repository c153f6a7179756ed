//! A server that tells every client who it sees.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use testbed::{Process, wait_for};

use super::command::Receiver;
use crate::balancer::{BACKEND_PORT, Balancer, DEADLINE, VIP};

/// nginx, telling every client who it is.
pub fn mirror(balancer: &Balancer, receiver: &Receiver, directory: &Path) -> Process {
    let (home, file) = (directory.display(), directory.join("nginx.conf"));
    let config = format!(
        "daemon off; error_log stderr; pid {home}/pid; events {{ worker_connections 4096; }}\n\
         http {{ access_log off;\n\
         client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;\n\
         uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;\n\
         server {{ listen {BACKEND_PORT} backlog=4096;\n\
         location / {{ return 200 '$remote_addr:$remote_port'; }} }} }}\n"
    );
    fs::write(&file, config).unwrap();
    let backend = &balancer.network.backends[0];
    let server = receiver.serve(backend, &["nginx", "-c", file.to_str().unwrap()]);
    let up = || backend.enter(|| TcpStream::connect((backend.address(), BACKEND_PORT))).unwrap().is_ok();
    wait_for("nginx", DEADLINE, up).unwrap();
    server
}

/// One connection: this end, and what the server saw.
pub fn ask() -> io::Result<(SocketAddr, SocketAddr)> {
    let mut stream = TcpStream::connect_timeout(&VIP, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let seen = answer.rsplit('\n').next().and_then(|seen| seen.parse().ok());
    Ok((stream.local_addr()?, seen.ok_or_else(|| io::Error::other(format!("{answer:?}")))?))
}
