//! Probes and the checker against servers on loopback, most of which mean no good.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use model::{
    health::{Check, CheckPath, Codes, Get, Pace, Probe},
    value::{CheckTime, Retries},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    checker::{ChangedTargets, Checker, Target},
    error::ProbeError,
    failure::Failure,
    judge::{Standing, Verdict},
    probe::probe,
};

const SECOND: Duration = Duration::from_secs(1);
/// How late an end may come on a busy machine.
const LATE: Duration = Duration::from_millis(500);

fn check(probe: Probe) -> Check {
    every(1, 1, 2, probe)
}

/// Asked every so many seconds, with so many for an answer.
fn every(interval: u32, timeout: u32, retries: u8, probe: Probe) -> Check {
    let (interval, timeout) = (CheckTime::literal(interval), CheckTime::literal(timeout));
    Check { probe, port: None, pace: Pace::new(interval, timeout, Retries::literal(retries)).unwrap() }
}

fn http() -> Check {
    check(Probe::Http(Get {
        host: None,
        tls: None,
        path: CheckPath::default(),
        codes: Codes::new("200-299").unwrap(),
    }))
}

/// A server that does the same on every connection, until the test ends.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// All of it, so that a close is no reset.
async fn read_request(stream: &mut TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    Ok(())
}

/// A server that reads a request and answers with these bytes.
async fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer: Arc<Vec<u8>> = Arc::new(answer.into());
    server(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await?;
            stream.write_all(&answer).await
        }
    })
    .await
}

/// Writes without end, as fast as it goes.
async fn flood(mut stream: TcpStream, start: &'static [u8], more: &'static [u8]) -> io::Result<()> {
    stream.write_all(start).await?;
    let block = more.repeat(1000);
    loop {
        stream.write_all(&block).await?;
    }
}

async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// What a probe says, within its time.
async fn said(address: SocketAddr, check: &Check) -> Result<(), Failure> {
    let time = check.pace.timeout().duration() + LATE;
    let answer = timeout(time, probe(address, check)).await.expect("an end in time");
    answer.map_err(|error| match error {
        ProbeError::Failed(failure) => failure,
        ProbeError::Local(error) => panic!("{error}"),
    })
}

#[tokio::test]
async fn a_port_that_takes_connections_is_well_and_one_that_does_not_is_not() {
    let tcp = check(Probe::Tcp);
    assert_eq!(said(server(|_| async { Ok(()) }).await, &tcp).await, Ok(()));
    assert_eq!(said(nobody().await, &tcp).await, Err(Failure::Refused));
    assert_eq!(said(nobody().await, &http()).await, Err(Failure::Refused));
}

#[tokio::test]
async fn codes_decide() {
    let ok = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(said(answering(ok).await, &http()).await, Ok(()));
    assert_eq!(said(answering("HTTP/1.0 200 OK\r\n\r\nbody").await, &http()).await, Ok(()));
    let sorry = "HTTP/1.1 503 Sorry\r\n\r\n";
    assert_eq!(said(answering(sorry).await, &http()).await, Err(Failure::WrongCode(503)));
}

#[tokio::test]
async fn answers_that_are_not_http_end_the_probe() {
    for (answer, failure) in [
        ("", Failure::Closed),
        ("HTTP/1.1 200 OK\r\nA: b\r\n", Failure::Closed),
        ("SSH-2.0-OpenSSH_10.0\r\n", Failure::BadAnswer),
        ("HTTP/1.1 2000 OK\r\n\r\n", Failure::BadAnswer),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Failure::BadAnswer),
        ("\0\0\0\0", Failure::BadAnswer),
    ] {
        assert_eq!(said(answering(answer).await, &http()).await, Err(failure), "{answer:?}");
    }
}

#[tokio::test]
async fn a_reset_is_told_from_a_close() {
    let resets = server(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.set_zero_linger()
    });
    assert_eq!(said(resets.await, &http()).await, Err(Failure::Reset));
}

