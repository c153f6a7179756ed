//! Do gRPC calls come through: HTTP/2 on both sides, with trailers behind the answer?

use std::{fs, net::TcpListener, thread};

use bytes::Bytes;
use http::{HeaderMap, Response};
use testbed::Host;

use crate::{
    balancer::{BACKEND_PORT, Balancer, Settings},
    l7::{certificates::Certificates, http as http_settings},
};

/// A message of five bytes, with gRPC's prefix: not compressed, its length.
const MESSAGE: &[u8] = b"\0\0\0\0\x05hello";

/// Answers every call with its own message, if the call says that it wants trailers.
fn server(host: &Host) {
    let listener = host.enter(|| TcpListener::bind((host.address(), BACKEND_PORT))).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, answer))) = connection.accept().await {
                        tokio::spawn(call(request, answer));
                    }
                });
            }
        });
    });
}

async fn call(request: http::Request<h2::RecvStream>, mut answer: h2::server::SendResponse<Bytes>) {
    let wants_trailers = request.headers().get("te").is_some_and(|te| te == "trailers");
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(Ok(part)) = body.data().await {
        let _ = body.flow_control().release_capacity(part.len());
        message.extend(part);
    }
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let Ok(mut stream) = answer.send_response(head, false) else { return };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", if wants_trailers { "0" } else { "13" }.parse().unwrap());
    let _ = stream.send_data(message.into(), false);
    let _ = stream.send_trailers(trailers);
}

#[test]
fn a_call_gets_its_message_and_its_status() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let listener = format!("certificates = [\"shop\"]\n{}", certificates.server("shop"));
    let pool = "protocol = \"http\"\nhttp2 = true";
    let balancer = Balancer::start(Settings { protocol: "https", listener, pool, ..http_settings(1) });
    server(&balancer.network.backends[0]);

    let (message, got) = (certificates.path("message"), certificates.path("answer"));
    fs::write(&message, MESSAGE).unwrap();
    let (ca, data) = (certificates.path("ca.crt"), format!("@{message}"));
    let curl = ["curl", "-sSf", "--max-time", "20", "--http2", "--cacert", &ca, "-D-", "-o", &got];
    let target = ["--resolve", "shop.example:80:203.0.113.10", "https://shop.example:80/shop.Shop/Buy"];
    let headers = ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", &data];
    let head = balancer.client(&[&curl[..], &headers, &target].concat());
    assert!(head.starts_with("HTTP/2 200") && head.contains("\r\ngrpc-status: 0\r\n"), "{head}");
    assert_eq!(fs::read(&got).unwrap(), MESSAGE);
}
