//! Names as the records hold them.

/// Bytes of a name in a record, padded with zeros; what is longer is cut.
pub const NAME_LEN: usize = 64;

/// A name as the records hold it: as many of its characters as [`NAME_LEN`] bytes hold.
pub fn name_bytes(name: &str) -> [u8; NAME_LEN] {
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
    let length = ends.take_while(|&end| end <= NAME_LEN).last().unwrap_or(0);
    let mut bytes = [0; NAME_LEN];
    for (byte, from) in bytes.iter_mut().zip(name.bytes().take(length)) {
        *byte = from;
    }
    bytes
}

/// The name in a record, without its padding; empty if it is not UTF-8.
pub fn name_str(bytes: &[u8; NAME_LEN]) -> &str {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(NAME_LEN);
    bytes.get(..end).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
}
