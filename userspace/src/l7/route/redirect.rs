//! Where exactly a client is sent.

use std::borrow::Cow;

use http::HeaderValue;
use model::served::{Redirect, RedirectTo};
use percent_encoding::{AsciiSet, percent_encode};

use crate::l7::target;

/// The port that `https` means when none is said.
const HTTPS_PORT: u16 = 443;

/// The `Location` header for a request for this path and query of this host, which may be empty or have a port; `None` if
/// one of them could not stand in it: answer 400.
pub fn location(redirect: &Redirect, host: &str, path: &[u8]) -> Option<HeaderValue> {
    let url = match &redirect.to {
        RedirectTo::Url(url) => url.as_str().into(),
        RedirectTo::Prefix(prefix) => format!("{}{}", prefix.as_str(), rest(path)?),
        RedirectTo::Listener(port) => {
            let host = name(host)?;
            let rest = rest(path)?;
            if port.get() == HTTPS_PORT {
                format!("https://{host}{rest}")
            } else {
                format!("https://{host}:{port}{rest}")
            }
        }
    };
    HeaderValue::from_str(&url).ok()
}

/// Path and query as they came, except that bytes which a client should have encoded are.
fn rest(path: &[u8]) -> Option<Cow<'_, str>> {
    match path {
        b"" | b"*" => Some("/".into()),
        [b'/', ..] => Some(percent_encode(path, &AsciiSet::EMPTY).into()),
        _ => None,
    }
}

/// The host without its port. It becomes part of a URL, so only what a host name or address may have.
fn name(authority: &str) -> Option<&str> {
    let name = target::host(authority);
    let is_ipv6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).is_some_and(|address| {
        !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
    });
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    (is_ipv6 || is_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use model::{
        policy::RedirectStatus,
        value::{Port, Url, UrlPrefix},
    };

    use super::*;

    fn sent_to(to: RedirectTo, host: &str, path: &[u8]) -> Option<String> {
        location(&Redirect { status: RedirectStatus::default(), to }, host, path)
            .map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_url_is_a_url() {
        let url = || RedirectTo::Url(Url::new("https://www.example.com/new?x=1").unwrap());
        assert_eq!(sent_to(url(), "a", b"/old?y=2").as_deref(), Some("https://www.example.com/new?x=1"));
    }

    #[test]
    fn a_prefix_gets_path_and_query() {
        let prefix = || RedirectTo::Prefix(UrlPrefix::new("https://www.example.com/v2").unwrap());
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"/a/%2e?b=c", Some("https://www.example.com/v2/a/%2e?b=c")),
            (b"//evil.example/", Some("https://www.example.com/v2//evil.example/")),
            (b"", Some("https://www.example.com/v2/")),
            (b"*", Some("https://www.example.com/v2/")),
            (b".evil.example/", None),
            ("/ä?\u{20ac}".as_bytes(), Some("https://www.example.com/v2/%C3%A4?%E2%82%AC")),
            (b"/\xe9|\"<\x7e", Some("https://www.example.com/v2/%E9|\"<~")),
            (b"/a\r\nx: y", None),
        ];
        for (path, expected) in cases {
            assert_eq!(sent_to(prefix(), "a", path).as_deref(), expected, "{path:?}");
        }
    }

    #[test]
    fn a_listener_keeps_the_host() {
        let listener = |port| RedirectTo::Listener(Port::literal(port));
        for (host, port, expected) in [
            ("www.example.com", 443, Some("https://www.example.com/a?b")),
            ("www.example.com:80", 443, Some("https://www.example.com/a?b")),
            ("WWW.example.com:8080", 8443, Some("https://WWW.example.com:8443/a?b")),
            ("192.0.2.1:80", 443, Some("https://192.0.2.1/a?b")),
            ("[2001:db8::1]:80", 8443, Some("https://[2001:db8::1]:8443/a?b")),
            ("[2001:db8::1]", 443, Some("https://[2001:db8::1]/a?b")),
            ("", 443, None),
            (":80", 443, None),
            ("user@www.example.com", 443, None),
            ("evil.example/x", 443, None),
            ("evil.example?x", 443, None),
            ("a b", 443, None),
        ] {
            assert_eq!(sent_to(listener(port), host, b"/a?b").as_deref(), expected, "{host:?}");
        }
    }
}
