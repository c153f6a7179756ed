//! Who gets which member, and does a client stay with its own?

use std::{
    collections::BTreeMap,
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use testbed::{Host, Network, Size, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{
        certificates::Certificates,
        http,
        script::{Answer, Client, ok, serve},
    },
    servers,
};

/// Asks with these header lines, on a connection of its own.
fn ask(host: &Host, lines: &str) -> Answer {
    let request = format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{lines}\r\n");
    let answer = Client::connect(host, VIP).ask(request.as_bytes());
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}

/// The cookie that an answer sets, to be sent back.
fn cookie(answer: &Answer) -> Option<String> {
    let set = answer.header("set-cookie")?;
    Some(format!("Cookie: other=x; {}\r\n", set.split(';').next().unwrap()))
}

/// A backend that says its name.
fn named(host: &Host) {
    let name = host.name().to_owned();
    serve(host, move |_, _| ok(&name));
}

/// Has a host refuse connections on the backends' port, and cut those that are open.
fn kill(host: &Host) {
    let rule = "add table ip dead; add chain ip dead in { type filter hook input priority 0; }; \
                add rule ip dead in tcp dport 8080 reject with tcp reset";
    host.run(&["nft", rule]).unwrap();
}

/// The number of the backend with this name, from 0.
fn number(name: &str) -> usize {
    name.strip_prefix("backend").unwrap().parse::<usize>().unwrap() - 1
}

#[test]
fn by_the_balancers_cookie_a_client_stays_until_its_member_cannot() {
    let keeping = |drain: bool| -> &'static str {
        let sticky = format!("by = \"balancer-cookie\", cookie = \"lb\", minutes = 1, drain = {drain}");
        format!("protocol = \"http\"\nsticky = {{ {sticky} }}").leak()
    };
    let mut balancer = Balancer::start(Settings { pool: keeping(true), ..http(3) });
    balancer.network.backends.iter().for_each(named);

    let first = ask(balancer.network.client(), "");
    let set = first.header("set-cookie").unwrap().to_owned();
    for part in ["lb=", "; HttpOnly", "; SameSite=Lax", "; Max-Age=60", "; Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("192.0.2"), "{set}");
    let (mine, sent) = (first.text(), cookie(&first).unwrap());
    let stays = |balancer: &Balancer| {
        (0..6).map(|_| ask(balancer.network.client(), &sent)).all(|answer| answer.text() == mine)
    };
    let new_ones = |balancer: &Balancer| -> Vec<String> {
        (0..6).map(|_| ask(balancer.network.client(), "").text()).collect()
    };
    assert!(stays(&balancer));
    let new = new_ones(&balancer);
    assert!(
        (1..=3).all(|n| new.iter().filter(|name| **name == format!("backend{n}")).count() == 2),
        "{new:?}"
    );
    // A cookie that nobody gave.
    let forged = sent.replace("lb=", "lb=A");
    assert!(cookie(&ask(balancer.network.client(), &forged)).is_some());

    // Drained: its clients go on, and no others come.
    balancer.settings.weights[number(&mine)] = 0;
    balancer.reload();
    assert!(stays(&balancer));
    assert!(!new_ones(&balancer).contains(&mine));

    // Without drain they go elsewhere, and stay there.
    balancer.settings.pool = keeping(false);
    balancer.reload();
    let moved = ask(balancer.network.client(), &sent);
    let (other, sent) = (moved.text(), cookie(&moved).unwrap());
    assert_ne!(other, mine);
    assert!((0..6).all(|_| ask(balancer.network.client(), &sent).text() == other));

    // Killed: no request fails, and the next member keeps the client.
    balancer.settings.weights = vec![1; 3];
    balancer.reload();
    kill(&balancer.network.backends[number(&other)]);
    let saved = ask(balancer.network.client(), &sent);
    let (third, sent) = (saved.text(), cookie(&saved).unwrap());
    assert_ne!(third, other);
    assert!((0..6).all(|_| ask(balancer.network.client(), &sent).text() == third));
}

#[test]
fn over_https_the_cookie_is_for_https_only() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let listener = format!("certificates = [\"shop\"]\n{}", certificates.server("shop"));
    let pool = "protocol = \"http\"\nsticky = { by = \"balancer-cookie\", same_site = \"none\" }";
    let balancer = Balancer::start(Settings { protocol: "https", listener, pool, ..http(2) });
    balancer.network.backends.iter().for_each(named);
    let ca = certificates.path("ca.crt");
    let directory = tempfile::tempdir().unwrap();
    let jar = directory.path().join("jar");
    let jar = jar.to_str().unwrap();
    let words = ["--resolve", "shop.example:80:203.0.113.10", "--cacert", &ca, "-c", jar, "-b", jar, "-i"];
    let curl = ["curl", "-sSf", "--max-time", "20"];
    let get = |url| balancer.client(&[&curl[..], &words, &[url]].concat());
    let first = get("https://shop.example:80/");
    assert!(first.contains("; HttpOnly; SameSite=None; Secure\r\n"), "{first}");
    let name = first.lines().last().unwrap();
    let later = get("https://shop.example:80/?[1-6]");
    assert_eq!(later.matches(name).count(), 6, "{later}");
    assert!(!later.contains("set-cookie"), "{later}");
}

