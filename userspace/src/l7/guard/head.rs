//! What a request's head must be like before Pingora sees it. Stricter than Pingora, for requests whose length or host
//! two programs could understand differently: such a request never reaches a member, and its connection ends.

use std::net::Ipv6Addr;

use http::header::CONTENT_LENGTH;
use pingora::http::RequestHeader;

use super::{
    super::{
        message::{Chunks, Rest, body_length, is_token},
        target,
    },
    budget,
    refusal::Refusal,
};
use crate::l7::edge::RequestBounds;

/// The most headers that Pingora takes.
const MAX_HEADERS: usize = 256;
/// The longest target that Pingora takes.
const MAX_TARGET: usize = 65_534;
/// The longest name of DNS without the dot at its end. Policies look at each part of a name: longer ones could cost a lot.
const MAX_NAME: usize = 253;

/// How many bytes at the beginning are empty lines, which may come before a request.
pub(super) fn blank(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// Checks a whole head of HTTP/1. Returns what follows that belongs to the request.
pub(super) fn check(bytes: &[u8], limits: &RequestBounds) -> Result<Rest, Refusal> {
    let (line, rest) =
        bytes.split_at(bytes.iter().position(|&byte| byte == b'\n').ok_or(Refusal::Malformed)? + 1);
    let (modern, authority) = check_line(line)?;
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let most = usize::from(limits.headers).min(MAX_HEADERS);
    let headers = match httparse::parse_headers(rest, &mut headers[..most]) {
        Ok(httparse::Status::Complete((_, headers))) => headers,
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooMany),
        _ => return Err(Refusal::Malformed),
    };
    let (mut host, mut length, mut encoding) = (None, None, None);
    for header in headers {
        let name = header.name;
        if name.eq_ignore_ascii_case("host") {
            once(&mut host, header.value, Refusal::SeveralHosts)?;
        } else if name.eq_ignore_ascii_case("content-length") {
            once(&mut length, header.value, Refusal::BadLength)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            once(&mut encoding, header.value, Refusal::BadEncoding)?;
        }
    }
    match (host, authority) {
        (None, _) if modern => return Err(Refusal::NoHost),
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => return Err(Refusal::Other),
        (Some(host), _) => check_host(host)?,
        (None, _) => {}
    }
    Ok(match (length, encoding) {
        (Some(_), Some(_)) => return Err(Refusal::LengthAndEncoding),
        (Some(length), None) => Rest::Bytes(body_length(length).ok_or(Refusal::BadLength)?),
        (None, Some(encoding)) if !modern || !encoding.eq_ignore_ascii_case(b"chunked") => {
            return Err(Refusal::BadEncoding);
        }
        (None, Some(_)) => Rest::Chunks(Chunks::new()),
        (None, None) => Rest::Bytes(0),
    })
}

/// Writes Host as the target of a checked head does, if that names a host: Pingora does not know that case does not matter.
pub(super) fn write_host_as_target(head: &mut [u8]) {
    let [_, target, _] = first_line(head);
    if target.starts_with(b"/") {
        return;
    }
    let Some(authority) = authority(target).map(<[u8]>::to_vec) else { return };
    for line in head.split_mut(|&byte| byte == b'\n').skip(1) {
        let Some((name, value)) = line.split_at_mut_checked("host:".len()) else { continue };
        if name.eq_ignore_ascii_case(b"host:") {
            let begin = value.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(0);
            if let Some(host) = value.get_mut(begin..begin + authority.len()) {
                host.copy_from_slice(&authority);
            }
            return;
        }
    }
}

