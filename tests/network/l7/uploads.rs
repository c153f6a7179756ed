//! Do uploads of HTTP/2 get where they should, whatever becomes of others on the same connection?

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{SendStream, client::SendRequest};
use http::Request;
use openssl::ssl::{SslConnector, SslMethod};
use testbed::Host;
use tokio::time::timeout;

use crate::{
    balancer::{Balancer, DEADLINE, VIP},
    l7::{certificates::Certificates, frames::https, relay},
    servers,
};

/// Uploads that no member takes: what is on its way to it in the kernels is less.
const STUCK: usize = 32 << 20;

/// A backend that takes a body and answers, but nothing of a body for `/stuck`.
pub fn serve(host: &Host) {
    let listener = servers::listen(host);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut input = BufReader::with_capacity(1 << 16, stream.try_clone().ok()?);
    loop {
        let (mut length, mut is_stuck) = (0, false);
        for number in 0.. {
            let mut line = String::new();
            input.read_line(&mut line).ok().filter(|&count| count > 0)?;
            is_stuck |= number == 0 && line.contains("/stuck");
            if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        if is_stuck {
            thread::sleep(4 * DEADLINE);
            return None;
        }
        let taken = std::io::copy(&mut (&mut input).take(length), &mut std::io::sink()).ok()?;
        let text = taken.to_string();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).ok()?;
    }
}

/// A connection of HTTP/2.
async fn connect(balancer: &Balancer, certificates: &Certificates, to: SocketAddr) -> SendRequest<Bytes> {
    let stream = balancer.network.client().enter(|| TcpStream::connect(to)).unwrap().unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(certificates.path("ca.crt")).unwrap();
    connector.set_alpn_protos(b"\x02h2").unwrap();
    let ssl = connector.build().configure().unwrap().into_ssl("shop.example").unwrap();
    let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
    std::pin::Pin::new(&mut stream).connect().await.unwrap();
    let (request, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    request.ready().await.unwrap()
}

/// Sends so many bytes as they may be sent.
async fn send(mut body: SendStream<Bytes>, mut left: usize) {
    let piece = Bytes::from(vec![b'a'; 1 << 16]);
    while left > 0 {
        body.reserve_capacity(left.min(piece.len()));
        let Some(Ok(capacity)) = std::future::poll_fn(|context| body.poll_capacity(context)).await else {
            return;
        };
        left -= capacity;
        if body.send_data(piece.slice(..capacity), left == 0).is_err() {
            return;
        }
    }
}

fn request(path: &str, length: usize) -> Request<()> {
    let uri = format!("https://shop.example{path}");
    Request::post(uri).header("content-length", length).body(()).unwrap()
}

#[test]
fn uploads_that_are_stuck_keep_back_no_other() {
    let (certificates, settings) = https(1, "read_timeout = \"60s\"", "protocol = \"http\"");
    let balancer = Balancer::start(settings);
    serve(&balancer.network.backends[0]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = connect(&balancer, &certificates, VIP).await;
        let mut answers = Vec::new();
        for _ in 0..20 {
            let (answer, body) = connection.send_request(request("/stuck", STUCK), false).unwrap();
            answers.push(answer);
            tokio::spawn(send(body, STUCK));
            // Each of them has all that it can have before the next one begins.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for _ in 0..3 {
            const LENGTH: usize = 4 << 20;
            let (answer, body) = connection.send_request(request("/", LENGTH), false).unwrap();
            tokio::spawn(send(body, LENGTH));
            let answer = timeout(DEADLINE, answer).await.expect("an upload is kept back").unwrap();
            let mut body = answer.into_body();
            let text = body.data().await.unwrap().unwrap();
            assert_eq!(text, LENGTH.to_string());
        }
        drop(answers);
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// With a window of 64 KB it would take 51 s.
#[test]
fn an_upload_from_afar_has_a_window_that_fits() {
    const LENGTH: usize = 32 << 20;
    let (certificates, settings) = https(1, "", "protocol = \"http\"");
    let balancer = Balancer::start(settings);
    serve(&balancer.network.backends[0]);
    let to = relay::start(balancer.network.client(), VIP, Duration::from_millis(100));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = connect(&balancer, &certificates, to).await;
        let began = Instant::now();
        let (answer, body) = connection.send_request(request("/", LENGTH), false).unwrap();
        tokio::spawn(send(body, LENGTH));
        let answer = timeout(DEADLINE, answer).await.expect("its window is too small").unwrap();
        assert_eq!(answer.status(), 200);
        println!("{:.1} MB/s at 100 ms", LENGTH as f64 / 1e6 / began.elapsed().as_secs_f64());
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}
