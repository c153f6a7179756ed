//! A request's path in the forms in which it is compared.
//!
//! Servers read one path in different ways: `/a/%2e%2e/admin`, `//admin`, `/a/..%2Fadmin`, `/..;/admin` may all be
//! `/admin`, or not. Here a path has up to three readings:
//!
//! - **plain** ([`model::path::plain`]), by which policies choose: percent-encoding decoded, slashes merged, `.` and `..` resolved;
//! - **verbatim**: only decoded, as by a server that takes every slash and dot for part of a name;
//! - **loose**, by the most lenient server: everything decoded, `\` as `/`, what follows `;` in a segment cut off, a slash
//!   put in front if there is none, then as above.
//!
//! A request is rejected if that is what the policies say about any of them: a rejection cannot be got round by spelling.
//! The member gets the path as it came. The query (from `?`) and a fragment (from `#`) are not part of it.

use std::borrow::Cow;

use model::path::{decoded, normalised, verbatim};

/// The readings of one path.
pub(super) struct Readings<'a> {
    plain: Cow<'a, str>,
    /// Verbatim and loose, those that differ from the plain one.
    others: Vec<String>,
}

impl<'a> Readings<'a> {
    /// Reads a request's target, in origin form (`/path?query`) or absolute form; without a path it means `/`.
    pub(super) fn new(target: &'a str) -> Self {
        let target = origin(target);
        let end = target.find(['?', '#']).unwrap_or(target.len());
        let raw = match target.get(..end) {
            None | Some("") => "/",
            Some(path) => path,
        };
        if !is_spelled_oddly(raw) {
            return Self { plain: raw.into(), others: Vec::new() };
        }
        let verbatim = verbatim(raw);
        let plain = normalised(&verbatim);
        let mut others = vec![verbatim, normalised(&loosened(raw))];
        others.retain(|other| *other != plain);
        Self { plain: plain.into(), others }
    }

    /// The one that chooses.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }

    /// What others might take it for.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(String::as_str)
    }
}

/// What is behind the authority of a target in absolute form (`http://host/path?query`).
pub(super) fn origin(target: &str) -> &str {
    let Some((scheme, rest)) = target.split_once("://") else { return target };
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    {
        return target;
    }
    rest.find(['/', '?', '#']).and_then(|end| rest.get(end..)).unwrap_or("")
}

/// Whether its readings could differ.
fn is_spelled_oddly(path: &str) -> bool {
    !path.starts_with('/')
        || path.bytes().any(|byte| matches!(byte, b'%' | b'\\' | b';'))
        || path.contains("//")
        || path.contains("/.")
}

fn loosened(path: &str) -> String {
    let path = decoded(path, |_| true).replace('\\', "/");
    let segments: Vec<&str> =
        path.split('/').map(|segment| segment.split_once(';').map_or(segment, |(name, _)| name)).collect();
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{slash}{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use model::path::plain;

    fn readings(target: &str) -> (String, Vec<String>) {
        let readings = Readings::new(target);
        (readings.plain().into(), readings.others().map(Into::into).collect())
    }

    #[test]
    fn known_readings() {
        let cases: [(&str, &str, &[&str]); 28] = [
            ("/a/b?c=/../d", "/a/b", &[]),
            ("/a#b", "/a", &[]),
            ("", "/", &[]),
            ("?a", "/", &[]),
            ("*", "*", &["/*"]),
            ("a/b", "a/b", &["/a/b"]),
            ("\\a", "\\a", &["/a"]),
            ("http://host/a?b", "/a", &[]),
            ("HTTPS://user@host:1", "/", &[]),
            ("http://host?b=/c", "/", &[]),
            ("/a?b=http://host/c", "/a", &[]),
            ("/a/http://host/c", "/a/http:/host/c", &["/a/http://host/c"]),
            ("/", "/", &[]),
            ("/a/", "/a/", &[]),
            ("//a///b", "/a/b", &["//a///b"]),
            ("/./a/./b/.", "/a/b/", &["/./a/./b/."]),
            ("/x/../a", "/a", &["/x/../a"]),
            ("/../../a", "/a", &["/../../a"]),
            ("/x/..", "/", &["/x/.."]),
            ("/x/%2e%2E/a", "/a", &["/x/../a"]),
            ("/%61%2dé%c3%a9", "/a-éé", &[]),
            ("/x%2f..%2fa", "/x%2F..%2Fa", &["/a"]),
            ("/%252e%252e/a", "/%252e%252e/a", &["/%2e%2e/a"]),
            ("/x\\..\\a", "/x\\..\\a", &["/a"]),
            ("/..;y/a;b/c", "/..;y/a;b/c", &["/a/c"]),
            ("/%ff%zz%4", "/\u{fffd}%zz%4", &[]),
            ("/.well-known/a..b/...", "/.well-known/a..b/...", &[]),
            ("/a%3Fb%00", "/a?b\0", &[]),
        ];
        for (target, plain, others) in cases {
            let others = others.iter().map(|&other| other.to_owned()).collect();
            assert_eq!(readings(target), (plain.to_owned(), others), "{target}");
        }
    }

    proptest! {
        #[test]
        fn the_plain_reading_is_plain(path in "/(\\.|/|%2e|%2E|%2f|%25|%c3|%a9|;|\\\\|[a-b%]|\\PC){0,12}") {
            let once = plain(&path);
            prop_assert!(once.starts_with('/') && !once.contains("//"), "{once:?}");
            prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")), "{once:?}");
            prop_assert_eq!(plain(&once), once);
        }

        /// The quick way out must not hide a difference.
        #[test]
        fn what_is_not_odd_reads_the_same(path in "/([./;a%\\\\]|%2f){0,6}") {
            if !is_spelled_oddly(&path) {
                prop_assert_eq!(&plain(&path), &path);
                prop_assert_eq!(&normalised(&loosened(&path)), &path);
            }
        }
    }
}
