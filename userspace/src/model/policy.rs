//! Forwarding policies: which of an HTTP listener's requests go where, as the operator wrote them.
//!
//! Read from the file by `config/policy`, asked by `l7/route`, which also says which of several policies wins.

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fmt,
    hash::{Hash, Hasher},
};

use regex::{Regex, RegexBuilder};

/// The most policies of one listener.
pub const MAX_POLICIES: usize = 10_000;

/// One forwarding policy of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name, unique in its listener.
    pub name: String,
    /// Which requests it is for; no two policies of a listener have the same.
    pub condition: Condition,
    /// What happens to them.
    pub action: Action,
}

/// Which requests a policy is for: those for which all that is given here holds. Domain or path is given, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// Whom the request is for.
    pub domain: Option<Domain>,
    /// What it asks for.
    pub path: Option<PathMatch>,
    /// What its headers and cookies must be.
    pub rules: BTreeSet<Rule>,
}

/// A domain name in lower case, without port and without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// This one.
    Exact(String),
    /// Those below this one, written `*.example.com`, however many labels more they have; not `example.com` itself.
    Below(String),
}

/// A path as [`super::path::plain`] leaves it, without the query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The path is this.
    Exact(String),
    /// The path begins with this, even in the middle of a segment: `/elb` is for `/elb_gls/glossary.html` too.
    Prefix(String),
    /// The whole path matches this.
    Regex(Pattern),
}

/// What a header or a cookie must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Which one.
    pub subject: Subject,
    /// What one of its values must be.
    pub test: Test,
    /// Whether none of its values may be so instead.
    pub invert: bool,
}

/// Which header or cookie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The header with this name, in lower case.
    Header(String),
    /// The cookie with this name.
    Cookie(String),
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// There, whatever it is.
    Present,
    /// This.
    Equals(String),
    /// Something that begins with this.
    StartsWith(String),
    /// Something that ends with this.
    EndsWith(String),
    /// Something that has this in it.
    Contains(String),
    /// Something that matches this as a whole.
    Regex(Pattern),
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes to the pool with this name.
    Pool(String),
    /// It is answered with this status, 400 to 599.
    Reject(u16),
    /// It is answered with another address.
    Redirect(Redirect),
}

/// Another address to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Which one.
    pub to: RedirectTo,
}

impl Redirect {
    /// The statuses with which a client can be sent elsewhere; the first is the default.
    pub const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
}

/// Where a client is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectTo {
    /// This URL, whatever was asked for.
    Url(String),
    /// This URL with the request's path and query behind it; it does not end with a slash.
    Prefix(String),
    /// The same host, path and query at an HTTPS listener of the same load balancer.
    Listener {
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
}

/// A regular expression that a text has to match from its first character to its last; a dot stands for any character.
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
    /// What is wrong with it and what would be right, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > Self::MAX_TEXT {
            return Err(format!("has {} bytes; use 1 to {}", text.len(), Self::MAX_TEXT));
        }
        // Alone first: "a)|(b" would only be one inside of the group that anchors it.
        for text in [text, &anchored(text)] {
            if let Err(error) = regex_syntax::parse(text) {
                return Err(format!("is not a regular expression: {}", cause(&error)));
            }
        }
        let regex = RegexBuilder::new(&anchored(text))
            .dot_matches_new_line(true)
            .size_limit(Self::MAX_PROGRAM)
            .build()
            .map_err(|_| "is too large when compiled; use fewer or smaller repetitions".to_owned())?;
        Ok(Self { text: text.into(), regex })
    }

    /// Whether it matches the whole of a text.
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
        self.text == other.text
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
        self.text.cmp(&other.text)
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
