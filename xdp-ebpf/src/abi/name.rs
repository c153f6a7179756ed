//! Names as the records hold them.

/// Bytes of a name in a record, padded with zeros; a longer name is refused by the configuration.
pub const NAME_LEN: usize = 64;

/// A name as the records hold it. `None` if it is longer than [`NAME_LEN`].
pub fn name_bytes(name: &str) -> Option<[u8; NAME_LEN]> {
    let mut bytes = [0; NAME_LEN];
    bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    Some(bytes)
}

/// The name in a record, without its padding; empty if it is not UTF-8.
pub fn name_str(bytes: &[u8; NAME_LEN]) -> &str {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(NAME_LEN);
    bytes.get(..end).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
}
