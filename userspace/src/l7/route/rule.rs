//! Whether a request's headers and cookies are what a policy's rules want.

use http::HeaderMap;
use model::policy::{Rule, Subject, Test};

use crate::l7::cookies;

/// Whether they are what a rule wants. A header or cookie that is there several times needs one value that is right; an
/// inverted rule wants none that is. Bytes that are not UTF-8 count as U+FFFD.
pub(super) fn holds(rule: &Rule, headers: &HeaderMap) -> bool {
    let found = match &rule.subject {
        Subject::Header(name) => headers
            .get_all(name.as_str())
            .into_iter()
            .any(|value| is_right(&rule.test, &String::from_utf8_lossy(value.as_bytes()))),
        Subject::Cookie(name) => cookies::values(headers, name.as_str())
            .any(|value| is_right(&rule.test, &String::from_utf8_lossy(value))),
    };
    found != rule.invert
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
    fn each_test_on_headers_and_cookies() {
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
        ] {
            for invert in [false, true] {
                let rule = Rule { subject: subject.clone(), test: test.clone(), invert };
                assert_eq!(holds(&rule, &headers), expected != invert, "{rule:?}");
            }
        }
    }
}
