//! What a request's head must be like before Pingora sees it. Stricter than Pingora, for requests whose length or host
//! two programs could understand differently: such a request never reaches a member, and its connection ends.

use http::{header::CONTENT_LENGTH, uri::Authority};
use pingora::http::RequestHeader;

use super::{
    super::{
        message::{Chunks, Rest, body_length, is_token},
        target,
    },
    budget,
    refusal::Refusal,
};
use crate::l7::edge::Limits;

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
pub(super) fn check(bytes: &[u8], limits: &Limits) -> Result<Rest, Refusal> {
    let (line, rest) =
        bytes.split_at(bytes.iter().position(|&byte| byte == b'\n').ok_or(Refusal::Malformed)? + 1);
    let modern = check_line(line)?;
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let most = usize::from(limits.headers).min(MAX_HEADERS);
    let headers = match httparse::parse_headers(rest, &mut headers[..most]) {
        Ok(httparse::Status::Complete((_, headers))) => headers,
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooMany),
        _ => return Err(Refusal::Malformed),
    };
    let (mut host, mut length, mut encoding, mut upgrade) = (None, None, None, false);
    for header in headers {
        let name = header.name;
        if name.eq_ignore_ascii_case("host") {
            once(&mut host, header.value, Refusal::SeveralHosts)?;
        } else if name.eq_ignore_ascii_case("content-length") {
            once(&mut length, header.value, Refusal::BadLength)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            once(&mut encoding, header.value, Refusal::BadEncoding)?;
        } else if name.eq_ignore_ascii_case("upgrade") {
            upgrade = true;
        }
    }
    match host {
        Some(host) => check_host(host)?,
        None if modern => return Err(Refusal::NoHost),
        None => {}
    }
    let rest = match (length, encoding) {
        (Some(_), Some(_)) => return Err(Refusal::LengthAndEncoding),
        (Some(length), None) => Rest::Bytes(body_length(length).ok_or(Refusal::BadLength)?),
        (None, Some(encoding)) if !modern || !encoding.eq_ignore_ascii_case(b"chunked") => {
            return Err(Refusal::BadEncoding);
        }
        (None, Some(_)) => Rest::Chunks(Chunks::new()),
        (None, None) => Rest::Bytes(0),
    };
    // A request with a body cannot begin a tunnel: where its body ends is known.
    Ok(if upgrade && rest.is_over() { Rest::Unknown } else { rest })
}

/// Checks what only a request of HTTP/2 can still be, after all that the protocol itself forbids.
pub(super) fn check_stream(request: &RequestHeader, limits: &Limits) -> Result<(), Refusal> {
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
    let path = request.uri.path_and_query().map_or(&b""[..], |path| path.as_str().as_bytes());
    check_target(path, request.method == http::Method::OPTIONS)?;
    check_host(target::authority(request).ok_or(Refusal::NoHost)?)
}

/// Method, target and version with one space between two. The target may have characters that a client should have
/// encoded, but none that a line or its parts could end with. Whether it is HTTP/1.1, not 1.0.
fn check_line(line: &[u8]) -> Result<bool, Refusal> {
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
    check_target(target, method == b"OPTIONS")?;
    Ok(modern)
}

/// A path, the URL of a host, or the asterisk of OPTIONS. Anything else a member could put behind a host of its own
/// choice.
fn check_target(target: &[u8], is_options: bool) -> Result<(), Refusal> {
    if target.starts_with(b"/") || (is_options && target == b"*") {
        return Ok(());
    }
    let behind = ["http://", "https://"].iter().find_map(|scheme| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let authority = behind.and_then(|rest| rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next());
    check_host(authority.ok_or(Refusal::Malformed)?)
}

fn once<'a>(place: &mut Option<&'a [u8]>, value: &'a [u8], several: Refusal) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(several),
    }
}

/// A name or an address, and perhaps a port.
fn check_host(host: &[u8]) -> Result<(), Refusal> {
    let authority = Authority::try_from(host).map_err(|_| Refusal::BadHost)?;
    let port = authority.as_str().rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'));
    let good_port = port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok());
    let name = authority.host();
    let good_name = !name.is_empty() && name.strip_suffix('.').unwrap_or(name).len() <= MAX_NAME;
    if authority.as_str().contains('@') || !good_name || !good_port {
        return Err(Refusal::BadHost);
    }
    Ok(())
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
        let limits = Limits::default();
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

    /// A client of HTTP/2 may send each cookie in a field of its own (RFC 9113 section 8.2.3), but each is held.
    #[test]
    fn cookies_of_http2_are_one_field_and_count_with_all_they_take() {
        let limits = Limits { headers: 3, head_bytes: 2048, ..Limits::default() };
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