/// Checks what only a request of HTTP/2 can still be, after all that the protocol itself forbids.
pub(super) fn check_stream(request: &RequestHeader, limits: &RequestBounds) -> Result<(), Refusal> {
    if request.method == http::Method::CONNECT {
        return Err(Refusal::Connect);
    }
    if budget::fields(&request.headers) > usize::from(limits.headers) {
        return Err(Refusal::TooMany);
    }
    if budget::size(request) > limits.head_bytes as usize {
        return Err(Refusal::TooLarge);
    }
    let mut lengths = request.headers.get_all(CONTENT_LENGTH).into_iter();
    if let Some(length) = lengths.next() {
        body_length(length.as_bytes()).ok_or(Refusal::BadLength)?;
        // As in HTTP/1, also if they agree: members may read only one of them, or none.
        lengths.next().map_or(Ok(()), |_| Err(Refusal::BadLength))?;
    }
    if !matches!(request.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Refusal::Malformed);
    }
    let path = request.uri.path_and_query().map_or(&b""[..], |path| path.as_str().as_bytes());
    check_target(path, request.method == http::Method::OPTIONS)?;
    check_host(target::authority(request).ok_or(Refusal::NoHost)?)
}

/// Method, target and version with one space between two. The target may have characters that a client should have
/// encoded, but none that a line or its parts could end with. Whether it is HTTP/1.1, not 1.0, and whom the target names.
fn check_line(line: &[u8]) -> Result<(bool, Option<&[u8]>), Refusal> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::Malformed);
    };
    let visible = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    if method.is_empty()
        || !method.iter().all(|&byte| is_token(byte))
        || target.is_empty()
        || !target.iter().all(visible)
    {
        return Err(Refusal::Malformed);
    }
    let modern = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(Refusal::Malformed),
    };
    if method == b"CONNECT" {
        return Err(Refusal::Connect);
    }
    if target.len() > MAX_TARGET {
        return Err(Refusal::TooLarge);
    }
    Ok((modern, check_target(target, method == b"OPTIONS")?))
}

/// A path, the URL of a host, or the asterisk of OPTIONS, and no fragment, which is not for servers. Anything else a member
/// could put behind a host of its own choice. Whom it names.
fn check_target(target: &[u8], is_options: bool) -> Result<Option<&[u8]>, Refusal> {
    if target.contains(&b'#') {
        return Err(Refusal::Malformed);
    }
    if target.starts_with(b"/") || (is_options && target == b"*") {
        return Ok(None);
    }
    let authority = authority(target).ok_or(Refusal::Malformed)?;
    check_host(authority)?;
    Ok(Some(authority))
}

/// Whom a target names that is a URL of HTTP.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let behind = ["http://", "https://"].iter().find_map(|scheme| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    behind?.split(|byte| matches!(byte, b'/' | b'?')).next()
}

fn once<'a>(place: &mut Option<&'a [u8]>, value: &'a [u8], several: Refusal) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(several),
    }
}

/// A name or an address, and perhaps a port (RFC 3986, section 3.2, but of names only what DNS and hosts files have: a
/// member or a policy could take anything else for another host).
fn check_host(host: &[u8]) -> Result<(), Refusal> {
    is_host(host).then_some(()).ok_or(Refusal::BadHost)
}

fn is_host(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let (good_name, port) = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
        let labels = name.strip_suffix('.').unwrap_or(name);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        (labels.len() <= MAX_NAME && labels.split('.').all(is_label), port)
    };
    let digits = port.strip_prefix(':');
    let good_port = digits.map_or(port.is_empty(), |digits| {
        digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits.is_empty() || digits.parse::<u16>().is_ok())
    });
    good_name && good_port
}

