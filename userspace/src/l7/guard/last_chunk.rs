//! An answer in chunks on its way to a client of HTTP/1, behind which fields may stand: where in it Pingora is, and what is
//! written in the place of its last chunk, which has none.

use bytes::Bytes;

use crate::l7::message::{Chunks, head_end};

/// What Pingora writes, at once, behind all other chunks.
const LAST: &[u8] = b"0\r\n\r\n";
/// The most of a head that is looked at.
const MOST: usize = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// In its head, of which this was written.
    Head(Vec<u8>),
    /// In its body.
    Body(Chunks),
    /// At its end: this is still to be written.
    Last(Bytes),
    /// It is in no chunks, or over.
    Other,
}

impl Outgoing {
    /// Of an answer that begins.
    pub(super) fn new() -> Self {
        Self::Head(Vec::new())
    }

    /// Whether these bytes, which are to be written next, are the last chunk.
    pub(super) fn ends_with(&self, bytes: &[u8]) -> bool {
        matches!(self, Self::Body(chunks) if *chunks == Chunks::new()) && bytes == LAST
    }

    /// What is written for that, with these lines.
    pub(super) fn last(lines: &[u8]) -> Self {
        Self::Last([&LAST[..3], lines, &LAST[3..]].concat().into())
    }

    /// These bytes were written.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        if let Self::Head(head) = self {
            let before = head.len();
            head.extend_from_slice(bytes);
            let Some(end) = head_end(head, before) else {
                if before > MOST {
                    *self = Self::Other;
                }
                return;
            };
            bytes = &bytes[end - before..];
            if head.starts_with(b"HTTP/1.1 1") && !head.starts_with(b"HTTP/1.1 101") {
                *head = Vec::new();
                return self.pass(bytes);
            }
            let text = head[..end].to_ascii_lowercase();
            let field = b"\r\ntransfer-encoding: chunked\r\n";
            let is_chunked = text.windows(field.len()).any(|part| part == field);
            *self = if is_chunked { Self::Body(Chunks::new()) } else { Self::Other };
        }
        if let Self::Body(chunks) = self {
            chunks.take(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However it is written, and though one of its pieces looks like the end.
    #[test]
    fn the_last_chunk_is_known() {
        let head = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for cut in 0..head.len() {
            let mut outgoing = Outgoing::new();
            let (first, second) = head.split_at(cut);
            for part in [first, second, "5\r\n", "0\r\n\r\n", "\r\n"] {
                assert!(!outgoing.ends_with(part.as_bytes()), "{part:?} cut at {cut}");
                outgoing.pass(part.as_bytes());
            }
            assert!(outgoing.ends_with(LAST), "{outgoing:?} cut at {cut}");
        }
        let mut outgoing = Outgoing::new();
        outgoing.pass(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert!(!outgoing.ends_with(LAST));
        let Outgoing::Last(last) = Outgoing::last(b"a: b\r\n") else { panic!() };
        assert_eq!(last, "0\r\na: b\r\n\r\n");
    }
}
