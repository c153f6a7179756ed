//! Which of many regular expressions match a path, in their order.
//!
//! An expression is only tried on paths that have the longest text in them that it names, such as `/item5/` of
//! `/.*/item5/.*`: one walk over the path finds the texts of all. A set of expressions would be one walk, too, but through
//! states that are made as paths need them, and a client can write paths of which each character needs a new one.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, BuildError};
use regex_syntax::hir::{Class, Hir, HirKind};

use model::value::Pattern;

/// Values by regular expression.
pub(super) struct Regexes<T> {
    all: Vec<(Pattern, T)>,
    texts: AhoCorasick,
    /// Which expressions name each text.
    naming: Vec<Vec<usize>>,
    /// Those that name none, to be tried on every path.
    nameless: Vec<usize>,
}

impl<T> Regexes<T> {
    /// Of expressions in their order.
    ///
    /// # Errors
    /// They name too much text.
    pub(super) fn new(values: impl IntoIterator<Item = (Pattern, T)>) -> Result<Self, BuildError> {
        let all: Vec<_> = values.into_iter().collect();
        let (mut texts, mut nameless) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        for (number, (pattern, _)) in all.iter().enumerate() {
            match text(pattern) {
                Some(text) => texts.entry(text).or_default().push(number),
                None => nameless.push(number),
            }
        }
        let naming = texts.values().cloned().collect();
        let texts = AhoCorasick::builder().ascii_case_insensitive(true).build(texts.into_keys())?;
        Ok(Self { all, texts, naming, nameless })
    }

    /// The values of all that match a path, each tried when it is asked for.
    pub(super) fn of(&self, path: &str) -> impl Iterator<Item = &T> {
        self.candidates(path)
            .into_iter()
            .filter_map(|number| self.all.get(number))
            .filter(move |(pattern, _)| pattern.matches(path))
            .map(|(_, value)| value)
    }

    /// The numbers of those that could match it.
    fn candidates(&self, path: &str) -> Vec<usize> {
        let mut found = BTreeSet::new();
        self.texts.find_overlapping_iter(path).for_each(|text| _ = found.insert(text.pattern().as_usize()));
        let naming = found.into_iter().filter_map(|text| self.naming.get(text)).flatten();
        let mut numbers: Vec<_> = naming.chain(&self.nameless).copied().collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The longest text that is in everything that an expression matches, in lower case: under `(?i)` it may have any.
fn text(pattern: &Pattern) -> Option<Vec<u8>> {
    let text = longest(&regex_syntax::parse(pattern.text()).ok()?);
    (!text.is_empty()).then_some(text)
}

fn longest(hir: &Hir) -> Vec<u8> {
    match hir.kind() {
        HirKind::Capture(group) => longest(&group.sub),
        HirKind::Repetition(part) if part.min > 0 => longest(&part.sub),
        HirKind::Concat(parts) => {
            let runs = parts.chunk_by(|one, next| fixed(one).is_some() && fixed(next).is_some());
            let texts = runs.map(|run| match run {
                [part] => longest(part),
                run => run.iter().filter_map(fixed).flatten().collect(),
            });
            texts.max_by_key(Vec::len).unwrap_or_default()
        }
        _ => fixed(hir).unwrap_or_default(),
    }
}

/// A part of an expression that matches one text only, but for its case.
fn fixed(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(text) => Some(text.0.to_ascii_lowercase()),
        HirKind::Class(Class::Unicode(class)) => match class.ranges() {
            [upper, lower] if upper.len() == 1 && lower.len() == 1 => {
                let letter = u8::try_from(lower.start()).ok().filter(u8::is_ascii_lowercase)?;
                (upper.start() == char::from(letter.to_ascii_uppercase())).then(|| vec![letter])
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*, sample};

    use super::*;

    const EACH: [&str; 14] = [
        "/.*",
        "[aA]b",
        "(?i).*B/[a]",
        "/a+",
        "/[ab]/.*",
        ".*b",
        "/a|/b",
        "/(a/?)*",
        "(ab){2}/?",
        "(?i)/AB.*",
        ".*é.*",
        "(/a)?/b+",
        "/.*/a/b.*",
        "a*",
    ];

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn what_expressions_name() {
        for (expression, expected) in [
            ("/.*/item5/.*", Some("/item5/")),
            (r"/svc7/v[0-9]+/.*\.(png|jpg)", Some("/svc7/v")),
            ("/(?:shop|store)/cart", Some("/cart")),
            ("(/cart)+", Some("/cart")),
            ("(/cart)*", None),
            ("/cart|/shop", None),
            ("(?i)/Item5/.*", Some("/item5/")),
            // Of s and k there are more than two cases.
            ("(?i)/Shop/.*", Some("hop/")),
            ("(?i)/[a-z][Ab][ÄäB-Cb-c]", Some("/")),
            ("[xX][0-9][Xx][y-z]", Some("x")),
            ("[^/]*", None),
        ] {
            let expected = expected.map(|text| text.as_bytes().to_vec());
            assert_eq!(text(&pattern(expression)), expected, "{expression}");
        }
    }

    /// However many there are, and whatever a path is like that they do not name.
    #[test]
    fn only_those_are_tried_whose_text_is_there() {
        let expressions = (0..100).map(|n| match n % 2 {
            0 => format!("/.*/item{n}/.*"),
            _ => format!(r"/svc{n}/v[0-9]+/.*\.(png|jpg)"),
        });
        let regexes = Regexes::new(expressions.enumerate().map(|(n, text)| (pattern(&text), n))).unwrap();
        for (path, expected) in [
            ("/a/item76/b", vec![76]),
            ("/svc77/v1/a.png", vec![77]),
            ("/svc77/v1/a.gif/item76/", vec![76, 77]),
            ("/a/item77/svc76/v1/", vec![]),
            ("/a/item/svc/v/item76", vec![]),
        ] {
            assert_eq!(regexes.candidates(path), expected, "{path}");
        }
        assert_eq!(regexes.of("/svc77/v1/item76/a.gif/item76/").collect::<Vec<_>>(), [&76]);
    }

    proptest! {
        #[test]
        fn finds_what_trying_each_one_finds(
            expressions in collection::vec(sample::select(&EACH[..]), 0..20),
            path in "[abAé/]{0,7}",
        ) {
            let regexes = Regexes::new(expressions.iter().map(|text| pattern(text)).zip(0..)).unwrap();
            let matching = (0..).zip(&expressions).filter(|(_, text)| pattern(text).matches(&path));
            let expected: Vec<i32> = matching.map(|(number, _)| number).collect();
            prop_assert_eq!(regexes.of(&path).copied().collect::<Vec<_>>(), expected);
        }
    }
}
