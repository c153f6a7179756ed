//! What a member sees of a request and a client of its answer, through the whole proxy.

mod around;
mod down;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use h2::server::SendResponse;
use model::{
    policy::{Condition, Domain, PathMatch, RedirectStatus},
    served::{Action, Policy, Redirect, RedirectTo},
    value::{Name, Port, RejectStatus},
};
use pingora::proxy::{ProxyHttp, Session};
use tokio::io::AsyncWriteExt;

use super::{CLIENT_GONE, Proxy, exchange, failure};
use crate::l7::fixture::{DEADLINE, Front, Settings, close};

fn front() -> Front {
    Front::start(Settings::default())
}

/// A front that rejects what is for this domain, or this path.
fn rejecting(domain: Option<&str>, path: Option<&str>) -> Front {
    with_policy(domain, path, Action::Reject(RejectStatus::literal(403)))
}

/// A front that does this with what is for this domain, or this path.
fn with_policy(domain: Option<&str>, path: Option<&str>, action: Action) -> Front {
    let condition = Condition {
        domain: domain.map(|name| Domain::Exact(name.into())),
        path: path.map(|path| PathMatch::Exact(path.into())),
        ..Condition::default()
    };
    let policies = vec![Policy { name: Name::new("only").unwrap(), condition: Arc::new(condition), action }];
    Front::start(Settings { policies, ..Settings::default() })
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

#[test]
fn a_policy_for_a_domain_meets_who_names_it_in_the_target_only() {
    let front = rejecting(Some("admin.example"), None);
    let answer = front.ask(b"GET http://admin.example:80/ HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn a_member_is_told_a_host_even_if_the_client_named_none() {
    for (target, path, host) in [
        ("http://shop.example:8080/x?y", "/x?y", "shop.example:8080"),
        ("http://shop.example?y", "/?y", "shop.example"),
        ("http://shop.example", "/", "shop.example"),
        ("/x", "/x", "203.0.113.10"),
    ] {
        let front = front();
        let answer = front.ask(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let sent = front.sent();
        assert!(sent.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{target}: {sent}");
        assert!(sent.contains(&format!("\r\nHost: {host}\r\n")), "{target}: {sent}");
    }
}

/// It meant the address that it came to.
#[test]
fn a_client_that_named_no_host_is_sent_elsewhere_at_the_vip() {
    let secure =
        Redirect { status: RedirectStatus::new(301).unwrap(), to: RedirectTo::Listener(Port::literal(443)) };
    let front = with_policy(None, Some("/x"), Action::Redirect(secure));
    let answer = front.ask(b"GET /x?y HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 301"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nlocation: https://203.0.113.10/x?y\r\n"), "{answer}");
    // Policies take it for the same.
    let answer = rejecting(Some("203.0.113.10"), None).ask(b"GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

/// RFC 9112 section 6.1: no Transfer-Encoding for a client of HTTP/1.0.
#[test]
fn a_client_of_http_1_0_gets_an_answer_of_unknown_length_as_it_is() {
    let http2 = http2_member(|mut respond| {
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        body.send_data("ok\n".into(), true).unwrap();
    });
    for http2_members in [None, Some(vec![http2])] {
        let front = Front::start(Settings { http2_members, ..Settings::default() });
        let answer = front.ask(b"GET /chunked HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let answer = answer.to_lowercase();
        assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
        assert!(!answer.contains("transfer-encoding"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

/// RFC 9110 section 7.6.1.
#[test]
fn what_a_member_says_of_its_connection_does_not_reach_the_client() {
    let answer = front().ask(b"GET /hop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 3\r\n"), "{answer}");
    for name in ["x-mine", "keep-alive", "upgrade", "proxy-connection"] {
        assert!(!answer.contains(name), "{answer}");
    }
}

/// RFC 9110 section 15.2: no interim answers for a client of HTTP/1.0.
#[test]
fn a_client_of_http_1_0_is_not_told_to_continue() {
    let front = Front::start(Settings { read: Duration::from_millis(50), ..Settings::default() });
    let answer = front.ask(b"GET /continue HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
}

/// Only WebSocket goes on to members, so nothing else needs a connection of its own.
#[test]
fn another_upgrade_is_a_request_like_any_other() {
    let front = front();
    let mut client = front.connect();
    for _ in 0..2 {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
    }
    assert_eq!(front.connections().len(), 1);
}

/// Else any client could have a slow member hold its request for as long as a WebSocket may rest.
#[test]
fn a_member_has_no_more_time_to_open_a_websocket_than_for_any_answer() {
    let front = Front::start(Settings { read: Duration::from_millis(50), ..Settings::default() });
    let answer = front.ask(websocket("/continue", "keep-alive, Upgrade").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 100 ") && answer.contains("HTTP/1.1 504 "), "{answer}");
}

/// RFC 9110 section 7.8: the sender of Upgrade names it in Connection.
#[test]
fn an_upgrade_that_connection_does_not_name_goes_no_further() {
    let front = front();
    let answer = front.ask(websocket("/", "close").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let sent = front.sent();
    assert!(sent.starts_with("GET / ") && !sent.contains("pgrade") && !sent.contains("websocket"), "{sent}");
}

/// Members that are spoken to in HTTP/2 would answer a request like any other.
#[test]
fn a_websocket_for_members_that_speak_http_2_is_refused() {
    let front = Front::start(Settings { http2_members: Some(Vec::new()), ..Settings::default() });
    let answer = front.ask(websocket("/", "Upgrade").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
}

fn websocket(path: &str, connection: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\nUpgrade: WebSocket\r\n\r\n")
}

/// RFC 9113 section 8.7: such a request was not looked at, so it may be made again whatever it is.
#[test]
fn a_request_that_a_member_refuses_unread_goes_to_another() {
    let asked = Arc::<AtomicUsize>::default();
    let members = vec![refusing(0, asked.clone()), refusing(0, asked.clone())];
    let front = Front::start(Settings { http2_members: Some(members), ..Settings::default() });
    let answer =
        front.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(asked.load(SeqCst), 2);
}

/// It may have been about to close a connection that was not used just then.
#[test]
fn a_member_that_refuses_a_request_on_a_used_connection_is_asked_on_another() {
    let asked = Arc::<AtomicUsize>::default();
    let members = vec![refusing(1, asked.clone())];
    let front = Front::start(Settings { http2_members: Some(members), ..Settings::default() });
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let mut client = front.connect();
    client.write_all(request.as_bytes()).unwrap();
    front.wait_for("an answer", |row| row.requests == 1);
    client.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    assert_eq!(asked.load(SeqCst), 3);
}

/// A member that speaks HTTP/2 and refuses one of the requests that `asked` counts, from 0.
fn refusing(which: usize, asked: Arc<AtomicUsize>) -> SocketAddr {
    http2_member(move |mut respond| {
        if asked.fetch_add(1, SeqCst) == which {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        } else {
            let answer = http::Response::builder().header("content-length", "0");
            respond.send_response(answer.body(()).unwrap(), true).unwrap();
        }
    })
}

/// A member that speaks HTTP/2 and answers each request so.
fn http2_member(answer: impl Fn(SendResponse<Bytes>) + Clone + Send + 'static) -> SocketAddr {
    http2_reader(move |_, respond| answer(respond))
}

/// The same, of one that looks at the request's body.
fn http2_reader(answer: impl Fn(h2::RecvStream, SendResponse<Bytes>) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(socket).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        answer(request.into_body(), respond);
                    }
                });
            }
        });
    });
    address
}

/// A member of HTTP/1 that answers each head so, or hangs up.
fn http1_server(answer: impl Fn(&str) -> Option<String> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let (mut head, mut bytes) = (String::new(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    head += &String::from_utf8_lossy(&bytes[..count]);
                    if head.ends_with("\r\n\r\n") {
                        let Some(text) = answer(&head) else { return };
                        if stream.write_all(text.as_bytes()).is_err() {
                            return;
                        }
                        head.clear();
                    }
                }
            });
        }
    });
    address
}

/// A member of HTTP/1 that answers each request on each connection so, by their numbers from 0; none ends the connection.
fn http1_member(answer: impl Fn(usize, usize) -> Option<&'static str> + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (connection, mut stream) in listener.incoming().flatten().enumerate() {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                for number in 0.. {
                    let Some(answer) = answer(connection, number) else { return };
                    if !matches!(stream.read(&mut bytes), Ok(1..))
                        || stream.write_all(answer.as_bytes()).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// RFC 9110, section 10.1.1: whether the member says "continue" or not.
#[test]
fn a_client_that_expects_100_keeps_its_connection() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    let says = http1_member(|_, number| Some(if number == 0 { "HTTP/1.1 100 Continue\r\n\r\n" } else { OK }));
    let says_not = http1_member(|_, number| Some(if number == 0 { "" } else { OK }));
    for (member, waits) in [(says, true), (says_not, false)] {
        let front = Front::start(Settings { http1_members: Some(vec![member]), ..Settings::default() });
        let mut client = front.connect();
        let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        if waits {
            let mut interim = [0; 25];
            client.read_exact(&mut interim).unwrap();
            assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        } else {
            thread::sleep(Duration::from_millis(100));
        }
        client.write_all(b"hello").unwrap();
        front.wait_for("an answer", |row| row.requests == 1);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
    }
}

/// What a client sends of its tunnel before it knows that it has one is the tunnel's.
#[test]
fn a_tunnel_begins_with_what_was_sent_ahead() {
    let member = http1_member(|_, number| {
        Some(if number == 0 {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        } else {
            "world"
        })
    });
    let front = Front::start(Settings { http1_members: Some(vec![member]), ..Settings::default() });
    let mut client = front.connect();
    client.write_all((websocket("/", "Upgrade") + "hello").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"world") {
        client.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
}

/// It is the request's own doing, and another client's members should not rest for it.
#[test]
fn a_request_at_which_every_member_hangs_up_ejects_none() {
    let asked = [(); 2].map(|()| Arc::<AtomicUsize>::default());
    let members = asked.each_ref().map(|asked| {
        let asked = asked.clone();
        http1_server(move |head| {
            if head.contains(" /killing ") {
                return None;
            }
            asked.fetch_add(1, SeqCst);
            Some("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n".into())
        })
    });
    let front = Front::start(Settings { http1_members: Some(members.to_vec()), ..Settings::default() });
    let get = |path: &str| {
        front.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
    };
    for _ in 0..20 {
        assert!(get("/killing").starts_with("HTTP/1.1 502 "));
    }
    for _ in 0..20 {
        assert!(get("/").starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(asked.map(|asked| asked.load(SeqCst)), [10, 10]);
}

#[test]
fn a_request_is_tried_no_more_than_four_times() {
    let asked = Arc::<AtomicUsize>::default();
    let hang_up = || {
        let asked = asked.clone();
        http1_server(move |_| {
            asked.fetch_add(1, SeqCst);
            None
        })
    };
    let members = (0..8).map(|_| hang_up()).collect();
    let front = Front::start(Settings { http1_members: Some(members), ..Settings::default() });
    let answer = front.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(asked.load(SeqCst), 4);
}

/// What a member sends late on a connection that is kept is no answer to the next request there.
#[test]
fn a_request_whose_kept_connection_brings_rubbish_is_asked_on_another() {
    for rubbish in ["0\r\n\r\n", "hello"] {
        let member = http1_member(if rubbish == "hello" {
            |connection, number| match (connection, number) {
                (0, 0) => Some("HTTP/1.1 204 No Content\r\n\r\n"),
                (0, 1) => Some("hello"),
                (0, _) => None,
                _ => Some("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"),
            }
        } else {
            |connection, number| match (connection, number) {
                (0, 0) => Some("HTTP/1.1 204 No Content\r\n\r\n"),
                (0, 1) => Some("0\r\n\r\n"),
                (0, _) => None,
                _ => Some("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"),
            }
        });
        let front = Front::start(Settings { http1_members: Some(vec![member]), ..Settings::default() });
        let mut client = front.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client.read_exact(&mut [0; 20]).unwrap();
        front.wait_for("an answer", |row| row.requests == 1);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        assert!(answers.contains("HTTP/1.1 200 "), "{rubbish:?}: {answers}");
    }
}

/// Not even if the heads of its answers are good.
#[test]
fn a_member_that_breaks_off_its_answers_gets_no_more_requests_for_a_while() {
    let [broken, whole] = [true, false].map(|is_short| {
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        let member = http2_member(move |mut respond| {
            count.fetch_add(1, SeqCst);
            let head = http::Response::builder().header("content-length", "5").body(()).unwrap();
            let body = if is_short { "hell" } else { "hello" };
            respond.send_response(head, false).unwrap().send_data(body.into(), true).unwrap();
        });
        (member, asked)
    });
    let members = vec![broken.0, whole.0];
    let front = Front::start(Settings { http2_members: Some(members), ..Settings::default() });
    for _ in 0..40 {
        let answer = front.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let asked = [broken.1, whole.1].map(|asked| asked.load(SeqCst));
    assert!(asked[0] < asked[1] && asked[0] + asked[1] == 40, "{asked:?}");
}

#[test]
fn a_client_that_goes_after_100_has_had_no_answer() {
    let front = front();
    let mut client = front.connect();
    client
        .write_all(b"PUT /continue HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    client.read_exact(&mut [0; 12]).unwrap();
    close(&client);
    let row = front.wait_for("the request's end", |row| row.requests == 1);
    assert_eq!(row.http_499, 1, "{row:?}");
}

/// Long enough that it does not share a connection.
const LONG: usize = 100_000;

fn upload(length: usize) -> String {
    format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
}

/// From one part of a request to the next is as long as from one part of an answer to the next.
#[test]
fn an_upload_may_take_long_if_it_goes_on() {
    let member = http2_reader(|mut body, mut respond| {
        tokio::spawn(async move {
            while let Some(part) = body.data().await {
                body.flow_control().release_capacity(part.unwrap().len()).unwrap();
            }
            respond.send_response(http::Response::new(()), true).unwrap();
        });
    });
    let read = Duration::from_secs(2);
    let front = Front::start(Settings { read, http2_members: Some(vec![member]), ..Settings::default() });
    let (mut client, began) = (front.connect(), Instant::now());
    let parts = 100;
    client.write_all(upload(parts * LONG).as_bytes()).unwrap();
    for part in 0..parts {
        client.write_all(&[0; LONG]).unwrap();
        thread::sleep((read * 3 / 2 * part as u32 / parts as u32).saturating_sub(began.elapsed()));
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn of_an_upload_that_does_not_go_on_the_one_who_stopped_is_told() {
    let held = Arc::<Mutex<Vec<_>>>::default();
    let member = http2_reader(move |body, respond| held.lock().unwrap().push((body, respond)));
    let read = Duration::from_millis(300);
    let front = Front::start(Settings { read, http2_members: Some(vec![member]), ..Settings::default() });
    for (sent, status) in [(10, "408"), (2 * LONG, "504")] {
        let mut client = front.connect();
        client.write_all(upload(2 * LONG).as_bytes()).unwrap();
        client.write_all(&vec![0; sent]).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{sent}: {answer}");
    }
    let row = front.wait_for("both", |row| row.requests == 2);
    assert_eq!(row.member_failures, 1, "{row:?}");
}

/// It has closed the connection as soon as it had asked.
#[test]
fn a_client_that_is_gone_before_an_answer_of_ours_is_no_error_of_ours() {
    let front = rejecting(None, Some("/x"));
    let proxy = Proxy::new(Arc::new(ArcSwap::from(front.listening.snapshot())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut client, ours) = tokio::io::duplex(256);
        client.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut session = Session::new_h1(Box::new(ours));
        session.downstream_session.read_request().await.unwrap();
        drop(client);
        let error = proxy.request_filter(&mut session, &mut proxy.new_ctx()).await.unwrap_err();
        assert!(exchange::answer(&session).is_none());
        assert_eq!(failure::status(&error), CLIENT_GONE, "{error}");
    });
}

/// A connection that is closed while data waits is reset, and the client may never see its answer.
#[test]
fn a_client_that_still_sends_gets_its_answer_and_no_reset() {
    let no_member = Front::start(Settings { http2_members: Some(Vec::new()), ..Settings::default() });
    for (front, status) in [(rejecting(None, Some("/x")), "403"), (no_member, "503")] {
        let mut client = front.connect();
        let body = vec![b'x'; 200_000];
        let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&body).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}
