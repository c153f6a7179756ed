//! What a member sees of a request and a client of its answer, through the whole proxy.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::{
    l7::fixture::{Front, Settings, close},
    model::policy::{Action, Condition, Domain, PathMatch, Policy},
};

fn front() -> Front {
    Front::start(Settings::default())
}

/// A client of HTTP/2 may send each cookie in a field of its own (RFC 9113 section 8.2.3).
#[test]
fn a_member_gets_all_cookies_in_one_field() {
    let front = front();
    front.ask(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=\xe9\r\nCookie: c=3\r\nConnection: close\r\n\r\n");
    let sent = front.connections().concat().to_ascii_lowercase();
    let lines: Vec<_> =
        sent.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"cookie")).collect();
    assert_eq!(lines, [b"cookie: a=1; b=\xe9; c=3\r"]);
}