#[test]
fn by_the_applications_cookie_a_client_stays_until_its_member_cannot() {
    let keeping = |drain: bool| -> &'static str {
        let sticky = format!("by = \"application-cookie\", cookie = \"SESSION\", drain = {drain}");
        format!("protocol = \"http\"\nsticky = {{ {sticky} }}").leak()
    };
    let mut balancer = Balancer::start(Settings { pool: keeping(true), ..http(3) });
    for host in &balancer.network.backends {
        let name = host.name().to_owned();
        serve(host, move |head, _| {
            let set = format!("OK\r\nSet-Cookie: SESSION={name}-x; Path=/; HttpOnly\r\n");
            let answer = String::from_utf8(ok(&name)).unwrap();
            let knows = head.contains(&format!("SESSION={name}-x"));
            if knows { answer } else { answer.replacen("OK\r\n", &set, 1) }.into_bytes()
        });
    }
    let first = ask(balancer.network.client(), "");
    assert_eq!(first.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 1, "only its own");
    let (mine, sent) = (first.text(), cookie(&first).unwrap());
    let stays = |balancer: &Balancer, sent: &str, name: &str| {
        (0..6).map(|_| ask(balancer.network.client(), sent)).all(|answer| answer.text() == name)
    };
    assert!(stays(&balancer, &sent, &mine));
    balancer.settings.weights[number(&mine)] = 0;
    balancer.reload();
    assert!(stays(&balancer, &sent, &mine), "it drains, and what was learnt outlives a reload");

    balancer.settings.pool = keeping(false);
    balancer.reload();
    let moved = ask(balancer.network.client(), &sent);
    let (other, sent) = (moved.text(), cookie(&moved).unwrap());
    assert_ne!(other, mine);
    assert!(stays(&balancer, &sent, &other));

    kill(&balancer.network.backends[number(&other)]);
    let saved = ask(balancer.network.client(), &sent);
    assert_ne!(saved.text(), other);
    assert!(stays(&balancer, &cookie(&saved).unwrap(), &saved.text()));
}

