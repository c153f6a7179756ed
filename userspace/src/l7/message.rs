//! How far a message of HTTP/1 goes (RFC 9112), a request or an answer: its head, and what follows that. What comes behind it
//! is then known to be the next one's.

/// The most digits of a chunk's size: more than anybody sends, and no more than any program can count.
const MOST_DIGITS: u8 = 15;

/// The length of a head at the beginning of `bytes`, the empty line at its end included; `None` if the end is not
/// there yet. `from` bytes were searched before.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    // The end may begin with the last of those bytes.
    let mut at = from.saturating_sub(2);
    while let Some(newline) = bytes.get(at..)?.iter().position(|&byte| byte == b'\n') {
        at += newline + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// What a Content-Length says: digits, and no more than any program can count.
pub(super) fn body_length(length: &[u8]) -> Option<u64> {
    if length.is_empty() || length.len() > 18 || !length.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(length.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// What belongs to a message of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// So many of them.
    pub(super) length: usize,
    /// And of these so many are its content, not what chunks have around it.
    pub(super) content: usize,
}

/// What is still to come of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// So many bytes.
    Bytes(u64),
    /// A body in chunks.
    Chunks(Chunks),
    /// It goes on until the connection ends.
    Unknown,
}

impl Rest {
    /// How many of these bytes, which come next, belong to it. They count as come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Taken {
        let all = |length| Taken { length, content: length };
        match self {
            Self::Bytes(left) => all(take(left, bytes.len())),
            Self::Chunks(chunks) => chunks.take(bytes),
            Self::Unknown => all(bytes.len()),
        }
    }

    /// Whether all of it has come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunks(Chunks::End))
    }

    /// Whether it was found to be no body: nobody can tell where it ends.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Chunks(Chunks::Lost))
    }
}

/// Where in a body in chunks (RFC 9112, section 7.1) the next byte is. Lines end with CR LF and nothing else, and each
/// has what it must have: what Pingora or a member could take for another end than this is [`Self::Lost`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a chunk's size: what it is so far, and of how many digits.
    Size(u64, u8),
    /// In white space behind a size.
    Space(u64),
    /// In an extension, in the same line.
    Extension(u64),
    /// At the line feed of that line.
    SizeEnd(u64),
    /// In a chunk: so many bytes are left.
    Data(u64),
    /// At the carriage return behind a chunk.
    DataReturn,
    /// At the line feed behind that.
    DataEnd,
    /// At the beginning of a line of the trailer.
    Line,
    /// In the name of one of its fields.
    Name,
    /// In that field's value.
    Value,
    /// At the line feed behind that.
    ValueEnd,
    /// At the line feed of the empty line.
    LastEnd,
    /// Behind it.
    End,
    /// This is no such body.
    Lost,
}

impl Chunks {
    /// At a body's first byte.
    pub(super) fn new() -> Self {
        Self::Size(0, 0)
    }

    /// As [`Rest::take`].
    pub(super) fn take(&mut self, bytes: &[u8]) -> Taken {
        self.take_until(bytes, |_| false)
    }

    /// The same, but nothing of the trailer.
    pub(super) fn take_content(&mut self, bytes: &[u8]) -> Taken {
        let is_trailer =
            |at: &Self| matches!(at, Self::Line | Self::Name | Self::Value | Self::ValueEnd | Self::LastEnd);
        self.take_until(bytes, is_trailer)
    }

    fn take_until(&mut self, bytes: &[u8], stops: impl Fn(&Self) -> bool) -> Taken {
        let (mut taken, mut content) = (0, 0);
        while let Some(&byte) = bytes.get(taken) {
            if stops(self) {
                break;
            }
            *self = match *self {
                Self::End | Self::Lost => break,
                Self::Data(ref mut left) => {
                    let count = take(left, bytes.len() - taken);
                    taken += count;
                    content += count;
                    if *left == 0 {
                        *self = Self::DataReturn;
                    }
                    continue;
                }
                Self::Size(size, digits) => in_size(size, digits, byte),
                Self::Space(size) => behind_size(size, byte),
                Self::Extension(size) => match byte {
                    b'\r' => Self::SizeEnd(size),
                    byte if is_text(byte) => Self::Extension(size),
                    _ => Self::Lost,
                },
                // The last chunk is the one without data.
                Self::SizeEnd(0) => expect(b'\n', byte, Self::Line),
                Self::SizeEnd(size) => expect(b'\n', byte, Self::Data(size)),
                Self::DataReturn => expect(b'\r', byte, Self::DataEnd),
                Self::DataEnd => expect(b'\n', byte, Self::new()),
                Self::Line if byte == b'\r' => Self::LastEnd,
                Self::Line if is_token(byte) => Self::Name,
                Self::Name if is_token(byte) => Self::Name,
                Self::Name => expect(b':', byte, Self::Value),
                Self::Value if byte == b'\r' => Self::ValueEnd,
                Self::Value if is_text(byte) => Self::Value,
                Self::ValueEnd => expect(b'\n', byte, Self::Line),
                Self::LastEnd => expect(b'\n', byte, Self::End),
                Self::Line | Self::Value => Self::Lost,
            };
            taken += 1;
        }
        Taken { length: taken, content }
    }
}

