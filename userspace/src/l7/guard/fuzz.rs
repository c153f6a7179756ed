//! Heads put together from what heads are made of. `cargo xtask fuzz heads` looks for longer.

use bolero::generator::produce;

use super::head::{blank, check, first_line};
use crate::l7::{
    edge::RequestBounds,
    message::{Rest, head_end as end},
};

/// What heads are made of, right and nearly right.
const PIECES: [&[u8]; 56] = [
    b"GET ",
    b"POST ",
    b"OPTIONS ",
    b"CONNECT ",
    b"G(T ",
    b"/",
    b"/a?b",
    b"*",
    b"http://a",
    b"http://u@a/",
    b"x",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b" HTTP/1.2",
    b" HTTP/1.1 ",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\r\n",
    b"\r\n ",
    b"\n\t",
    b" ",
    b"\t",
    b"\0",
    b"\x0b",
    b"\x7f",
    b"\xe4",
    b":",
    b": ",
    b" :",
    b"Host",
    b"hOST",
    b"Content-Length",
    b"content-length",
    b"Transfer-Encoding",
    b"transfer-encoding",
    b"Upgrade",
    b"X",
    b"X-(",
    b"a",
    b"a:80",
    b"a:70000",
    b"[::1]:80",
    b"a, b",
    b"u@a",
    b"0",
    b"3",
    b"+3",
    b"3, 3",
    b"99999999999999999999",
    b"chunked",
    b"Chunked",
    b"gzip, chunked",
    b"Host: a\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n",
];

/// - An accepted head is one of RFC 9112 to a reader that knows nothing of leniency, with one meaning: where its body ends
///   is what that reader says.
/// - Its end is where it is however it came, and what the log shows of it is in it.
#[test]
fn heads() {
    let pieces = produce::<Vec<(u8, Option<u8>)>>().with().len(0..24usize);
    bolero::check!(name = "heads").with_generator(pieces).for_each(|pieces| {
        let mut bytes = Vec::new();
        for &(piece, byte) in pieces {
            bytes.extend(PIECES[usize::from(piece) % PIECES.len()]);
            // Rarely, or no head would be right.
            bytes.extend(byte.filter(|byte| byte % 8 == 0));
        }
        let shown: usize = first_line(&bytes).map(<[u8]>::len).iter().sum();
        assert!(shown <= bytes.len());
        let bytes = &bytes[blank(&bytes)..];
        let Some(whole) = end(bytes, 0) else { return };
        for cut in 0..whole {
            assert_eq!(end(&bytes[..cut], 0), None);
            assert_eq!(end(bytes, cut), Some(whole), "searched {cut} bytes before");
        }
        let head = &bytes[..whole];
        if let Ok(rest) = check(head, &RequestBounds::default()) {
            let text = String::from_utf8_lossy(head);
            assert_eq!(strict(head).expect(&text), Strict::of(&rest).expect(&text), "{text}");
        }
    });
}

/// How far a request goes.
#[derive(Debug, PartialEq, Eq)]
enum Strict {
    Bytes(u64),
    Chunks,
}

impl Strict {
    /// `None` for what no request is before its answer has come.
    fn of(rest: &Rest) -> Option<Self> {
        match rest {
            Rest::Bytes(length) => Some(Self::Bytes(*length)),
            Rest::Chunks(_) => Some(Self::Chunks),
            Rest::Unknown => None,
        }
    }
}

/// RFC 9112 by its grammar, but for a bare line feed at a line's end (section 2.2), and RFC 9110 section 5.5 for values.
/// `None` if a head is not like that.
fn strict(head: &[u8]) -> Option<Strict> {
    let text = head.strip_suffix(b"\n")?;
    let mut lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let [method, target, version] = lines.next()?.split(|&byte| byte == b' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let modern = version == b"HTTP/1.1";
    let good_line = is_token(method)
        && method != b"CONNECT"
        && !target.is_empty()
        && !target.iter().any(|byte| byte.is_ascii_control() || *byte == b' ')
        && (modern || version == b"HTTP/1.0");
    let fields = lines.by_ref().take_while(|line| !line.is_empty()).map(field).collect::<Option<Vec<_>>>()?;
    if !good_line || lines.next().is_some() {
        return None;
    }
    let all = |wanted: &str| {
        let wanted = wanted.as_bytes();
        fields
            .iter()
            .filter(|field| field.0.eq_ignore_ascii_case(wanted))
            .map(|field| field.1)
            .collect::<Vec<_>>()
    };
    match all("host")[..] {
        [host] if !host.is_empty() && !host.iter().any(|byte| b"@/, \t".contains(byte)) => {}
        [] if !modern => {}
        _ => return None,
    }
    match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some(Strict::Bytes(0)),
        ([length], []) if length.iter().all(u8::is_ascii_digit) => {
            Some(Strict::Bytes(str::from_utf8(length).ok()?.parse().ok()?))
        }
        ([], [encoding]) if modern && encoding.eq_ignore_ascii_case(b"chunked") => Some(Strict::Chunks),
        _ => None,
    }
}

/// Name and value of a field, without space around the value.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let visible = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    (is_token(name) && value.iter().all(visible)).then_some((name, value))
}

fn is_token(text: &[u8]) -> bool {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(good)
}
