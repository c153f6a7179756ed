//! Bytes of clients as they may stand in a log: nginx's default escaping. What comes out is printable ASCII without
//! `"`, so it can neither end a quoted field nor a line.

use std::borrow::Cow;

/// Whether a byte stands for itself.
fn plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Appends `bytes` for a field in quotes.
pub(super) fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    escaped(out, bytes, plain);
}

/// Appends `bytes` for a field between spaces; an empty one is a hyphen.
pub(super) fn bare(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        out.push(b'-');
    }
    escaped(out, bytes, |byte| plain(byte) && byte != b' ');
}

/// The bytes as text, for a format that has its own escaping but wants text.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut out = Vec::with_capacity(bytes.len() * 2);
            quoted(&mut out, bytes);
            Cow::Owned(String::from_utf8_lossy(&out).into_owned())
        }
    }
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8], plain: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if plain(byte) {
            out.push(byte);
        } else {
            out.extend([b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}
