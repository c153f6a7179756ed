//! Does a client get what there was of an answer whose member dies, at whatever byte? nginx says what there was.

use std::{
    io::{BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use testbed::{Network, Size};

use crate::{
    balancer::{Balancer, Settings, VIP},
    l7::{
        answers::{heard, made_of},
        differential,
        frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Peer, frame, https, request},
        script::{Client, head, ok, serve_connections},
    },
};

/// By length and in chunks.
const ANSWERS: [&str; 2] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
];

/// Answers `/cut/A/N` with so many bytes of that answer, and all else with `ok`.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut input = BufReader::new(stream.try_clone().ok()?);
    loop {
        let head = Some(head(&mut input)).filter(|head| head.ends_with("\r\n\r\n"))?;
        if head.starts_with("POST") {
            // Three bytes, by length or as one chunk.
            let is_chunked = head.to_lowercase().contains("chunked");
            input.read_exact(&mut vec![0; if is_chunked { 13 } else { 3 }]).ok()?;
        }
        let mut numbers = head.split([' ', '/']).skip_while(|part| *part != "cut").skip(1);
        let (Some(Ok(answer)), Some(Ok(length))) =
            (numbers.next().map(str::parse::<usize>), numbers.next().map(str::parse::<usize>))
        else {
            stream.write_all(&ok("ok")).ok()?;
            continue;
        };
        stream.write_all(&ANSWERS[answer].as_bytes()[..length]).ok()?;
        stream.shutdown(Shutdown::Write).ok()?;
        let _ = input.read_to_end(&mut Vec::new());
        return None;
    }
}

/// Status, body and whether that is whole; of an answer of the proxy's own, its status.
type Made = (u16, Vec<u8>, bool);

fn comparable((status, body, is_whole): Made) -> Made {
    if status >= 500 { (status, Vec::new(), true) } else { (status, body, is_whole) }
}

/// The second request on a client's connection, so that the member's connection is a kept one, too.
fn ask(network: &Network, at: SocketAddr, path: &str, is_post: bool) -> Made {
    let mut client = Client::connect(network.client(), at);
    assert_eq!(client.ask(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
    let request = if is_post {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
    } else {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    };
    client.stream().write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _ = client.stream().read_to_end(&mut bytes);
    comparable(made_of(&bytes))
}

fn ask_http2(
    balancer: &Balancer,
    certificates: &crate::l7::certificates::Certificates,
    path: &str,
    is_post: bool,
) -> Made {
    let mut peer = Peer::connect(balancer, certificates, &[]);
    let method = if is_post { "POST" } else { "GET" };
    let end = if is_post { 0 } else { END_STREAM };
    peer.send(&frame(HEADERS, END_HEADERS | end, 1, &request(&[(":path", path), (":method", method)])));
    if is_post {
        peer.send(&frame(DATA, END_STREAM, 1, b"abc"));
    }
    comparable(heard(&mut peer, 1))
}

#[test]
fn what_there_was_of_an_answer_is_delivered_at_whatever_byte_its_member_dies() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    serve_connections(&network.backends[0], answer);
    let directory = tempfile::tempdir().unwrap();
    let server = "server { listen 8081; location / { proxy_pass http://one; proxy_next_upstream off; } }";
    let (_nginx, nginx) = differential::nginx(&network, directory.path(), server);
    let (certificates, settings) = https(1, "", "protocol = \"http\"");
    let plain =
        "\n[[load_balancer.listener]]\nname = \"plain\"\nprotocol = \"http\"\nport = 8080\npool = \"web\"\n";
    let balancer =
        Balancer::start_in(network, Settings { listener: settings.listener.clone() + plain, ..settings });
    let mut failures = String::new();
    for (number, answer) in ANSWERS.iter().enumerate() {
        for length in 0..answer.len() {
            for is_post in [false, true] {
                let path = format!("/cut/{number}/{length}/");
                let expected = ask(&balancer.network, nginx, &path, is_post);
                let one = ask(&balancer.network, SocketAddr::new(VIP.ip(), 8080), &path, is_post);
                let two = ask_http2(&balancer, &certificates, &path, is_post);
                for (version, made) in [("HTTP/1.1", one), ("HTTP/2", two)] {
                    // A GET whose kept connection was closed is asked again, with the same result.
                    if made != expected {
                        failures +=
                            &format!("{path}, POST {is_post}, {version}: {made:?}, not {expected:?}\n");
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}
