//! Cookies in requests and answers: only what routing and stickiness ask for.

use http::{HeaderMap, header};

/// The values of a request's cookies with this name, in order; quotes around a value are left off.
pub fn sent<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let fields = headers.get_all(header::COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(key, _)| key.trim() == name).map(|(_, value)| unquoted(value))
}

/// The value that an answer sets a cookie with this name to, the last if there are several; `None` too if it takes the
/// cookie away.
pub fn set<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::SET_COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    fields.rev().find_map(|field| set_by(field, name)).flatten()
}

/// What one field sets it to: `None` if it is about another cookie, `Some(None)` if it takes it away.
fn set_by<'a>(field: &'a str, name: &str) -> Option<Option<&'a str>> {
    let mut parts = field.split(';');
    let (key, value) = parts.next()?.split_once('=')?;
    if key.trim() != name {
        return None;
    }
    let value = unquoted(value);
    let is_over = parts.filter_map(|part| part.split_once('=')).any(|(key, seconds)| {
        key.trim().eq_ignore_ascii_case("max-age")
            && seconds.trim().parse().is_ok_and(|seconds: i64| seconds <= 0)
    });
    Some((!is_over && !value.is_empty()).then_some(value))
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: header::HeaderName, fields: &[&str]) -> HeaderMap {
        fields.iter().map(|field| (name.clone(), HeaderValue::from_str(field).unwrap())).collect()
    }

    #[test]
    fn of_requests() {
        let headers = headers(header::COOKIE, &["a=1; b=\"2\";c = 3 ;d=", "a=4=5; A=6; ; a"]);
        let values = |name| sent(&headers, name).collect::<Vec<_>>();
        assert_eq!(values("a"), ["1", "4=5"]);
        assert_eq!(values("b"), ["2"]);
        assert_eq!(values("c"), ["3"]);
        assert_eq!(values("d"), [""]);
        assert_eq!(values("e"), [""; 0]);
    }

    #[test]
    fn of_answers() {
        let cases: [(&[&str], Option<&str>); 9] = [
            (&["s=abc; Path=/; HttpOnly"], Some("abc")),
            (&["s=\"abc\""], Some("abc")),
            (&["t=abc", "S=abc", "s"], None),
            (&["s=1", "t=2", "s=3"], Some("3")),
            (&["s=abc; max-age=0"], None),
            (&["s=abc", "s=abc; Max-Age = -1"], None),
            (&["s=; Path=/"], None),
            (&["s=abc; Max-Age=60"], Some("abc")),
            (&[], None),
        ];
        for (fields, expected) in cases {
            assert_eq!(set(&headers(header::SET_COOKIE, fields), "s"), expected, "{fields:?}");
        }
    }
}
