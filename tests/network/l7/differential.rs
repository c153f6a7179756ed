//! Does nginx, told the same, send the same requests to the same members and hand back the same answers? And is refused what
//! HAProxy refuses, too?
//!
//! Both run in front of the same members. Where they differ the test says so and why; any other difference fails it.

use std::{fs, net::SocketAddr};

use testbed::{Network, Process, Size, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{
        echo::Echo,
        http, routing,
        script::{Answer, Client, headers, serve},
    },
};

/// Where nginx listens: the balancer's own address, since nothing binds the VIP.
const NGINX_PORT: u16 = 8081;

/// Where HAProxy does.
const HAPROXY_PORT: u16 = 8082;

/// HAProxy on the balancer, in front of the first backend.
pub(super) fn haproxy(network: &Network, directory: &std::path::Path) -> (Process, SocketAddr) {
    let address = SocketAddr::new(network.balancer.address().into(), HAPROXY_PORT);
    let backend = network.backends[0].address();
    let config = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n retries 0\n\
         frontend front\n bind {address}\n default_backend back\n\
         backend back\n server one {backend}:8080\n"
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, config).unwrap();
    let process = network.balancer.spawn(&["haproxy", "-db", "-f", file.to_str().unwrap()]).unwrap();
    (listening(network, process, address), address)
}

/// Waits until a process listens there.
fn listening(network: &Network, mut process: Process, address: SocketAddr) -> Process {
    let connects = || std::net::TcpStream::connect(address).is_ok();
    wait_for("a proxy", DEADLINE, || {
        assert_eq!(process.status().unwrap(), None, "{}", process.log());
        network.client().enter(connects).unwrap()
    })
    .unwrap();
    process
}

/// nginx on the balancer: these servers, in front of the backends as `one`, `two` and `three`.
pub(super) fn nginx(network: &Network, directory: &std::path::Path, servers: &str) -> (Process, SocketAddr) {
    let home = directory.display();
    let upstreams: String = ["one", "two", "three"]
        .iter()
        .zip(&network.backends)
        .map(|(name, host)| {
            format!("upstream {name} {{ server {}:8080 max_fails=0; keepalive 16; }}\n", host.address())
        })
        .collect();
    let config = format!(
        "daemon off; master_process off; error_log stderr; pid {home}/pid; events {{}}\n\
         http {{ access_log off; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;\n\
         fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;\n\
         server_names_hash_bucket_size 64; underscores_in_headers on; ignore_invalid_headers off;\n\
         large_client_header_buffers 4 32k; client_max_body_size 0; proxy_request_buffering off;\n\
         proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection \"\";\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_pass_header Server; proxy_pass_header Date; proxy_pass_header X-Accel-Expires;\n\
         {upstreams}{servers} }}\n"
    );
    let file = directory.join("front.conf");
    fs::write(&file, config).unwrap();
    let process = network.balancer.spawn(&["nginx", "-p", &home.to_string(), "-c", file.to_str().unwrap()]);
    let address = SocketAddr::new(network.balancer.address().into(), NGINX_PORT);
    (listening(network, process.unwrap(), address), address)
}

/// What came of a request: as the member saw it and as the client did.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: u16,
    location: Option<String>,
    /// Name and request line.
    member: Option<(String, String)>,
    /// What the member was sent, in order.
    sent: Vec<(String, String)>,
    /// What the member says of the body.
    body: Option<String>,
}

impl Outcome {
    fn of(answer: &Answer) -> Self {
        let mut outcome = Self {
            status: answer.status(),
            location: answer.header("location").map(str::to_owned),
            member: None,
            sent: Vec::new(),
            body: None,
        };
        let text = answer.text();
        if let (200, Some((name, head))) = (answer.status(), text.split_once('\n')) {
            outcome.member = Some((name.into(), head.lines().next().unwrap_or_default().into()));
            outcome.sent = headers(head);
            outcome.body = text.lines().last().map(str::to_owned);
        }
        outcome
    }
}

const POLICIES: [(&str, &str); 8] = [
    ("domain = \"shop.example\"\npath = { exact = \"/exact\" }", "pool = \"pool2\""),
    ("domain = \"shop.example\"\npath = { prefix = \"/images\" }", "pool = \"pool2\""),
    ("domain = \"shop.example\"\npath = { regex = '/.*\\.png' }", "pool = \"pool3\""),
    ("domain = \"shop.example\"\npath = { prefix = \"/private\" }", "reject = 403"),
    (
        "domain = \"shop.example\"\npath = { prefix = \"/old\" }",
        "redirect = { url = \"https://new.example/\" }",
    ),
    ("domain = \"*.shop.example\"", "pool = \"pool3\""),
    ("path = { exact = \"/exact\" }", "pool = \"pool3\""),
    ("path = { prefix = \"/images\" }", "pool = \"pool2\""),
];

