//! Whether a request is what a policy's rules want.

use http::HeaderMap;
use model::policy::{Rule, Subject, Test};

use crate::l7::cookies;

/// A request as one of its path's readings has it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The host that it is for, without case and port.
    pub(super) host: &'a str,
    /// What it asks for.
    pub(super) path: &'a str,
    /// Its headers.
    pub(super) headers: &'a HeaderMap,
}

/// Whether it is what a rule wants. A header or cookie that is there several times needs one value that is right; an
/// inverted rule wants none that is. Bytes that are not UTF-8 count as U+FFFD.
pub(super) fn holds(rule: &Rule, asked: Asked<'_>) -> bool {
    let found = match &rule.subject {
        Subject::Header(name) => asked
            .headers
            .get_all(name.as_str())
            .into_iter()
            .any(|value| is_right(&rule.test, &String::from_utf8_lossy(value.as_bytes()))),
        Subject::Cookie(name) => cookies::values(asked.headers, name.as_str())
            .any(|value| is_right(&rule.test, &String::from_utf8_lossy(value))),
        Subject::Host => is_right(&rule.test, asked.host),
        Subject::Path => is_right(&rule.test, asked.path),
        Subject::FileType => file_type(asked.path).is_some_and(|kind| is_right(&rule.test, kind)),
    };
    found != rule.invert
}

/// What is behind the last dot of a path's last segment.
fn file_type(path: &str) -> Option<&str> {
    let (_, kind) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(kind)
}

fn is_right(test: &Test, value: &str) -> bool {
    match test {
        Test::Present => true,
        Test::Equals(wanted) => value == wanted.as_str(),
        Test::StartsWith(wanted) => value.starts_with(wanted.as_str()),
        Test::EndsWith(wanted) => value.ends_with(wanted.as_str()),
        Test::Contains(wanted) => value.contains(wanted.as_str()),
        Test::Regex(pattern) => pattern.matches(value),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, header};
    use model::{
        policy::TestValue,
        value::{Pattern, Token},
    };

    use super::*;

    #[test]
    fn file_types() {
        for (path, expected) in
            [("/a/b.png", Some("png")), ("/a.b/c", None), ("/.x", Some("x")), ("/a.", Some("")), ("/", None)]
        {
            assert_eq!(file_type(path), expected, "{path}");
        }
    }

    #[test]
    fn each_test_on_each_part_of_a_request() {
        let headers: HeaderMap =
            [("x-version", "2.1"), ("x-version", "beta"), ("cookie", "stage=canary; user=\"ann\"")]
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .into_iter()
                .collect();
        let header_of = |name| Subject::Header(Token::new(name).unwrap());
        let cookie_of = |name| Subject::Cookie(Token::new(name).unwrap());
        let (header, cookie) = (|| header_of("x-version"), || cookie_of("stage"));
        let value = |text| TestValue::new(text, 1).unwrap();
        let regex = |text| Test::Regex(Pattern::new(text).unwrap());
        for (subject, test, expected) in [
            (header(), Test::Present, true),
            (header_of("x-other"), Test::Present, false),
            (header(), Test::Equals(value("2.1")), true),
            (header(), Test::Equals(value("beta")), true),
            (header(), Test::Equals(value("BETA")), false),
            (header(), Test::StartsWith(value("2.")), true),
            (header(), Test::StartsWith(value(".1")), false),
            (header(), Test::EndsWith(value(".1")), true),
            (header(), Test::EndsWith(value("2.")), false),
            (header(), Test::Contains(value("et")), true),
            (header(), Test::Contains(value("2beta")), false),
            (header(), regex(r"\d\.\d"), true),
            (header(), regex(r"\d"), false),
            (cookie(), Test::Equals(value("canary")), true),
            (cookie(), Test::Equals(value("canary; user")), false),
            (cookie_of("user"), Test::Equals(value("ann")), true),
            (cookie_of("Stage"), Test::Present, false),
            (header_of(header::COOKIE.as_str()), Test::Contains(value("user")), true),
            (Subject::Host, Test::EndsWith(value(".example.com")), true),
            (Subject::Host, Test::Equals(value("example.com")), false),
            (Subject::Path, Test::StartsWith(value("/a.b/")), true),
            (Subject::Path, Test::Contains(value("y.tar")), true),
            (Subject::Path, Test::Regex(Pattern::within(r"r\.g").unwrap()), true),
            (Subject::Path, Test::Regex(Pattern::within(r"^r\.g").unwrap()), false),
            (Subject::FileType, Test::Equals(value("gz")), true),
            (Subject::FileType, Test::Equals(value("tar.gz")), false),
            (Subject::FileType, regex("[a-z]{2}"), true),
        ] {
            for invert in [false, true] {
                let rule = Rule { subject: subject.clone(), test: test.clone(), invert };
                let asked = Asked { host: "www.example.com", path: "/a.b/any.tar.gz", headers: &headers };
                assert_eq!(holds(&rule, asked), expected != invert, "{rule:?}");
            }
        }
    }
}
