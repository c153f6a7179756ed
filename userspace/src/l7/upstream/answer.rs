//! How far a member's answer goes, as its bytes pass. Stricter than Pingora, for answers whose end two programs could
//! understand differently: of such a one Pingora sees no more, the client gets 502 or a cut answer, and the connection
//! is not used again.

use http::{Method, StatusCode};
use thiserror::Error;

use super::super::message::{Chunks, Rest, Taken, body_length, head_end};

/// The most header lines that Pingora takes.
const MAX_HEADERS: usize = 256;
/// The largest head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The most interim answers before the last one.
const MAX_INTERIM: u8 = 32;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Wrong {
    #[error("its head is not HTTP/1")]
    Head,
    #[error("its head is larger than {MAX_HEAD} bytes or has more than {MAX_HEADERS} lines")]
    TooLarge,
    #[error("more than {MAX_INTERIM} interim answers")]
    Interim,
    #[error("Content-Length is not one number")]
    Length,
    #[error("Transfer-Encoding is not just chunked")]
    Encoding,
    #[error("its body is not in chunks as it should be")]
    Chunks,
    #[error("it switches protocols unasked")]
    Switch,
}

/// Where in an answer the next byte is.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether the request was one whose answers have no body.
    is_head: bool,
    /// Whether it may turn into a tunnel.
    may_switch: bool,
    interim: u8,
    /// What there is of a head that came in pieces.
    head: Vec<u8>,
    /// What follows the head; none before that.
    rest: Option<Rest>,
    is_tunnel: bool,
    /// What came behind the last chunk, if somebody wants it.
    trailer: Option<Vec<u8>>,
}

impl Answer {
    /// The answer to a request with this method, at its first byte.
    pub(super) fn new(method: &Method, may_switch: bool, wants_trailer: bool) -> Self {
        Self {
            is_head: *method == Method::HEAD,
            may_switch,
            interim: 0,
            head: Vec::new(),
            rest: None,
            is_tunnel: false,
            trailer: wants_trailer.then(Vec::new),
        }
    }

    /// Whether all of it has come.
    pub(super) fn is_over(&self) -> bool {
        self.rest.as_ref().is_some_and(Rest::is_over)
    }

    /// Whether it has become a tunnel.
    pub(super) fn is_tunnel(&self) -> bool {
        self.is_tunnel
    }

    /// What came behind its last chunk, as it came, if that was wanted.
    pub(super) fn take_trailer(&mut self) -> Vec<u8> {
        self.trailer.take().unwrap_or_default()
    }

