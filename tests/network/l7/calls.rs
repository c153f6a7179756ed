//! Does gRPC get through: HTTP/2 on both sides, messages both ways before either side ends, trailers at the end?
//!
//! The member and the client speak HTTP/2 as gRPC does: see
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::{net::SocketAddr, pin::Pin};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use openssl::ssl::{Ssl, SslConnector, SslMethod, SslVerifyMode};
use testbed::Host;
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_openssl::SslStream;

use crate::{
    balancer::{Balancer, Settings, VIP},
    l7::{certificates::Certificates, http},
    servers,
};

/// A message as gRPC frames it, not compressed.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat().into()
}

/// Says each message back as it comes, and the status at the end; what it was asked is in the trailers.
async fn echo(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let text = |name: &str| head.headers.get(name).cloned().unwrap_or(HeaderValue::from_static("-"));
    trailers.insert("was-te", text("te"));
    trailers.insert("was-type", text("content-type"));
    trailers.insert("was-path", HeaderValue::from_str(head.uri.path()).unwrap());
    trailers.insert("was-for", text("x-forwarded-for"));
    if head.uri.path() == "/refused" {
        // "Trailers-Only": how gRPC says no.
        let response =
            Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
        respond.send_response(response.body(()).unwrap(), true)?;
        return Ok(());
    }
    let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut answer = respond.send_response(response, false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        answer.send_data(data, false)?;
    }
    answer.send_trailers(trailers)
}

/// A member without TLS, as long as the runtime lives.
fn member(runtime: &Runtime, host: &Host) {
    let listener = servers::listen(host);
    listener.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(echo(request, respond));
                }
            });
        }
    });
}

/// A client's connection, over TLS.
async fn connect(host: &Host, certificates: &Certificates, to: SocketAddr) -> h2::client::SendRequest<Bytes> {
    let stream = host.enter(|| std::net::TcpStream::connect(to)).unwrap().unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(certificates.path("ca.crt")).unwrap();
    connector.set_verify(SslVerifyMode::PEER);
    connector.set_alpn_protos(b"\x02h2").unwrap();
    let mut ssl = Ssl::new(connector.build().context()).unwrap();
    ssl.set_hostname("shop.example").unwrap();
    ssl.param_mut().set_host("shop.example").unwrap();
    let mut stream = SslStream::new(ssl, tokio::net::TcpStream::from_std(stream).unwrap()).unwrap();
    Pin::new(&mut stream).connect().await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    requests.ready().await.unwrap()
}

fn call(path: &str) -> Request<()> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("https://shop.example{path}"))
        .version(Version::HTTP_2)
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap()
}

async fn next(body: &mut h2::RecvStream, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let data = body.data().await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    bytes
}

#[test]
fn calls_of_all_kinds_over_one_connection() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let listener = format!("certificates = [\"shop\"]\n{}", certificates.server("shop"));
    let pool = "protocol = \"http\"\nhttp2 = true";
    let balancer = Balancer::start(Settings { protocol: "https", listener, pool, ..http(1) });
    let runtime = Runtime::new().unwrap();
    member(&runtime, &balancer.network.backends[0]);
    let host = balancer.network.client();
    runtime.block_on(async {
        let mut requests = connect(host, &certificates, VIP).await;

        // Messages one by one: each is answered before the next is sent.
        let (response, mut sending) = requests.send_request(call("/shop.Cart/Talk"), false).unwrap();
        sending.send_data(message("first"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let mut body = response.into_body();
        assert_eq!(next(&mut body, 10).await, message("first"));

        // Others on the same connection meanwhile.
        let calls: Vec<_> = (0..50)
            .map(|number| {
                let (response, mut sending) =
                    requests.send_request(call(&format!("/n/{number}")), false).unwrap();
                sending.send_data(message(&format!("{number}")), true).unwrap();
                response
            })
            .collect();
        for (number, response) in calls.into_iter().enumerate() {
            let text = number.to_string();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(next(&mut body, 5 + text.len()).await, message(&text));
            assert!(body.data().await.is_none());
            let trailers = body.trailers().await.unwrap().unwrap();
            assert_eq!(
                (&trailers["grpc-status"], &trailers["was-path"]),
                (&"0".parse().unwrap(), &format!("/n/{number}").parse().unwrap())
            );
        }

        for text in ["second", "third"] {
            sending.send_data(message(text), false).unwrap();
            assert_eq!(next(&mut body, 5 + text.len()).await, message(text));
        }
        sending.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        let said =
            ["grpc-status", "was-te", "was-type", "was-path"].map(|name| trailers[name].to_str().unwrap());
        assert_eq!(said, ["0", "trailers", "application/grpc", "/shop.Cart/Talk"]);
        assert_eq!(trailers["was-for"].to_str().unwrap(), host.address().to_string());

        let (response, _) = requests.send_request(call("/refused"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["grpc-status"].to_str().unwrap()),
            (200, "12")
        );
        assert!(response.into_body().is_end_stream());
    });
}
