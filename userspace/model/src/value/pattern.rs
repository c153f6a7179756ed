//! Regular expressions.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use regex::{Regex, RegexBuilder};

use crate::invalid::Invalid;

/// A regular expression that a text has to match, usually from its first character to its last; a dot stands for any
/// character.
/// It takes time in proportion to the text's length, whatever the expression, and its program is limited in size.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// The most bytes that the program of one may have.
    const MAX_PROGRAM: usize = 1 << 20;
    /// The most bytes of its text.
    const MAX_TEXT: usize = 1024;

    /// Checks and compiles one.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        Self::checked(text)?;
        Self::compiled(text, &anchored(text))
    }

    /// One that has to match only some part of a text. `^` and `$` stand for its beginning and end.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn within(text: &str) -> Result<Self, Invalid> {
        Self::checked(text)?;
        Self::compiled(text, text)
    }

    fn checked(text: &str) -> Result<(), Invalid> {
        if text.is_empty() || text.len() > Self::MAX_TEXT {
            let reason = format!("{text:?} has {} bytes", text.len());
            return Err(Invalid::new(reason, format!("use 1 to {}", Self::MAX_TEXT)));
        }
        // Alone first: "a)|(b" would only be one inside of the group that anchors it.
        for tried in [text, &anchored(text)] {
            if let Err(error) = regex_syntax::parse(tried) {
                return Err(Invalid::new(
                    format!("{text:?} is not a regular expression: {}", cause(&error)),
                    "use the syntax of https://docs.rs/regex",
                ));
            }
        }
        Ok(())
    }

    /// The pattern that `text` writes and `whole` is.
    fn compiled(text: &str, whole: &str) -> Result<Self, Invalid> {
        let regex = RegexBuilder::new(whole)
            .dot_matches_new_line(true)
            .size_limit(Self::MAX_PROGRAM)
            .build()
            .map_err(|_| {
                Invalid::new(
                    format!("{text:?} is too large when compiled"),
                    "use fewer or smaller repetitions",
                )
            })?;
        Ok(Self { text: text.into(), regex })
    }

    /// Whether it matches a text: the whole of it, or of [`Self::within`] some part.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn anchored(text: &str) -> String {
    format!(r"\A(?:{text})\z")
}

/// What the regex parser complains of, without its picture of where.
fn cause(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string().replace('\n', " "),
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.regex.as_str().cmp(other.regex.as_str())
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.regex.as_str().hash(state);
    }
}