    /// How many of these bytes, which come next, belong to it.
    ///
    /// # Errors
    /// Nobody can tell how far it goes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Taken, Wrong> {
        let mut at = 0;
        loop {
            if let Some(rest) = &mut self.rest {
                let Taken { length, content } = match (rest, &mut self.trailer) {
                    (Rest::Chunks(chunks), Some(trailer)) => {
                        let Taken { length, content } = chunks.take_content(&bytes[at..]);
                        let behind = &bytes[at + length..];
                        let more = chunks.take(behind).length;
                        if trailer.len() + more > MAX_HEAD {
                            return Err(Wrong::TooLarge);
                        }
                        trailer.extend_from_slice(&behind[..more]);
                        Taken { length: length + more, content }
                    }
                    (rest, _) => rest.take(&bytes[at..]),
                };
                let rest = self.rest.as_ref();
                let taken = Taken { length: at + length, content };
                return if rest.is_some_and(Rest::is_lost) { Err(Wrong::Chunks) } else { Ok(taken) };
            }
            let before = self.head.len();
            let is_whole = before == 0;
            let end = if is_whole {
                head_end(&bytes[at..], 0)
            } else {
                self.head.extend_from_slice(&bytes[at..]);
                head_end(&self.head, before)
            };
            if end.unwrap_or(before.max(bytes.len() - at)) > MAX_HEAD {
                return Err(Wrong::TooLarge);
            }
            let Some(end) = end else {
                if is_whole {
                    self.head.extend_from_slice(&bytes[at..]);
                }
                return Ok(Taken { length: bytes.len(), content: 0 });
            };
            self.rest = if is_whole {
                self.read_head(&bytes[at..at + end])?
            } else {
                let head = std::mem::take(&mut self.head);
                self.read_head(&head[..end])?
            };
            at += end - before;
        }
    }

    /// What follows this head; none if that was an interim one.
    fn read_head(&mut self, head: &[u8]) -> Result<Option<Rest>, Wrong> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Wrong::TooLarge),
            _ => return Err(Wrong::Head),
        }
        let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Wrong::Head)?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.is_tunnel = true;
            return if self.may_switch { Ok(Some(Rest::Unknown)) } else { Err(Wrong::Switch) };
        }
        if status.is_informational() {
            self.interim += 1;
            return if self.interim <= MAX_INTERIM { Ok(None) } else { Err(Wrong::Interim) };
        }
        let (mut length, mut encoding) = (None, None);
        for header in &*response.headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                // RFC 9112, section 6.3: several are one if they say the same.
                for value in header.value.split(|&byte| byte == b',') {
                    let value = body_length(value.trim_ascii()).ok_or(Wrong::Length)?;
                    if length.replace(value).is_some_and(|before| before != value) {
                        return Err(Wrong::Length);
                    }
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding")
                && (encoding.replace(()).is_some() || !header.value.eq_ignore_ascii_case(b"chunked"))
            {
                return Err(Wrong::Encoding);
            }
        }
        let has_none = self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(Some(match (length, encoding) {
            _ if has_none => Rest::Bytes(0),
            // RFC 9112, section 6.3: of both, these count. Pingora leaves the length out.
            (_, Some(())) => Rest::Chunks(Chunks::new()),
            (Some(length), None) => Rest::Bytes(length),
            (None, None) => Rest::Unknown,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of an answer of which so many bytes come first: how much of it is its own and how much of that its
    /// content, and whether it is over.
    fn read(method: &Method, answer: &str, cut: usize) -> Result<(Taken, bool), Wrong> {
        let (first, second) = answer.as_bytes().split_at(cut);
        let mut reader = Answer::new(method, false, cut.is_multiple_of(2));
        let mut all = reader.take(first)?;
        if all.length == first.len() {
            let more = reader.take(second)?;
            all = Taken { length: all.length + more.length, content: all.content + more.content };
        }
        Ok((all, reader.is_over()))
    }

    #[test]
    fn an_answer_ends_where_it_says_however_it_comes() {
        let ok = "HTTP/1.1 200 OK\r\n";
        let behind = "HTTP/1.1 200 OK\r\n\r\n";
        for (answer, body) in [
            (format!("{ok}Content-Length: 5\r\n\r\nhello"), 5),
            (format!("{ok}Content-Length: 0\r\n\r\n"), 0),
            (format!("{ok}Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello"), 5),
            (format!("{ok}Content-Length: 5, 5\r\n\r\nhello"), 5),
            (
                format!("{ok}Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
                5,
            ),
            (format!("{ok}Transfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n"), 5),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n".into(), 0),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".into(), 0),
            ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 0),
            (
                format!(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\n{ok}Content-Length: 1\r\n\r\nx"
                ),
                1,
            ),
            ("HTTP/1.0 200 OK\nContent-Length: 2\n\nok".into(), 2),
        ] {
            for cut in 0..answer.len() {
                let taken = Taken { length: answer.len(), content: body };
                let come = read(&Method::GET, &format!("{answer}{behind}"), cut);
                assert_eq!(come, Ok((taken, true)), "{answer:?} cut at {cut}");
            }
        }
        let head = format!("{ok}Content-Length: 5\r\n\r\n");
        let taken = Taken { length: head.len(), content: 0 };
        assert_eq!(read(&Method::HEAD, &format!("{head}hello"), 3), Ok((taken, true)));
        // Until the connection ends.
        let all = format!("{ok}\r\nhello");
        let taken = Taken { length: all.len(), content: 5 };
        assert_eq!(read(&Method::GET, &all, 3), Ok((taken, false)));
    }

    #[test]
    fn an_answer_whose_end_is_doubtful_is_wrong() {
        let many = "x: y\r\n".repeat(MAX_HEADERS + 1);
        let large = format!("x: {}\r\n", "y".repeat(MAX_HEAD));
        let interim = "HTTP/1.1 100 \r\n\r\n".repeat(usize::from(MAX_INTERIM)) + "HTTP/1.1 100 ";
        let chunked = "Transfer-Encoding: chunked\r\n";
        for (rest, wrong) in [
            ("Content-Length : 5\r\n\r\nhello", Wrong::Head),
            ("Content-Length: 5\r\n folded\r\n\r\nhello", Wrong::Head),
            ("Content-Length: -5\r\n\r\nhello", Wrong::Length),
            ("Content-Length: +5\r\n\r\nhello", Wrong::Length),
            ("Content-Length:\r\n\r\nhello", Wrong::Length),
            ("Content-Length: 5,\r\n\r\nhello", Wrong::Length),
            ("Content-Length: 5, 6\r\n\r\nhello", Wrong::Length),
            ("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", Wrong::Length),
            ("Content-Length: 1111111111111111111\r\n\r\nhello", Wrong::Length),
            ("Transfer-Encoding: gzip\r\n\r\nhello", Wrong::Encoding),
            ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Wrong::Encoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Wrong::Encoding),
            (&format!("{chunked}\r\n5\r\nhello\r\n\r\n\r\n"), Wrong::Chunks),
            (&format!("{chunked}\r\n5\nhello\r\n0\r\n\r\n"), Wrong::Chunks),
            (&format!("{chunked}\r\n5;\nhello\r\n0\r\n\r\n"), Wrong::Chunks),
            (&format!("{chunked}\r\n5\r\nhello\n0\r\n\r\n"), Wrong::Chunks),
            (&format!("{chunked}\r\n0000000000000000000005\r\nhello\r\n0\r\n\r\n"), Wrong::Chunks),
            (&format!("{many}\r\n"), Wrong::TooLarge),
            (&format!("{large}\r\n"), Wrong::TooLarge),
        ] {
            let answer = format!("HTTP/1.1 200 OK\r\n{rest}");
            let cuts = if answer.len() > 1000 { answer.len() - 3..answer.len() } else { 0..answer.len() };
            for cut in cuts {
                assert_eq!(read(&Method::GET, &answer, cut), Err(wrong), "{answer:?} cut at {cut}");
            }
        }
        for (answer, wrong) in [
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Wrong::Head),
            ("\r\n\r\n", Wrong::Head),
            ("HTTP/1.1 99 x\r\n\r\n", Wrong::Head),
            ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", Wrong::Switch),
            (&format!("{interim}\r\n\r\n"), Wrong::Interim),
        ] {
            assert_eq!(read(&Method::GET, answer, 1), Err(wrong), "{answer:?}");
        }
    }

    #[test]
    fn what_comes_behind_the_last_chunk_is_known_if_it_is_wanted() {
        let answer =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n0\r\r\n0\r\na: b\r\nc: d\r\n\r\n";
        for cut in 0..answer.len() {
            let mut reader = Answer::new(&Method::GET, false, true);
            reader.take(&answer[..cut]).unwrap();
            reader.take(&answer[cut..]).unwrap();
            assert_eq!((reader.is_over(), &*reader.take_trailer()), (true, &b"a: b\r\nc: d\r\n\r\n"[..]));
        }
        let mut reader = Answer::new(&Method::GET, false, true);
        reader.take(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n").unwrap();
        let long = [b"a: ", &vec![b'b'; MAX_HEAD][..]].concat();
        assert_eq!(reader.take(&long), Err(Wrong::TooLarge));
    }

    #[test]
    fn what_follows_a_switch_is_a_tunnel() {
        let mut answer = Answer::new(&Method::GET, true, false);
        let taken = answer.take(b"HTTP/1.1 101 Switching Protocols\r\n\r\nhello").unwrap();
        assert_eq!((taken.content, answer.is_tunnel(), answer.is_over()), (5, true, false));
    }
}