fn in_size(size: u64, digits: u8, byte: u8) -> Chunks {
    match char::from(byte).to_digit(16) {
        Some(digit) if digits < MOST_DIGITS => Chunks::Size(size << 4 | u64::from(digit), digits + 1),
        None if digits > 0 => behind_size(size, byte),
        _ => Chunks::Lost,
    }
}

fn behind_size(size: u64, byte: u8) -> Chunks {
    match byte {
        b' ' | b'\t' => Chunks::Space(size),
        b';' => Chunks::Extension(size),
        b'\r' => Chunks::SizeEnd(size),
        _ => Chunks::Lost,
    }
}

fn expect(expected: u8, byte: u8, next: Chunks) -> Chunks {
    if byte == expected { next } else { Chunks::Lost }
}

/// What a line may have in it: no control character but the tabulator.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What a name may be made of (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Takes as many as there are, and says how many.
fn take(left: &mut u64, there: usize) -> usize {
    let taken = usize::try_from(*left).map_or(there, |left| left.min(there));
    *left -= taken as u64;
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the bytes come, and whatever is behind them.
        #[test]
        fn a_body_in_chunks_ends_where_it_was_made_to_end(
            chunks in prop::collection::vec(("[0-9a-f;\r\n]{1,40}", prop::option::of("[a-z=\"; ]{0,9}")), 0..5),
            trailer in prop::collection::vec("[A-Za-z]{1,9}:[a-z0 \t]{0,9}", 0..3),
            behind in "[0-9A-Z\r\n]{0,20}",
            cuts in prop::collection::vec(1usize..12, 1..20),
        ) {
            let mut body = String::new();
            for (data, extension) in &chunks {
                let extension = extension.as_ref().map_or(String::new(), |extension| format!(";{extension}"));
                body += &format!("{:X}{extension}\r\n{data}\r\n", data.len());
            }
            body += "0\r\n";
            trailer.iter().for_each(|line| body += &format!("{line}\r\n"));
            body += "\r\n";
            let all = format!("{body}{behind}");

            let (mut rest, mut taken, mut bytes) = (Rest::Chunks(Chunks::new()), 0, all.as_bytes());
            let mut contents = 0;
            for cut in cuts.iter().cycle() {
                let (part, others) = bytes.split_at((*cut).min(bytes.len()));
                let Taken { length: own, content } = rest.take(part);
                contents += content;
                taken += own;
                prop_assert_eq!(rest.is_over(), taken == body.len());
                if own < part.len() || others.is_empty() {
                    break;
                }
                bytes = others;
            }
            prop_assert_eq!(taken, body.len());
            prop_assert_eq!(contents, chunks.iter().map(|(data, _)| data.len()).sum::<usize>());
        }
    }

    /// However the bytes come: what is behind the first wrong one is not looked at.
    #[test]
    fn what_is_no_body_in_chunks_has_no_end() {
        for (body, good) in [
            ("\r\n0\r\n\r\n", 0),
            (";x\r\n0\r\n\r\n", 0),
            (" 0\r\n\r\n", 0),
            ("x\r\n", 0),
            ("-1\r\n\r\n", 0),
            ("1111111111111111\r\n", 15),
            ("0000000000000000\r\n\r\n", 15),
            ("5 hello", 2),
            ("0x5\r\nhello\r\n0\r\n\r\n", 1),
            ("5\nhello\r\n0\r\n\r\n", 1),
            ("5\rhello\r\n0\r\n\r\n", 2),
            ("5;a\nhello\r\n0\r\n\r\n", 3),
            ("5;a\0\r\nhello\r\n0\r\n\r\n", 3),
            ("5\r\nhello\n0\r\n\r\n", 8),
            ("5\r\nhello0\r\n\r\n", 8),
            ("5\r\nhello\r0\r\n\r\n", 9),
            ("5\r\nhello\r\n\r\n", 10),
            ("0\r\n\n", 3),
            ("0\n\r\n", 1),
            ("0\r\nno field\r\n\r\n", 5),
            ("0\r\n: a\r\n\r\n", 3),
            ("0\r\n a: b\r\n\r\n", 3),
            ("0\r\na: b\n\r\n", 7),
            ("0\r\na: b\r\n\n", 9),
            ("0\r\na: b\r\n\rGET / HTTP/1.1\r\n", 10),
        ] {
            for cut in 0..=body.len() {
                let (first, second) = body.as_bytes().split_at(cut);
                let mut rest = Rest::Chunks(Chunks::new());
                let taken = rest.take(first).length + rest.take(second).length;
                assert_eq!((taken, rest.is_lost()), (good + 1, true), "{body:?} cut at {cut}");
                assert!(!rest.is_over());
            }
        }
    }

    proptest! {
        /// However a head is cut into pieces, its end is found where it is.
        #[test]
        fn the_end_of_a_head_is_found_in_pieces(bytes in "[ab\r\n]{0,40}", cuts in prop::collection::vec(0_usize..41, 0..6)) {
            let bytes = bytes.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut searched = 0;
            let mut found = None;
            for cut in cuts {
                found = found.or_else(|| head_end(&bytes[..cut], searched));
                searched = cut;
            }
            // The first empty line that something stands before.
            let text = str::from_utf8(bytes).unwrap();
            let ends = [text.find("\n\n").map(|at| at + 2), text.find("\n\r\n").map(|at| at + 3)];
            prop_assert_eq!(found, ends.into_iter().flatten().min());
        }
    }
}
