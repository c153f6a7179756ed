//! Cookies in requests and answers: only what routing and stickiness ask for. Bytes that are not ASCII are taken as they
//! are: one in a cookie hides none of the others.

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use pingora::{Result, http::RequestHeader};

/// The values of a request's cookies with this name, in order; quotes around a value are left off.
pub fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let fields = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    let pairs = fields.flat_map(parts).filter_map(pair);
    pairs.filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| unquoted(value))
}

/// Those that are UTF-8, as are all that a client could stay with its member by.
pub fn sent<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    values(headers, name).filter_map(|value| str::from_utf8(value).ok())
}

/// The value that an answer sets a cookie with this name to, the last if there are several; `None` too if it takes the
/// cookie away, or it is not UTF-8.
pub fn set<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut fields = headers.get_all(SET_COOKIE).into_iter().rev();
    let value = fields.find_map(|field| set_by(field.as_bytes(), name)).flatten()?;
    str::from_utf8(value).ok()
}

/// Makes one field of a request's several, of which HTTP/2 may have one for each cookie: other versions know only one
/// (RFC 9113 section 8.2.3).
///
/// # Errors
/// None that is known: what stood in fields can stand in one.
pub fn join(request: &mut RequestHeader) -> Result<()> {
    let fields: Vec<_> = request.headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if fields.len() < 2 {
        return Ok(());
    }
    let joined = fields.join(&b"; "[..]);
    request.insert_header(COOKIE, joined)
}

/// What one field sets it to: `None` if it is about another cookie, `Some(None)` if it takes it away.
fn set_by<'a>(field: &'a [u8], name: &str) -> Option<Option<&'a [u8]>> {
    let mut parts = parts(field);
    let (key, value) = pair(parts.next()?)?;
    if key != name.as_bytes() {
        return None;
    }
    let value = unquoted(value);
    let is_over = parts.filter_map(pair).any(|(key, seconds)| {
        let seconds = str::from_utf8(seconds).ok().and_then(|seconds| seconds.parse::<i64>().ok());
        key.eq_ignore_ascii_case(b"max-age") && seconds.is_some_and(|seconds| seconds <= 0)
    });
    Some((!is_over && !value.is_empty()).then_some(value))
}

fn parts(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|&byte| byte == b';')
}

/// What stands before and behind the first `=`, without space around it.
fn pair(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = part.iter().position(|&byte| byte == b'=')?;
    Some((part[..at].trim_ascii(), part[at + 1..].trim_ascii()))
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(name: HeaderName, fields: &[&[u8]]) -> HeaderMap {
        fields.iter().map(|field| (name.clone(), HeaderValue::from_bytes(field).unwrap())).collect()
    }

    #[test]
    fn of_requests() {
        let headers =
            headers(COOKIE, &[b"a=1; b=\"2\";c = 3 ;d=", b"a=4=5; A=6; ; a; f=\xe9", b"f=7;g=\xc3\xa9"]);
        let values = |name| sent(&headers, name).collect::<Vec<_>>();
        assert_eq!(values("a"), ["1", "4=5"]);
        assert_eq!(values("b"), ["2"]);
        assert_eq!(values("c"), ["3"]);
        assert_eq!(values("d"), [""]);
        assert_eq!(values("e"), [""; 0]);
        assert_eq!(values("f"), ["7"]);
        assert_eq!(values("g"), ["é"]);
        assert_eq!(super::values(&headers, "f").collect::<Vec<_>>(), [&b"\xe9"[..], b"7"]);
    }

    #[test]
    fn of_answers() {
        let cases: [(&[&[u8]], Option<&str>); 11] = [
            (&[b"s=abc; Path=/; HttpOnly"], Some("abc")),
            (&[b"s=\"abc\""], Some("abc")),
            (&[b"t=abc", b"S=abc", b"s"], None),
            (&[b"s=1", b"t=2", b"s=3"], Some("3")),
            (&[b"s=abc; max-age=0"], None),
            (&[b"s=abc", b"s=abc; Max-Age = -1"], None),
            (&[b"s=; Path=/"], None),
            (&[b"s=abc; Max-Age=60"], Some("abc")),
            (&[b"s=abc; Comment=\xe9; Max-Age=60", b"t=\xe9"], Some("abc")),
            (&[b"s=\xe9"], None),
            (&[], None),
        ];
        for (fields, expected) in cases {
            assert_eq!(set(&headers(SET_COOKIE, fields), "s"), expected, "{fields:?}");
        }
    }
}
