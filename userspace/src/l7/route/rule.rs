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

    use super::*;
    use model::value::Pattern;

    #[test]
    fn each_test_on_headers_and_cookies() {
        let headers: HeaderMap =
            [("x-version", "2.1"), ("x-version", "beta"), ("cookie", "stage=canary; user=\"ann\"")]
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .into_iter()
                .collect();
        let header = || Subject::Header("x-version".into());
        let cookie = || Subject::Cookie("stage".into());
        let regex = |text| Test::Regex(Pattern::new(text).unwrap());
        for (subject, test, expected) in [
            (header(), Test::Present, true),
            (Subject::Header("x-other".into()), Test::Present, false),
            (header(), Test::Equals("2.1".into()), true),
            (header(), Test::Equals("beta".into()), true),
            (header(), Test::Equals("BETA".into()), false),
            (header(), Test::StartsWith("2.".into()), true),
            (header(), Test::StartsWith(".1".into()), false),
            (header(), Test::EndsWith(".1".into()), true),
            (header(), Test::EndsWith("2.".into()), false),
            (header(), Test::Contains("et".into()), true),
            (header(), Test::Contains("2beta".into()), false),
            (header(), regex(r"\d\.\d"), true),
            (header(), regex(r"\d"), false),
            (cookie(), Test::Equals("canary".into()), true),
            (cookie(), Test::Equals("canary; user".into()), false),
            (Subject::Cookie("user".into()), Test::Equals("ann".into()), true),
            (Subject::Cookie("Stage".into()), Test::Present, false),
            (Subject::Header(header::COOKIE.as_str().into()), Test::Contains("user".into()), true),
        ] {
            for invert in [false, true] {
                let rule = Rule { subject: subject.clone(), test: test.clone(), invert };
                assert_eq!(holds(&rule, &headers), expected != invert, "{rule:?}");
            }
        }
    }
}
