//! Fields behind an answer (RFC 9110, section 6.5) for clients of HTTP/1 that ask for them. Pingora ends a body in chunks
//! without any; `guard/watched` puts them there. Clients of HTTP/2 get them from Pingora.

use http::{
    HeaderMap, HeaderName, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use pingora::{Result, http::RequestHeader};

/// The most fields.
const MOST: usize = 64;

/// Whether a client takes them: `TE` says so.
pub fn are_wanted(request: &RequestHeader) -> bool {
    request.headers.get_all(TE).iter().map(HeaderValue::as_bytes).any(|value| {
        value.split(|&byte| byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Has the member told so, too (RFC 9110, section 10.1.4). What was said of that is gone: it was for one connection.
///
/// # Errors
/// None that is known: both can stand in a head.
pub fn demand(request: &mut RequestHeader, http2: bool) -> Result<()> {
    request.insert_header(TE, "trailers")?;
    if !http2 && !request.headers.contains_key(CONNECTION) {
        request.insert_header(CONNECTION, "TE")?;
    }
    Ok(())
}

/// Removes what may not stand there, since it says how far a message goes or is for one connection only.
pub fn clean(trailers: &mut HeaderMap) {
    let forbidden: Vec<_> = trailers.keys().filter(|name| is_forbidden(name)).cloned().collect();
    forbidden.iter().for_each(|name| drop(trailers.remove(name)));
}

/// The lines of these.
pub fn lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        lines.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    lines
}

/// What a member of HTTP/1 has sent behind its last chunk; nothing if that cannot be read.
pub fn read(bytes: &[u8]) -> HeaderMap {
    let mut fields = [httparse::EMPTY_HEADER; MOST];
    let mut trailers = HeaderMap::new();
    if let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(bytes, &mut fields) {
        for field in fields {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value))
            {
                trailers.append(name, value);
            }
        }
    }
    clean(&mut trailers);
    trailers
}

/// Whether this client's answers can have them at all.
pub fn can_have(version: Version) -> bool {
    version == Version::HTTP_11
}

fn is_forbidden(name: &HeaderName) -> bool {
    [CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stand_behind_an_answer_does() {
        let all = b"grpc-status: 0\r\nContent-Length: 5\r\nhost: a\r\nX-A: 1\r\nx-a:2\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(lines(&read(all)), b"grpc-status: 0\r\nx-a: 1\r\nx-a: 2\r\n");
        let many = "a: b\r\n".repeat(MOST + 1) + "\r\n";
        for bytes in ["", "a b\r\n\r\n", "a: b\r\n", &many] {
            assert!(read(bytes.as_bytes()).is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn a_client_asks_for_them() {
        for (te, wanted) in
            [("trailers", true), ("deflate;q=0.5, Trailers", true), ("trailers2", false), ("gzip", false)]
        {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            assert!(!are_wanted(&request));
            request.append_header(TE, te).unwrap();
            assert_eq!(are_wanted(&request), wanted, "{te}");
        }
    }
}