/// Method, target and version of a head that may be anything, for the log: whatever of its first line is there.
pub(super) fn first_line(bytes: &[u8]) -> [&[u8]; 3] {
    const ENOUGH: usize = 4096;
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = &line[..line.len().min(ENOUGH)];
    let Some(first) = line.iter().position(|&byte| byte == b' ') else { return [line, b"", b""] };
    let (method, rest) = (&line[..first], &line[first + 1..]);
    match rest.iter().rposition(|&byte| byte == b' ') {
        Some(last) if rest[last + 1..].starts_with(b"HTTP/") => [method, &rest[..last], &rest[last + 1..]],
        _ => [method, rest, b""],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{COOKIE, HOST, HeaderName};

    /// Policies for wildcards look a name up from each of its dots on.
    #[test]
    fn hosts_are_no_longer_than_names_can_be() {
        let name = |length: usize| "a.".repeat(length / 2) + ["", "a"][length % 2];
        let limits = RequestBounds::default();
        for (host, expected) in [
            (name(253), Ok(())),
            (name(253) + ":65535", Ok(())),
            (name(254) + ":65535", Ok(())),
            (name(255), Err(Refusal::BadHost)),
            (name(256), Err(Refusal::BadHost)),
            ("a".repeat(254), Err(Refusal::BadHost)),
            (name(20_000), Err(Refusal::BadHost)),
            ("[2001:db8:1111:2222:3333:4444:5555:6666]:65535".into(), Ok(())),
        ] {
            let checked = |text: &str| check(text.as_bytes(), &limits).map(|_| ());
            assert_eq!(checked(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), expected, "{host}");
            assert_eq!(checked(&format!("GET http://{host}/ HTTP/1.0\r\n\r\n")), expected, "{host}");
            let mut stream = RequestHeader::build("GET", b"/", None).unwrap();
            stream.set_uri(format!("https://{host}/").parse().unwrap());
            assert_eq!(check_stream(&stream, &limits), expected, "{host}");
            let mut stream = RequestHeader::build("GET", b"/", None).unwrap();
            stream.insert_header(HOST, host.as_str()).unwrap();
            assert_eq!(check_stream(&stream, &limits), expected, "{host}");
        }
    }

    #[test]
    fn hosts() {
        for good in [
            "a",
            "a.",
            "A-b_c.example:8080",
            "a:",
            "192.0.2.1:80",
            "[::1]",
            "[2001:db8::1]:80",
            "xn--bcher-kva.example",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ".",
            ":80",
            "a..",
            "a..b",
            ".a",
            "a,b",
            "a b",
            "a/b",
            "a@b",
            "a:+80",
            "a:80:80",
            "a:65536",
            "a:8x",
            "[v1.a]",
            "[::1]x",
            "[::1]:x",
            "[::1",
            "[fe80::1%25eth0]",
            "::1",
            "a%2eb",
            "a;b",
            "a\\b",
            "b\u{fc}cher",
            "a*",
            "*",
            "a\0",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn host_is_written_as_in_the_target() {
        for (head, expected) in [
            ("GET http://OK.a:80/x HTTP/1.1\r\nX: host:\r\nhOst: \tok.A:80 \r\n\r\n", "hOst: \tOK.a:80 "),
            ("GET HTTP://OK HTTP/1.1\nHost:ok\n\n", "Host:OK"),
            ("GET /http://OK/ HTTP/1.1\r\nHost: ok\r\n\r\n", "Host: ok"),
            ("OPTIONS * HTTP/1.1\r\nHost: ok\r\n\r\n", "Host: ok"),
        ] {
            let mut bytes = head.as_bytes().to_vec();
            write_host_as_target(&mut bytes);
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(&format!("\n{expected}")) && text.eq_ignore_ascii_case(head), "{text}");
        }
    }

    /// A client of HTTP/2 may send each cookie in a field of its own (RFC 9113 section 8.2.3), but each is held.
    #[test]
    fn cookies_of_http2_are_one_field_and_count_with_all_they_take() {
        let limits = RequestBounds { headers: 3, head_bytes: 2048, ..RequestBounds::default() };
        let checked = |names: &[HeaderName]| {
            let mut stream = RequestHeader::build("GET", b"/", None).unwrap();
            stream.set_uri("https://a/".parse().unwrap());
            names.iter().for_each(|name| _ = stream.append_header(name.clone(), "a=1").unwrap());
            check_stream(&stream, &limits)
        };
        let other = || HeaderName::from_static("x-other");
        assert_eq!(checked(&[other(), other(), other()]), Ok(()));
        assert_eq!(checked(&[COOKIE, other(), COOKIE, COOKIE, other(), COOKIE]), Ok(()));
        assert_eq!(checked(&[other(), other(), other(), COOKIE]), Err(Refusal::TooMany));
        assert_eq!(checked(&[other(), other(), other(), other()]), Err(Refusal::TooMany));
        // Of 41 bytes each, beside the 167 of method, scheme, authority and path.
        assert_eq!(checked(&vec![COOKIE; 45]), Ok(()));
        assert_eq!(checked(&vec![COOKIE; 46]), Err(Refusal::TooLarge));
    }
}
