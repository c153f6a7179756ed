//! What may not stand in a trailer of HTTP/2 (RFC 9113, section 8.1; RFC 9110, section 6.5.1), as far as its block shows it: h2 takes
//! it, and Pingora drops the whole trailer unseen. Names that earlier blocks have put into the dynamic table (RFC 7541) are
//! not known here.

/// Whether a block has a pseudo-field, or one that says whom a request is for or how far it goes.
pub(super) fn is_forbidden(mut block: &[u8]) -> bool {
    while !block.is_empty() {
        match field(&mut block) {
            Some(false) => {}
            Some(true) => return true,
            // h2 will say so.
            None => return false,
        }
    }
    false
}

/// Whether the next field is one of these; none if it is not whole.
fn field(block: &mut &[u8]) -> Option<bool> {
    let (prefix, has_value) = match block.first()? {
        0x80.. => (7, false),
        0x40.. => (6, true),
        0x20.. => {
            integer(block, 5)?;
            return Some(false);
        }
        _ => (4, true),
    };
    let index = integer(block, prefix)?;
    // Of the static table: pseudo-fields, content-length, host, transfer-encoding.
    let mut is_forbidden = matches!(index, 1..=14 | 28 | 38 | 57);
    if has_value {
        if index == 0 {
            let (is_huffman, name) = string(block)?;
            is_forbidden = match is_huffman {
                // A colon is 1011100.
                true => name.first().is_some_and(|first| first & 0xfe == 0xb8),
                false => {
                    name.starts_with(b":")
                        || [&b"content-length"[..], b"host", b"transfer-encoding"].contains(&name)
                }
            };
        }
        string(block)?;
    }
    Some(is_forbidden)
}

/// RFC 7541, section 5.1.
fn integer(block: &mut &[u8], prefix: u32) -> Option<usize> {
    let (&first, rest) = block.split_first()?;
    *block = rest;
    let most = (1_usize << prefix) - 1;
    let mut number = usize::from(first) & most;
    if number < most {
        return Some(number);
    }
    for shift in (0..28).step_by(7) {
        let (&next, rest) = block.split_first()?;
        *block = rest;
        number += usize::from(next & 0x7f) << shift;
        if next & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// RFC 7541, section 5.2: whether it is in Huffman's code, and its bytes.
fn string<'b>(block: &mut &'b [u8]) -> Option<(bool, &'b [u8])> {
    let is_huffman = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (string, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((is_huffman, string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_fields_are_seen_however_they_are_written() {
        for (block, expected) in [
            (&b""[..], false),
            (b"\x00\x06x-test\x02ok", false),
            (b"\x40\x06x-test\x02ok\x00\x05:path\x01/", true),
            (b"\x00\x85\xb9\x49\x53\x39\xe4\x01/", true),
            (b"\x00\x85\x49\x50\x9f\x39\xe4\x01/", false),
            (b"\x84", true),
            (b"\x04\x01/", true),
            (b"\x44\x01/", true),
            (b"\x0f\x0d\x015", true),
            (b"\x0f\x0c\x015", false),
            (b"\x66\x01a", true),
            (b"\x00\x04host\x01a", true),
            (b"\x00\x0econtent-length\x015", true),
            (b"\x3f\x61\x00\x01a\x01b", false),
            (b"\xbe", false),
            (b"\x00\x05:pat", false),
            (b"\x7f\xff\xff\xff\xff\xff\x01a", false),
        ] {
            assert_eq!(is_forbidden(block), expected, "{}", block.escape_ascii());
        }
    }
}
