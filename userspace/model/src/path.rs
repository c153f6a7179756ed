//! The form in which paths are compared: their plain reading. `l7/route/path` says what that is for.

/// The plain reading of a path: percent-encoding decoded (but for `%2F` and `%25`, which would change their meaning), runs
/// of slashes merged, `.` and `..` resolved (RFC 3986, section 5.2.4; at the root `..` stays there). What is not UTF-8
/// becomes U+FFFD. What this returns it leaves as it is.
pub fn plain(path: &str) -> String {
    normalised(&verbatim(path))
}

/// What of the plain reading is only decoding.
pub fn verbatim(path: &str) -> String {
    decoded(path, |byte| !matches!(byte, b'/' | b'%'))
}

/// With slashes merged and dot segments resolved.
pub fn normalised(path: &str) -> String {
    if !path.starts_with('/') {
        return path.into();
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let is_directory = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    let mut normalised = String::with_capacity(path.len());
    for segment in &kept {
        normalised.push('/');
        normalised.push_str(segment);
    }
    if is_directory || kept.is_empty() {
        normalised.push('/');
    }
    normalised
}

/// With those percent-encoded bytes decoded that `wanted` says; the others get upper-case digits.
pub fn decoded(path: &str, wanted: impl Fn(u8) -> bool) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let digits = (first == b'%').then(|| behind.split_first_chunk::<2>()).flatten();
        let value = digits.and_then(|([high, low], behind)| {
            let value = char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?;
            Some((u8::try_from(value).ok()?, behind))
        });
        match value {
            Some((byte, behind)) if wanted(byte) => {
                bytes.push(byte);
                rest = behind;
            }
            Some((byte, behind)) => {
                bytes.extend(format!("%{byte:02X}").into_bytes());
                rest = behind;
            }
            None => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
