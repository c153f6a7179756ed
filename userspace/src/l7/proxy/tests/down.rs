//! What becomes of requests under way at a member that goes down.

use model::{edge::ProxyVersion, served::OnDown};

use super::*;
use crate::health::judge::Verdict;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// How members are spoken to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speaks {
    Http1,
    Proxied,
    Http2,
}

/// A member that answers, and one that does not or not to the end, which counts the requests that it got.
fn members(speaks: Speaks, asked: &Arc<AtomicUsize>) -> [SocketAddr; 2] {
    let asked = asked.clone();
    if speaks == Speaks::Http2 {
        let held = Arc::<Mutex<Vec<_>>>::default();
        let silent = http2_reader(move |body, respond| {
            held.lock().unwrap().push((body, respond));
            asked.fetch_add(1, SeqCst);
        });
        return [
            http2_member(|mut respond| drop(respond.send_response(http::Response::new(()), true))),
            silent,
        ];
    }
    let silent = http1_server(move |head| {
        asked.fetch_add(1, SeqCst);
        let is_cut = head.contains(" /cut ");
        Some(if is_cut { OK.replace("3\r\n\r\nok\n", "9\r\n\r\nhello") } else { String::new() })
    });
    [http1_server(|_| Some(OK.into())), silent]
}

/// What a client gets whose request is at the one that does not answer when that goes down, and the other is well or not.
fn ask(speaks: Speaks, request: &str, is_well: bool) -> String {
    let asked = Arc::<AtomicUsize>::default();
    let [well, silent] = members(speaks, &asked);
    let both = Some(vec![well, silent]);
    let (http1_members, http2_members) = if speaks == Speaks::Http2 { (None, both) } else { (both, None) };
    let to_members = (speaks == Speaks::Proxied).then_some(ProxyVersion::V1);
    let on_down = OnDown::Reset;
    let settings = Settings { to_members, http2_members, http1_members, on_down, ..Settings::default() };
    let front = Front::start(settings);
    front.note(well, Verdict::Down);
    let mut client = front.connect();
    client.write_all(request.as_bytes()).unwrap();
    let end = Instant::now() + DEADLINE;
    while asked.load(SeqCst) == 0 {
        assert!(Instant::now() < end, "{speaks:?}: {request} does not come");
        thread::sleep(Duration::from_millis(2));
    }
    let mut answer = String::new();
    if request.contains(" /cut ") {
        while !answer.ends_with("hello") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            answer.push(char::from(byte[0]));
        }
    }
    if is_well {
        front.note(well, Verdict::Up);
    }
    front.note(silent, Verdict::Down);
    client.read_to_string(&mut answer).unwrap();
    let row = front.wait_for("the request's end", |row| row.requests == 1);
    assert_eq!(asked.load(SeqCst), 1, "{row:?}");
    answer
}

#[test]
fn another_member_is_asked_at_once_or_the_client_is_told() {
    let request =
        |method: &str, rest: &str| format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{rest}");
    for speaks in [Speaks::Http1, Speaks::Proxied, Speaks::Http2] {
        let get = request("GET", "\r\n");
        for (request, is_well, status) in [
            (&get, true, "200"),
            (&get, false, "504"),
            (&request("POST", "Content-Length: 0\r\n\r\n"), true, "504"),
        ] {
            let answer = ask(speaks, request, is_well);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{speaks:?}: {request}: {answer}");
        }
    }
    // Of unknown length, so on a connection of its own.
    let put = request("PUT", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let answer = ask(Speaks::Http2, &put, true);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn an_answer_that_has_begun_is_cut() {
    let answer = ask(Speaks::Http1, "GET /cut HTTP/1.1\r\nHost: a\r\n\r\n", true);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[test]
fn requests_stay_where_the_pool_says_so() {
    let (hold, asked) = (Arc::new(Mutex::new(())), Arc::<AtomicUsize>::default());
    let held = hold.lock().unwrap();
    let (waits, counts) = (hold.clone(), asked.clone());
    let slow = http1_server(move |_| {
        counts.fetch_add(1, SeqCst);
        drop(waits.lock());
        Some(OK.into())
    });
    let front = Front::start(Settings { http1_members: Some(vec![slow]), ..Settings::default() });
    let mut client = front.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let end = Instant::now() + DEADLINE;
    while asked.load(SeqCst) == 0 {
        assert!(Instant::now() < end, "the request does not come");
        thread::sleep(Duration::from_millis(2));
    }
    front.note(slow, Verdict::Down);
    drop(held);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
