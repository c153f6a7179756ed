//! How far a request goes behind its head, so that what comes behind it is known to be the next one's.

/// What is still to come of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// So many bytes.
    Bytes(u64),
    /// A body in chunks.
    Chunks(Chunks),
    /// Nobody knows: it may turn into a tunnel.
    Unknown,
}

impl Rest {
    /// How many of these bytes, which come next, belong to it. They count as come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Bytes(left) => take(left, bytes.len()),
            Self::Chunks(chunks) => chunks.take(bytes),
            Self::Unknown => bytes.len(),
        }
    }

    /// Whether all of it has come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunks(Chunks::End))
    }
}

/// Where in a body in chunks (RFC 9112, section 7.1) the next byte is. What is no such body has no end here; Pingora,
/// which gets all of it, refuses it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a chunk's size; so far it is this, if there was a digit.
    Size(Option<u64>),
    /// Behind the size, in the same line.
    Extension(u64),
    /// In a chunk: so many bytes are left, the end of its line included.
    Data(u64),
    /// In a line of the trailer; whether it is empty so far.
    Trailer(bool),
    /// Behind it.
    End,
    /// This is no such body.
    Lost,
}

impl Chunks {
    /// At a body's first byte.
    pub(super) fn new() -> Self {
        Self::Size(None)
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(&byte) = bytes.get(taken) {
            *self = match self {
                Self::End => break,
                Self::Data(left) => {
                    taken += take(left, bytes.len() - taken);
                    if *left == 0 {
                        *self = Self::new();
                    }
                    continue;
                }
                Self::Size(size) => in_size(*size, byte),
                Self::Extension(size) if byte == b'\n' => behind_size(*size),
                Self::Extension(size) => Self::Extension(*size),
                Self::Trailer(true) if byte == b'\n' => Self::End,
                Self::Trailer(is_empty) => Self::Trailer(byte == b'\n' || (*is_empty && byte == b'\r')),
                Self::Lost => return bytes.len(),
            };
            taken += 1;
        }
        taken
    }
}

fn in_size(size: Option<u64>, byte: u8) -> Chunks {
    let digit = char::from(byte).to_digit(16);
    match (size, digit, byte) {
        (size, Some(digit), _) => {
            let larger = size.unwrap_or(0).checked_mul(16).and_then(|size| size.checked_add(digit.into()));
            larger.map_or(Chunks::Lost, |size| Chunks::Size(Some(size)))
        }
        (Some(size), _, b'\n') => behind_size(size),
        (Some(size), _, b';' | b' ' | b'\t' | b'\r') => Chunks::Extension(size),
        _ => Chunks::Lost,
    }
}

/// The last chunk is the one without data.
fn behind_size(size: u64) -> Chunks {
    match size {
        0 => Chunks::Trailer(true),
        size => Chunks::Data(size.saturating_add(2)),
    }
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
            chunks in prop::collection::vec(("[0-9a-f;\r\n]{1,40}", prop::option::of("[a-z=\"]{0,9}")), 0..5),
            trailer in prop::collection::vec("[A-Za-z]{1,9}: [a-z0]{0,9}", 0..3),
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
            for cut in cuts.iter().cycle() {
                let (part, others) = bytes.split_at((*cut).min(bytes.len()));
                let own = rest.take(part);
                taken += own;
                prop_assert_eq!(rest.is_over(), taken == body.len());
                if own < part.len() || others.is_empty() {
                    break;
                }
                bytes = others;
            }
            prop_assert_eq!(taken, body.len());
        }
    }

    #[test]
    fn what_is_no_body_in_chunks_has_no_end() {
        for body in ["\r\n0\r\n\r\n", "x\r\n", "-1\r\n\r\n", "11111111111111111\r\n", "5 hello"] {
            let mut rest = Rest::Chunks(Chunks::new());
            assert_eq!(rest.take(body.as_bytes()), body.len(), "{body:?}");
            assert!(!rest.is_over());
        }
    }
}