#[tokio::test]
async fn silence_and_slowness_end_with_the_time() {
    let silent = server(|stream| async move {
        sleep(60 * SECOND).await;
        drop(stream);
        Ok(())
    });
    let slow = server(|mut stream| async move {
        for byte in b"HTTP/1.1 200 OK\r\n\r\n" {
            stream.write_all(&[*byte]).await?;
            sleep(SECOND / 4).await;
        }
        Ok(())
    });
    let (silent, slow) = (silent.await, slow.await);
    let check = http();
    let start = Instant::now();
    assert_eq!(
        tokio::join!(said(silent, &check), said(slow, &check)),
        (Err(Failure::Timeout), Err(Failure::Timeout))
    );
    assert!(start.elapsed() >= SECOND, "they had their time");
}

#[tokio::test]
async fn floods_end_early() {
    let start = Instant::now();
    let header = server(|stream| flood(stream, b"HTTP/1.1 200 OK\r\n", b"Some: header\r\n")).await;
    let line = server(|stream| flood(stream, b"HTTP/1.1 200 OK\r\nA: ", b"aaaaaaaaaa")).await;
    let status = server(|stream| flood(stream, b"HTTP/1.1 200 ", b"OKOKOKOKOK")).await;
    let garbage = server(|stream| flood(stream, b"", b"\x00\xff\x80garbage")).await;
    let interim = server(|stream| flood(stream, b"", b"HTTP/1.1 100 Continue\r\n\r\n")).await;
    let blank = server(|stream| flood(stream, b"", b"\r\n")).await;
    assert!(matches!(said(header, &http()).await, Err(Failure::BadAnswer | Failure::LargeAnswer)));
    assert_eq!(said(line, &http()).await, Err(Failure::LargeAnswer));
    assert_eq!(said(status, &http()).await, Err(Failure::LargeAnswer));
    assert_eq!(said(garbage, &http()).await, Err(Failure::BadAnswer));
    assert_eq!(said(interim, &http()).await, Err(Failure::LargeAnswer));
    assert_eq!(said(blank, &http()).await, Err(Failure::LargeAnswer));
    let body = server(|stream| flood(stream, b"HTTP/1.1 200 OK\r\n\r\n", b"endless")).await;
    assert_eq!(said(body, &http()).await, Ok(()), "a body does not matter");
    assert!(start.elapsed() < SECOND, "none of them waited for a timeout");
}

#[tokio::test]
async fn a_peer_that_leaves_a_request_unread_is_only_slow() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(said(deaf.local_addr().unwrap(), &check(Probe::Tcp)).await, Ok(()), "the kernel takes it");
    assert_eq!(said(deaf.local_addr().unwrap(), &http()).await, Err(Failure::Timeout));
}

/// Opens raw sockets, and so needs root; the machine's own echo is enough.
#[tokio::test]
async fn udp_is_well_unless_the_port_is_called_unreachable() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: raw sockets need root");
        return;
    }
    let udp = check(Probe::Udp);
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        let silent = UdpSocket::bind(loopback).await.unwrap();
        let address = silent.local_addr().unwrap();
        let start = Instant::now();
        assert_eq!(said(address, &udp).await, Ok(()), "{loopback}");
        assert!(start.elapsed() >= SECOND, "a late \"unreachable\" would have counted");
        assert!(silent.try_recv(&mut [0; 100]).unwrap() > 0, "it was asked");
        drop(silent);
        let start = Instant::now();
        assert_eq!(said(address, &udp).await, Err(Failure::PortUnreachable), "{loopback}");
        assert!(start.elapsed() < SECOND);
    }
    let talkative = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = talkative.local_addr().unwrap();
    tokio::spawn(async move {
        let (_, from) = talkative.recv_from(&mut [0; 100]).await?;
        loop {
            talkative.send_to(&[0; 1000], from).await?;
        }
        #[expect(unreachable_code, reason = "gives the block its type")]
        io::Result::Ok(())
    });
    assert_eq!(said(address, &udp).await, Ok(()));
    let broadcast = "255.255.255.255:9".parse().unwrap();
    assert_eq!(said(broadcast, &udp).await, Err(Failure::Unreachable), "no way there");
}

