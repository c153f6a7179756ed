//! What comes before and behind an answer: interim answers and trailers.

use super::*;

const TE: &str = "TE: trailers\r\n";

fn get(front: &Front, method: &str, more: &str) -> String {
    front.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n").as_bytes())
}

fn front_of(member: SocketAddr) -> Front {
    Front::start(Settings { http1_members: Some(vec![member]), ..Settings::default() })
}

/// Its body looks like the end of one.
const TRAILED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\ngrpc-status: 0\r\nHost: evil\r\n\
                       Content-Length: 5\r\nx-late: a b\r\n\r\n";

#[test]
fn a_client_of_http_1_gets_the_trailers_that_it_asks_for() {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heads = asked.clone();
    let front = front_of(http1_server(move |head| {
        heads.lock().unwrap().push(head.to_lowercase());
        Some(TRAILED.into())
    }));
    let answer = get(&front, "GET", TE);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(body, "5\r\n0\r\n\r\n\r\n0\r\ngrpc-status: 0\r\nx-late: a b\r\n\r\n");
    assert!(get(&front, "GET", "").ends_with("\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n"));

    let said = asked.lock().unwrap();
    assert!(
        said[0].contains("\r\nte: trailers\r\n") && said[0].contains("\r\nconnection: te\r\n"),
        "{said:?}"
    );
    assert!(!said[1].contains("\r\nte:"), "{said:?}");
}

#[test]
fn a_kept_connection_carries_trailers_of_each_answer() {
    let front = front_of(http1_server(|head| {
        let head_only = head.starts_with("HEAD");
        Some(if head_only { TRAILED.split_inclusive("\r\n\r\n").next().unwrap() } else { TRAILED }.into())
    }));
    let mut client = front.connect();
    for method in ["GET", "HEAD", "GET"] {
        client.write_all(format!("{method} / HTTP/1.1\r\nHost: a\r\n{TE}\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        let end: &[u8] =
            if method == "HEAD" { b"\r\n\r\n" } else { b"0\r\ngrpc-status: 0\r\nx-late: a b\r\n\r\n" };
        while !answer.ends_with(end) {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
    }
}

#[test]
fn trailers_of_a_member_of_http_2_reach_a_client_of_http_1() {
    let member = http2_member(|mut respond| {
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        body.send_data("0\r\n\r\n".into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("content-length", "5".parse().unwrap());
        body.send_trailers(trailers).unwrap();
    });
    let front = Front::start(Settings { http2_members: Some(vec![member]), ..Settings::default() });
    let answer = get(&front, "GET", TE);
    assert!(answer.ends_with("\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\ngrpc-status: 0\r\n\r\n"), "{answer}");
    let answer = get(&front, "GET", "");
    assert!(answer.ends_with("\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n"), "{answer}");
}

/// RFC 8297.
#[test]
fn early_hints_reach_clients_of_http_1_1() {
    let front = front_of(http1_server(|_| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        Some([hints, hints, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"].concat())
    }));
    let answer = get(&front, "GET", "").to_lowercase();
    assert_eq!(
        answer.matches("http/1.1 103 early hints\r\nlink: </a.css>; rel=preload\r\n\r\n").count(),
        2,
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    let old = front.ask(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").to_lowercase();
    assert!(old.starts_with("http/1.1 200 ") && !old.contains("103"), "{old}");
}
