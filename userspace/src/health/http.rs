//! The HTTP probe. It reads an answer's header, at most [`MOST`] bytes of it, and nothing of its body.

use std::net::SocketAddr;

use httparse::{EMPTY_HEADER, Response, Status};
use model::health::Get;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{error::ProbeError, failure::Failure};

/// Bytes that are read at most.
const MOST: usize = 8192;
/// Lines of a header that are understood at most.
const LINES: usize = 128;

/// Sends the request and judges the answer.
///
/// # Errors
/// No answer, not HTTP, or the wrong code.
pub(super) async fn ask(address: SocketAddr, get: &Get) -> Result<(), ProbeError> {
    let stream = TcpStream::connect(address).await?;
    match &get.tls {
        None => exchange(stream, address, get).await,
        Some(tls) => exchange(super::tls::connect(stream, tls).await?, address, get).await,
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    get: &Get,
) -> Result<(), ProbeError> {
    stream.write_all(request(address, get).as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(MOST);
    loop {
        if answer.len() == MOST {
            return Err(Failure::LargeAnswer.into());
        }
        let room = (MOST - answer.len()) as u64;
        if (&mut stream).take(room).read_buf(&mut answer).await? == 0 {
            return Err(Failure::Closed.into());
        }
        if let Some(code) = code(&answer)? {
            return if get.codes.contains(code) { Ok(()) } else { Err(Failure::WrongCode(code).into()) };
        }
    }
}

fn request(address: SocketAddr, get: &Get) -> String {
    let host = get.host.as_ref().map_or_else(|| address.to_string(), |host| host.as_str().into());
    format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: evenkeel-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        get.path.as_str()
    )
}

/// The code of the first answer in `bytes` that is not an interim one (1xx); `None` if more bytes are needed.
fn code(mut bytes: &[u8]) -> Result<Option<u16>, Failure> {
    loop {
        let mut headers = [EMPTY_HEADER; LINES];
        let mut response = Response::new(&mut headers);
        let parsed = response.parse(bytes).map_err(|_| Failure::BadAnswer)?;
        match (parsed, response.code) {
            (Status::Complete(length), Some(100 | 102..=199)) => {
                bytes = bytes.get(length..).unwrap_or_default();
            }
            (Status::Complete(_), code) => return Ok(code),
            (Status::Partial, _) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{
        health::{CheckPath, Codes},
        value::HostName,
    };
    use proptest::{collection, prelude::*};

    use super::*;

    #[test]
    fn interim_answers_are_passed_over() {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let answer = format!("{early}{early}HTTP/1.1 202 Accepted\r\nA: b\r\n\r\nbody");
        for length in 0..answer.len() {
            let expected = (length >= answer.len() - 4).then_some(202);
            assert_eq!(code(&answer.as_bytes()[..length]), Ok(expected), "{length} bytes");
        }
        assert_eq!(code(b"HTTP/1.0 401 Who are you\n\n"), Ok(Some(401)));
        assert_eq!(code(b"SSH-2.0-OpenSSH_10.0\r\n"), Err(Failure::BadAnswer));
        assert_eq!(code(b"HTTP/1.1 abc\r\n\r\n"), Err(Failure::BadAnswer));
    }

    #[test]
    fn the_host_is_the_address_unless_it_has_a_name() {
        let path = CheckPath::new("/healthz?deep=1").unwrap();
        let mut get = Get { host: None, tls: None, path, codes: Codes::ok() };
        let sent = request("192.0.2.11:8080".parse().unwrap(), &get);
        assert!(sent.starts_with("GET /healthz?deep=1 HTTP/1.1\r\nHost: 192.0.2.11:8080\r\n"), "{sent}");
        get.host = Some(HostName::new("shop.example").unwrap());
        assert!(request("[2001:db8::1]:80".parse().unwrap(), &get).contains("\r\nHost: shop.example\r\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_code_or_not(bytes in collection::vec(any::<u8>(), 0..200), head in 0..20usize) {
            let near_miss = [&b"HTTP/1.1 200 OK\r\nA: "[..head], &bytes].concat();
            for bytes in [&bytes, &near_miss] {
                if let Ok(Some(code)) = code(bytes) {
                    prop_assert!(code < 1000);
                }
            }
        }
    }
}
