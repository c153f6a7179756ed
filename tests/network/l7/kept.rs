//! Connections and answers that last: members that close what was kept, interim answers, WebSockets that rest.

use std::{
    io::{BufRead, BufReader, Read, Write},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{
    balancer::{Balancer, Settings, VIP},
    l7::{
        echo::Echo,
        http,
        script::{Client, ok, serve},
    },
    servers,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Every second request on a connection meets its end, as if the member had closed it just before. One failure would
/// put a member to rest for the whole test.
#[test]
fn a_kept_connection_that_its_member_has_closed_fails_nobody() {
    let pool = "protocol = \"http\"\nejection = { failures = 1, time = \"1h\" }";
    let balancer = Balancer::start(Settings { pool, ..http(2) });
    for host in &balancer.network.backends {
        let name = host.name().to_owned();
        serve(host, move |_, number| if number == 1 { ok(&name) } else { Vec::new() });
    }
    let mut client = Client::connect(balancer.network.client(), VIP);
    let answers: Vec<_> = (0..40).map(|_| client.ask(GET)).collect();
    for name in ["backend1", "backend2"] {
        let count = answers.iter().filter(|answer| answer.text() == name).count();
        assert!((10..=30).contains(&count), "{name} answered {count}: {answers:?}");
    }
    assert!(answers.iter().all(|answer| answer.statuses == [200]), "{answers:?}");

    // A member that breaks off on a new connection has failed.
    let balancer = Balancer::start(Settings { pool, ..http(2) });
    serve(&balancer.network.backends[0], |_, _| Vec::new());
    serve(&balancer.network.backends[1], |_, _| ok("backend2"));
    let mut client = Client::connect(balancer.network.client(), VIP);
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let mut failed = 0;
    for _ in 0..10 {
        if client.ask(post).status() != 200 {
            failed += 1;
            client = Client::connect(balancer.network.client(), VIP);
        }
    }
    assert_eq!(failed, 1);
}

#[test]
fn interim_answers_arrive_and_cost_nothing_of_the_last_one() {
    let pool = "protocol = \"http\"\nsticky = { by = \"balancer-cookie\", cookie = \"lb\" }";
    let balancer = Balancer::start(Settings { pool, ..http(1) });
    serve(&balancer.network.backends[0], |_, _| {
        let early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        [&early[..], &early[..], &ok("late")].concat()
    });
    let answer = Client::connect(balancer.network.client(), VIP).ask(GET);
    assert_eq!((answer.statuses.as_slice(), answer.text().as_str()), (&[103, 103, 200][..], "late"));
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.starts_with("lb=")), "{answer:?}");
}

/// A tunnel's own timeout holds for it, and no other: it rests longer than each of the others.
#[test]
fn a_websocket_may_rest_longer_than_a_request() {
    let short = "read_timeout = \"1s\"\nwrite_timeout = \"1s\"\nlimits = { body_timeout = \"1s\", send_timeout = \"1s\" }";
    let pool = "protocol = \"http\"\nejection = { failures = 1, time = \"1h\" }";
    let settings = Settings { pool, idle_timeout: "1s", listener: short.into(), ..http(2) };
    let mut balancer = Balancer::start(settings);
    let _echos: Vec<_> = balancer.network.backends.iter().map(Echo::start).collect();
    let open = |balancer: &Balancer| {
        let mut client = Client::connect(balancer.network.client(), VIP);
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        assert_eq!(client.ask(request).statuses, [101]);
        client
    };
    let mut client = open(&balancer);
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(2500));
        client.stream().write_all(b"still there?").unwrap();
        let mut back = [0; 12];
        client.stream().read_exact(&mut back).unwrap();
        assert_eq!(&back, b"still there?");
    }

    balancer.settings.listener.insert_str(0, "tunnel_timeout = \"1s\"\n");
    balancer.reload();
    for _ in 0..2 {
        assert_eq!(open(&balancer).stream().read(&mut [0]).unwrap_or(0), 0, "it is closed in the end");
    }
    // Nobody has failed who was only silent: both take part.
    let answers = balancer.client(&["curl", "-sSf", "--max-time", "20", "http://203.0.113.10/?[1-4]"]);
    for name in ["backend1\n", "backend2\n"] {
        assert_eq!(answers.matches(name).count(), 2, "{answers}");
    }
}

/// Whatever the client says first, and however soon after the switch, the member hears it, and the other way round.
#[test]
fn no_first_or_last_word_of_a_websocket_is_lost() {
    let balancer = Balancer::start(http(1));
    // It says something at once, answers one word with another, and hangs up.
    let listener = servers::listen(&balancer.network.backends[0]);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || -> std::io::Result<()> {
                let mut input = BufReader::new(stream.try_clone()?);
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    input.read_line(&mut line)?;
                }
                stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                )?;
                let mut word = [0; 4];
                input.read_exact(&mut word)?;
                // In one piece: the end of the connection discards what waits to be sent.
                stream.write_all(&[&b"ok: "[..], &word].concat())
                // Whatever the client says still has the connection reset.
            });
        }
    });
    let lost = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    let mut client = Client::connect(balancer.network.client(), VIP);
                    let request =
                        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
                    assert_eq!(client.ask(request).statuses, [101]);
                    client.stream().write_all(b"word").unwrap();
                    // It may have hung up.
                    let _ = client.stream().write_all(b"and more");
                    let mut back = Vec::new();
                    let _ = client.stream().read_to_end(&mut back);
                    if back != b"ok: word" {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(lost.into_inner(), 0, "of 1000");
}