/// By how much it grows is bounded by when each request was made at the earliest and at the latest.
#[test]
fn a_new_members_weight_grows_in_a_straight_line() {
    const RAMP: f64 = 12.0;
    let network = Network::new(Size { clients: 1, backends: 2 }).unwrap();
    network.backends.iter().for_each(named);
    let pool = "protocol = \"http\"\nslow_start = \"12s\"";
    let settings = Settings { weights: vec![1], pool, ..http(1) };
    let mut balancer = Balancer::start_in(network, settings);
    let mut client = Client::connect(balancer.network.client(), VIP);
    let mut share = || {
        let names = (0..100).map(|_| client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").text());
        names.filter(|name| name == "backend2").count() as f64 / 100.0
    };
    assert_eq!(share(), 0.0);
    balancer.settings.weights = vec![1, 1];
    let before = Instant::now();
    balancer.reload();
    let after = Instant::now();
    // What grows is its weight, which is compared with the other one's.
    let due = |since: Duration| {
        let weight = (since.as_secs_f64() / RAMP).min(1.0);
        weight / (1.0 + weight)
    };
    let mut shares = Vec::new();
    while shares.last().is_none_or(|&share| share < 0.5) {
        let earliest = due(after.elapsed());
        let share = share();
        let latest = due(before.elapsed());
        assert!((earliest - 0.02..=latest + 0.02).contains(&share), "{earliest} {share} {latest}");
        assert!(shares.last().is_none_or(|&last| last <= share + 0.02), "{shares:?} {share}");
        shares.push(share);
        thread::sleep(Duration::from_millis(200));
        assert!(before.elapsed() < 2 * DEADLINE, "{shares:?}");
    }
    // Once is enough: a change of weight, and then another, does not begin it anew.
    for weights in [vec![1, 2], vec![1, 1]] {
        balancer.settings.weights = weights;
        balancer.reload();
    }
    assert_eq!(share(), 0.5);
}

/// Takes requests and never answers them.
struct Holder {
    listener: TcpListener,
    held: Vec<TcpStream>,
}

impl Holder {
    fn start(host: &Host) -> Self {
        let listener = servers::listen(host);
        listener.set_nonblocking(true).unwrap();
        Self { listener, held: Vec::new() }
    }

    fn count(&mut self) -> usize {
        while let Ok((stream, _)) = self.listener.accept() {
            self.held.push(stream);
        }
        self.held.len()
    }
}

#[test]
fn the_least_loaded_member_for_its_weight_is_next() {
    let pool = "protocol = \"http\"\nalgorithm = \"weighted-least-connections\"";
    let balancer = Balancer::start(Settings { weights: vec![3, 1], pool, ..http(2) });
    let mut members: Vec<_> = balancer.network.backends.iter().map(Holder::start).collect();
    let mut counts = || members.iter_mut().map(Holder::count).collect::<Vec<_>>();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut clients = Vec::new();
    for number in 1..=16 {
        let mut client = Client::connect(balancer.network.client(), VIP);
        std::io::Write::write_all(client.stream(), request).unwrap();
        clients.push(client);
        wait_for("the request", DEADLINE, || counts().iter().sum::<usize>() == number).unwrap();
    }
    assert_eq!(counts(), [12, 4]);
    // Those of the first end, and it is the first's turn until it has as many again. Clients that only stop sending
    // would still get their answers.
    for client in &mut clients {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(client.stream(), nix::sys::socket::sockopt::Linger, &at_once).unwrap();
    }
    drop(clients);
    for member in &mut members {
        for stream in &mut member.held {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
        member.held.clear();
    }
    let mut client = Client::connect(balancer.network.client(), VIP);
    std::io::Write::write_all(client.stream(), request).unwrap();
    wait_for("the request", DEADLINE, || members[0].count() + members[1].count() == 1).unwrap();
    assert_eq!(members[0].count(), 1, "3 times the weight, and nobody has any");
}

#[test]
fn by_source_hash_a_client_keeps_its_member_also_when_others_go() {
    const CLIENTS: u8 = 12;
    const FRONTS: [&str; 13] = [
        "front", "front2", "front3", "front4", "front5", "front6", "front7", "front8", "front9", "front10",
        "front11", "front12", "back",
    ];
    let network = Network::new(Size { clients: CLIENTS, backends: 3 }).unwrap();
    network.backends.iter().for_each(named);
    let pool = "protocol = \"http\"\nalgorithm = \"source-hash\"";
    let mut balancer = Balancer::start_in(network, Settings { pool, interfaces: &FRONTS, ..http(3) });
    let of_each = |balancer: &Balancer| -> BTreeMap<SocketAddr, String> {
        let each = balancer.network.clients.iter().map(|host| {
            let names: Vec<_> = (0..3).map(|_| ask(host, "").text()).collect();
            assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
            (SocketAddr::new(host.address().into(), 0), names[0].clone())
        });
        each.collect()
    };
    let before = of_each(&balancer);
    let left = before.values().next().unwrap().clone();
    assert!(before.values().any(|name| *name != left), "all of {CLIENTS} clients have the same member");
    balancer.settings.weights[number(&left)] = 0;
    balancer.reload();
    let after = of_each(&balancer);
    for (client, name) in &before {
        assert_eq!(*name == left, after[client] != *name, "{client} had {name}, has {}", after[client]);
    }
}