/// The next changes, all of one moment.
async fn changed(from: &mut ChangedTargets) -> Vec<Target> {
    timeout(10 * SECOND, from.next()).await.expect("a change")
}

fn target(address: SocketAddr, check: Check) -> Target {
    Target { address, check: Arc::new(check) }
}

#[tokio::test]
async fn the_first_check_decides_at_once_and_later_ones_in_a_row() {
    let (mut checker, mut from) = Checker::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let watched = target(address, check(Probe::Tcp));
    let start = Instant::now();
    checker.start(watched.clone(), Standing::default());
    assert_eq!(checker.standing(&watched), Some(Standing::default()));
    assert_eq!(changed(&mut from).await, std::slice::from_ref(&watched));
    assert!(start.elapsed() < LATE);
    assert_eq!(checker.standing(&watched).unwrap().verdict, Some(Verdict::Up));

    drop(listener);
    let start = Instant::now();
    let refused = |verdict| Some(Standing { verdict: Some(verdict), last_failure: Some(Failure::Refused) });
    changed(&mut from).await;
    assert_eq!(checker.standing(&watched), refused(Verdict::Up), "one failure is not enough");
    changed(&mut from).await;
    assert_eq!(checker.standing(&watched), refused(Verdict::Down));
    assert!(start.elapsed() < 2 * SECOND + LATE, "within interval × retries");

    let _listener = TcpListener::bind(address).await.unwrap();
    let start = Instant::now();
    changed(&mut from).await;
    assert_eq!(checker.standing(&watched), refused(Verdict::Up), "the last failure stays known");
    assert!(start.elapsed() > SECOND / 2 && start.elapsed() < 2 * SECOND + LATE);
}

#[tokio::test]
async fn a_target_that_stays_is_not_asked_again_and_one_that_goes_never() {
    let (mut checker, mut from) = Checker::new().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let address = server(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    })
    .await;
    let rarely = |retries| every(50, 1, retries, Probe::Tcp);
    let stays = target(address, rarely(2));
    let resumed = target(nobody().await, rarely(3));
    let down = Standing { verdict: Some(Verdict::Down), last_failure: Some(Failure::Timeout) };
    checker.start(stays.clone(), Standing::default());
    checker.start(resumed.clone(), down);
    assert_eq!(changed(&mut from).await, std::slice::from_ref(&stays));
    let up = checker.standing(&stays).unwrap();
    assert_eq!(up.verdict, Some(Verdict::Up));

    let comes = target(nobody().await, rarely(2));
    checker.start(stays.clone(), Standing::default());
    checker.start(comes.clone(), Standing::default());
    checker.stop(&resumed);
    assert_eq!(changed(&mut from).await, [comes]);
    assert_eq!(checker.standing(&stays), Some(up), "it keeps its standing, whatever it would start from");
    assert_eq!(checker.standing(&resumed), None);
    assert!(asked.load(Ordering::Relaxed) <= 2, "the first probe, and one if the phase is short");
}

/// One task each, and changes that come together.
#[tokio::test]
async fn thousands_are_checked_at_the_same_time() {
    let (mut checker, mut from) = Checker::new().unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let drain: JoinHandle<()> = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    // So many that the listener's backlog overflows and first segments are sent again.
    let slow = Arc::new(every(50, 20, 2, Probe::Tcp));
    let all: Vec<_> = (0..3000u16)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            Target { address: ([127, 1, high, low], port).into(), check: slow.clone() }
        })
        .collect();
    all.iter().for_each(|target| checker.start(target.clone(), Standing::default()));
    let (mut heard, mut bursts) = (0, 0);
    while heard < all.len() {
        heard += changed(&mut from).await.len();
        bursts += 1;
    }
    assert!(all.iter().all(|target| checker.standing(target).unwrap().verdict == Some(Verdict::Up)));
    assert!(bursts < heard / 10, "{heard} changes in {bursts} bursts");
    drain.abort();
}
