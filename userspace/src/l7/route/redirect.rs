//! Where exactly a client is sent.

use http::HeaderValue;

use super::{Head, path};
use crate::model::policy::{Redirect, RedirectTo};

/// The port that `https` means when none is said.
const HTTPS_PORT: u16 = 443;

/// The `Location` header for a request; `None` if the request names no host that could stand in one, or its target
/// could not: answer 400.
pub fn location(redirect: &Redirect, head: &Head<'_>) -> Option<HeaderValue> {
    let url = match &redirect.to {
        RedirectTo::Url(url) => url.clone(),
        RedirectTo::Prefix(prefix) => format!("{prefix}{}", rest(head.target)?),
        RedirectTo::Listener { port, .. } => {
            let host = host(head.host)?;
            let rest = rest(head.target)?;
            if *port == HTTPS_PORT {
                format!("https://{host}{rest}")
            } else {
                format!("https://{host}:{port}{rest}")
            }
        }
    };
    HeaderValue::from_str(&url).ok()
}

/// Path and query as they came.
fn rest(target: &str) -> Option<&str> {
    match path::origin(target) {
        "" | "*" => Some("/"),
        path if path.starts_with('/') => Some(path),
        _ => None,
    }
}

/// The host without its port. It becomes part of a URL, so only what a host name or address may have.
fn host(authority: &str) -> Option<&str> {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let is_ipv6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).is_some_and(|address| {
        !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
    });
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    (is_ipv6 || is_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn sent_to(to: RedirectTo, host: &str, target: &str) -> Option<String> {
        let headers = HeaderMap::new();
        let head = Head { host, target, headers: &headers };
        location(&Redirect { status: 301, to }, &head).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_url_is_a_url() {
        let url = || RedirectTo::Url("https://www.example.com/new?x=1".into());
        assert_eq!(sent_to(url(), "a", "/old?y=2").as_deref(), Some("https://www.example.com/new?x=1"));
    }

    #[test]
    fn a_prefix_gets_path_and_query() {
        let prefix = || RedirectTo::Prefix("https://www.example.com/v2".into());
        for (target, expected) in [
            ("/a/%2e?b=c", Some("https://www.example.com/v2/a/%2e?b=c")),
            ("//evil.example/", Some("https://www.example.com/v2//evil.example/")),
            ("", Some("https://www.example.com/v2/")),
            ("*", Some("https://www.example.com/v2/")),
            (".evil.example/", None),
            ("http://host/a?b", Some("https://www.example.com/v2/a?b")),
            ("/a\r\nx: y", None),
        ] {
            assert_eq!(sent_to(prefix(), "a", target).as_deref(), expected, "{target:?}");
        }
    }

    #[test]
    fn a_listener_keeps_the_host() {
        let listener = |port| RedirectTo::Listener { name: "tls".into(), port };
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
            assert_eq!(sent_to(listener(port), host, "/a?b").as_deref(), expected, "{host:?}");
        }
    }
}
