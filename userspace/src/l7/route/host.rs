//! Whom a request is for: the Host header or HTTP/2's `:authority`, as policies compare it.

use std::borrow::Cow;

use crate::l7::target;

/// The name in a Host header: in lower case, without port and without the dot at its end.
pub fn name(authority: &str) -> Cow<'_, str> {
    let name = target::host(authority.trim());
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// The domains above a name, the nearest first: `b.c` and `c` for `a.b.c`.
pub(super) fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.'), |(_, above)| above.split_once('.')).map(|(_, above)| above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (authority, expected) in [
            ("www.example.com", "www.example.com"),
            ("WWW.Example.COM:8443", "www.example.com"),
            ("www.example.com.", "www.example.com"),
            ("www.example.com.:80", "www.example.com"),
            (" example.com ", "example.com"),
            ("example.com:", "example.com"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(name(authority), expected, "{authority}");
        }
        assert_eq!(parents("a.b.c").collect::<Vec<_>>(), ["b.c", "c"]);
        assert_eq!(parents("c").count(), 0);
    }
}
