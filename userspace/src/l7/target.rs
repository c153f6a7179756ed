//! What a request asks for and of which host, wherever its client wrote it: HTTP/2 says it apart; of HTTP/1 the request line
//! has a path, or a URL as for a forward proxy, which Pingora leaves as it came.

use std::borrow::Cow;

use http::header::{HOST, HeaderValue};
use pingora::{
    http::RequestHeader,
    protocols::http::authority::{RawTargetAuthority, raw_target_authority},
};

/// Whom the request is for, with the port if there is one: as the target says, else as Host does.
pub fn authority(request: &RequestHeader) -> Option<&[u8]> {
    let apart = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let in_url = || raw_target_authority(request.raw_path()).authority();
    let host = || request.headers.get(HOST).map(HeaderValue::as_bytes);
    apart.or_else(in_url).or_else(host)
}

/// Path and query as the client wrote them, or the asterisk of OPTIONS.
pub fn path(request: &RequestHeader) -> Cow<'_, [u8]> {
    match raw_target_authority(request.raw_path()) {
        RawTargetAuthority::Absolute { path_and_query: path @ [b'/', ..], .. } => path.into(),
        RawTargetAuthority::Absolute { path_and_query, .. } => [b"/", path_and_query].concat().into(),
        _ => request.raw_path().into(),
    }
}

/// The host of an authority.
pub fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // In an IPv6 address's brackets a colon is no port's.
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_says_more_than_host() {
        for (target, header, whom, what) in [
            ("/a?b", Some("c:80"), Some("c:80"), "/a?b"),
            ("/a", None, None, "/a"),
            ("*", Some("c"), Some("c"), "*"),
            ("http://d:81/a//b?c", Some("d:81"), Some("d:81"), "/a//b?c"),
            ("http://d/", Some("c"), Some("d"), "/"),
            ("HTTPS://d", None, Some("d"), "/"),
            ("http://d?a=/b", None, Some("d"), "/?a=/b"),
            ("/a/http://d/", None, None, "/a/http://d/"),
        ] {
            let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
            if let Some(header) = header {
                request.insert_header(HOST, header).unwrap();
            }
            assert_eq!(authority(&request), whom.map(str::as_bytes), "{target}");
            assert_eq!(path(&request), what.as_bytes(), "{target}");
        }
        let request = RequestHeader::build("GET", b"http://d/\xe9", None).unwrap();
        assert_eq!(*path(&request), *b"/\xe9");
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_uri("https://e:82/f?g".parse().unwrap());
        assert_eq!((authority(&request), &*path(&request)), (Some(&b"e:82"[..]), &b"/f?g"[..]));
    }

    #[test]
    fn hosts() {
        for (authority, expected) in [
            ("a.example", "a.example"),
            ("a.example:8080", "a.example"),
            ("a.example:", "a.example"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]:80", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("", ""),
        ] {
            assert_eq!(host(authority), expected);
        }
    }
}