/// The same, as nginx is told: in a server, an exact location goes before the longest prefix, and that before regular
/// expressions.
const SERVERS: &str = r"
    server { listen 8081; server_name shop.example;
        location = /exact { proxy_pass http://two; }
        location ^~ /images { proxy_pass http://two; }
        location ~ ^/.*\.png$ { proxy_pass http://three; }
        location ^~ /private { return 403; }
        location ^~ /old { return 301 https://new.example/; }
        location / { proxy_pass http://one; } }
    server { listen 8081; server_name *.shop.example; location / { proxy_pass http://three; } }
    server { listen 8081 default_server; server_name _;
        location = /exact { proxy_pass http://three; }
        location ^~ /images { proxy_pass http://two; }
        location / { proxy_pass http://one; } }
";

const TARGETS: [&str; 56] = [
    "/",
    "/a",
    "/a/",
    "/a/b/../c",
    "/a/./b",
    "/a//b",
    "//a",
    "///",
    "/a/b/..",
    "/a/b/.",
    "/.",
    "/...",
    "/a/.../b",
    "/%61bc",
    "/a%2Fb",
    "/a%2fb",
    "/a%2e%2E/b",
    "/images/%2e%2e/exact",
    "/images/../exact",
    "/images/x/../../exact",
    "/A/B",
    "/Exact",
    "/EXACT",
    "/exact",
    "/exact/",
    "/exact?",
    "/exact?x=/../y",
    "/%65xact",
    "/exac%74?a=b%20c",
    "//exact",
    "/./exact",
    "/exact%2F",
    "/exact;p=1",
    "/images",
    "/images/",
    "/images/x",
    "/images%2Fx",
    "/imagesx",
    "/Images/x",
    "//images//x",
    "/x.png",
    "/x.PNG",
    "/a/b/x.png?y",
    "/images/x.png",
    "/x%2Epng",
    "/x.png/y",
    "/x.pngy",
    "/private",
    "/private/x.png",
    "/privately",
    "/old",
    "/old/page?x",
    "/?q",
    "/a%20b",
    "/a+b",
    "/a?x=1&y=2&&z=%zz",
];

const HOSTS: [&str; 8] = [
    "shop.example",
    "SHOP.Example",
    "shop.example:81",
    "shop.example.",
    "www.shop.example",
    "a.b.shop.example",
    "notshop.example",
    "198.51.100.1",
];

const METHODS: [&str; 9] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get", "X-CUSTOM"];

/// Header lines, each set for a request of its own.
const HEADERS: [&str; 22] = [
    "Accept: */*\r\nAccept-Encoding: gzip\r\nAccept-Language: de\r\nUser-Agent: test/1\r\n",
    "X-Empty:\r\nX-Spaces:   a  b   \r\nX-Tab:\ta\r\n",
    "X-Case: MiXed\r\nx-lower: 1\r\nX-UPPER: 2\r\n",
    "X-Twice: 1\r\nX-Twice: 2\r\nX-Other: 3\r\nX-Twice: 4\r\n",
    "Cookie: a=b\r\nCookie: c=d\r\n",
    "Cookie: a=b; c=\"d e\"; =f; g\r\n",
    "X_Under_Score: 1\r\nX.Dot: 2\r\nX!Mark: 3\r\n",
    "X-Utf: \u{e4}\u{f6}\u{fc}\r\n",
    "X-Forwarded-For: 192.0.2.1\r\n",
    "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nX-Forwarded-For: 192.0.2.3\r\n",
    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Real-IP: 192.0.2.9\r\nForwarded: for=192.0.2.7\r\n",
    "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
    "Connection: close\r\n",
    "TE: trailers\r\n",
    "Expect: \r\n",
    "Via: 1.1 somebody\r\nMax-Forwards: 3\r\n",
    "Range: bytes=0-1\r\nIf-None-Match: \"x\"\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
    "Authorization: Basic dTpw\r\nProxy-Authorization: Basic dTpw\r\n",
    "Proxy-Connection: keep-alive\r\n",
    "Origin: https://a.example\r\nReferer: https://a.example/x?y\r\nSec-Fetch-Mode: cors\r\n",
    "Upgrade-Insecure-Requests: 1\r\nDNT: 1\r\n",
    "Content-Type: text/plain\r\nContent-Language: en\r\n",
];

/// Requests that are answered otherwise than by nginx, by what they begin with, and why.
const OTHERWISE: [(&str, u16, u16, &str); 19] = [
    ("get /x ", 200, 400, "methods are compared as they are, and which there are is the member's affair"),
    ("TRACE /", 200, 405, "the same"),
    (
        "GET /x HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
        200,
        200,
        "RFC 6265, 5.4: a request has one; members get one, as from HTTP/2",
    ),
    (
        "GET /exact HTTP/1.0\r\n\r\n",
        200,
        200,
        "RFC 9112, 3.2: no request of HTTP/1.1 is without Host; it gets the VIP",
    ),
    ("OPTIONS * ", 200, 400, "RFC 9110 has it for servers as a whole"),
    ("GET /.. ", 200, 400, "RFC 3986, 5.2.4: above the root is the root; policies go by that"),
    ("GET /../exact ", 200, 400, "the same"),
    ("GET /a/../../exact ", 200, 400, "the same"),
    ("GET /%00 ", 200, 400, "it is a character as any other for a balancer; policies see it"),
    ("GET /%zz ", 200, 400, "what is not an escape stands for itself, for policies too"),
    ("GET /% ", 200, 400, "the same"),
    ("GET /\"<>", 400, 200, "RFC 3986 has no such characters, and no browser sends them"),
    ("GET /a#", 400, 200, "RFC 9112, 3.2: no target has a fragment; HAProxy refuses it, too"),
    ("GET /exact#", 400, 200, "the same"),
    ("GET  /", 400, 200, "one space, RFC 9112, 3: others may see another request in it"),
    ("GET / HTTP/1.2", 400, 200, "there is no such version"),
    ("GET / HTTP/3.0", 400, 505, "it is refused either way"),
    ("CONNECT ", 405, 400, "the same"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip", 400, 501, "the same"),
];

/// Headers that only one of the two hands on, and why.
const HANDED_ON: [(&str, &str); 7] = [
    ("te", "members send trailers where that says so; nginx passes none on"),
    ("expect", "an empty one says nothing; nginx answers 100 itself, where a member may do that here"),
    ("proxy-authorization", "RFC 9110, 11.7.2: it is for the proxy that the client speaks to"),
    ("proxy-connection", "it is for this hop, whatever its name says"),
    ("x-mine", "RFC 9110, 7.6.1: what Connection names is for this hop"),
    ("http2-settings", "the same"),
    ("keep-alive", "the same"),
];

/// Why a request may come out differently; `None` if nothing justifies that.
fn reason(request: &str, ours: &Outcome, theirs: &Outcome) -> Option<&'static str> {
    let statuses = (ours.status, theirs.status);
    let otherwise = OTHERWISE.iter().find(|(begin, ..)| request.starts_with(begin));
    if let Some(&(_, our, their, reason)) = otherwise {
        let same_member = || ours.member.as_ref().map(|m| &m.0) == theirs.member.as_ref().map(|m| &m.0);
        return ((our, their) == statuses && (our != their || same_member())).then_some(reason);
    }
    if (ours.status, &ours.location, &ours.member, &ours.body)
        != (theirs.status, &theirs.location, &theirs.member, &theirs.body)
    {
        return None;
    }
    let only = |one: &Outcome, other: &Outcome| -> Vec<(String, String)> {
        one.sent.iter().filter(|header| !other.sent.contains(header)).cloned().collect()
    };
    let (mut only_ours, mut only_theirs) = (only(ours, theirs), only(theirs, ours));
    let chunked = ("transfer-encoding".to_owned(), "chunked".to_owned());
    if only_ours.contains(&chunked) && only_theirs.iter().any(|(name, _)| name == "content-length") {
        // nginx counts a body that is there as a whole already; the member reads the same bytes.
        only_ours.retain(|header| *header != chunked);
        only_theirs.retain(|(name, _)| name != "content-length");
    }
    // RFC 9110, section 10.1.4: a message with TE names it there.
    only_ours.retain(|header| *header != ("connection".to_owned(), "TE".to_owned()));
    let mut reasons = only_ours.iter().chain(&only_theirs).map(|(name, _)| {
        HANDED_ON.iter().find(|(handed_on, _)| name == handed_on).map(|(_, reason)| *reason)
    });
    let first = reasons.next().unwrap_or(Some("chunks are not gathered, or TE is named"))?;
    reasons.all(|reason| reason.is_some()).then_some(first)
}

#[test]
fn requests_reach_the_members_that_nginx_would_send_them_to_as_nginx_would_send_them() {
    let network = Network::new(Size { clients: 1, backends: 3 }).unwrap();
    network.backends.iter().for_each(|host| drop(Echo::start(host)));
    let directory = tempfile::tempdir().unwrap();
    let (_nginx, nginx) = nginx(&network, directory.path(), SERVERS);
    let (_haproxy, haproxy) = haproxy(&network, directory.path());
    let policies = POLICIES.iter().enumerate().map(|(number, (condition, action))| {
        format!("[[load_balancer.listener.policy]]\nname = \"p{number}\"\n{condition}\n{action}\n")
    });
    let listener = policies.collect::<String>() + &routing::pools(&network);
    let balancer = Balancer::start_in(network, Settings { weights: vec![1], listener, ..http(1) });

    let mut requests = Vec::new();
    for host in HOSTS {
        requests.extend(TARGETS.map(|target| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")));
    }
    requests.extend(HEADERS.map(|lines| format!("GET /x HTTP/1.1\r\nHost: shop.example\r\n{lines}\r\n")));
    for method in METHODS {
        requests.push(format!("{method} /x HTTP/1.1\r\nHost: a\r\n\r\n"));
        requests.push(format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
        requests.push(format!(
            "{method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
        ));
    }
    let more = [
        "GET /x HTTP/1.0\r\nHost: shop.example\r\n\r\n",
        "GET /exact HTTP/1.0\r\n\r\n",
        "GET http://shop.example/exact?x HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\"<>\\^`{|} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nConnection: X-Mine\r\nX-Mine: 1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: nothing\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        "GET /.. HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /../exact HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a/../../exact HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a#exact HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /exact#a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a%23b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /exact%3Fx HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    requests.extend(more.map(str::to_owned));

    let ask = |to| {
        let each = |request: &String| {
            // HTTP/0.9 and worse has no end but the connection's.
            Outcome::of(&Client::connect(balancer.network.client(), to).ask(request.as_bytes()))
        };
        requests.iter().map(each).collect::<Vec<_>>()
    };
    let mut failures = String::new();
    let answers = requests.iter().zip(ask(VIP)).zip(ask(nginx)).zip(ask(haproxy));
    for (((request, ours), theirs), haproxy) in answers {
        if ours != theirs && reason(request, &ours, &theirs).is_none() {
            failures += &format!("{request:?}\n  ours  {ours:?}\n  nginx {theirs:?}\n");
        }
        // HAProxy knows none of the policies, but which requests are none.
        let is_refused = |outcome: &Outcome| outcome.status == 0 || outcome.status >= 400;
        if is_refused(&theirs) && is_refused(&haproxy) && !is_refused(&ours) {
            failures += &format!("{request:?}\n  ours  {ours:?}, but nginx and HAProxy refuse it\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// What members answer, by the number in the path.
const ANSWERS: [&str; 26] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\nX-A: 1\r\nX-A: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: member/1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nVia: 1.1 x\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x=y\r\nay!\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Upgrade, X-Mine\r\nUpgrade: h2,h2c\r\nX-Mine: 1\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nProxy-Connection: keep-alive\r\n\r\nok",
    "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
    "HTTP/1.1 301 Moved Permanently\r\nLocation: http://elsewhere.example/x\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /x?y#z\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nnone",
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 599 Odder\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Empty:\r\nx-lower: 1\r\nX_Under: 2\r\nX-Utf: \u{e4}\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\nVary: Accept\r\nETag: W/\"x\"\r\nExpires: 0\r\nAge: 1\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\nContent-Type: text/html; charset=utf-8\r\n\r\nok",
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\nAccept-Ranges: bytes\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
];

/// Headers of an answer that are the proxy's own, or for its connection with the client.
const OWN: [&str; 3] = ["connection", "server", "date"];
/// Headers of an answer that only nginx hands on, although they are for its connection with the member (RFC 9110, 7.6.1).
const HOP: [&str; 3] = ["upgrade", "proxy-connection", "x-mine"];

#[test]
fn answers_reach_the_client_as_nginx_would_send_them() {
    let network = Network::new(Size { clients: 1, backends: 3 }).unwrap();
    serve(&network.backends[0], |head, _| {
        let number = head.split(['/', ' ']).find_map(|part| part.parse::<usize>().ok());
        number.map_or(Vec::new(), |number| ANSWERS[number].into())
    });
    let directory = tempfile::tempdir().unwrap();
    let server = "server { listen 8081; location / { proxy_pass http://one; proxy_redirect off; } }";
    let (_nginx, nginx) = nginx(&network, directory.path(), server);
    let balancer = Balancer::start_in(network, Settings { weights: vec![1], ..http(1) });

    let mut failures = String::new();
    for (number, sent) in ANSWERS.iter().enumerate() {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
        let [ours, mut theirs] = [VIP, nginx].map(|to| {
            let mut answer = Client::connect(balancer.network.client(), to).ask(request.as_bytes());
            answer.headers.retain(|(name, _)| !OWN.contains(&name.as_str()));
            answer
        });
        theirs.headers.retain(|(name, _)| !HOP.contains(&name.as_str()));
        if ours != theirs {
            failures += &format!("{sent:?}\n  ours  {ours:?}\n  nginx {theirs:?}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
