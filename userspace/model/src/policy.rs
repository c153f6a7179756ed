//! Forwarding policies: which of an HTTP listener's requests go where, as the operator wrote them. `l7/route` says which
//! of several policies wins.

use std::collections::BTreeSet;

use crate::{
    id::PoolId,
    invalid::Invalid,
    path::plain,
    value::{Pattern, RejectStatus, Token, Url, UrlPrefix, domain::is_name},
};

/// The most policies of one listener.
pub const MAX_POLICIES: usize = 10_000;
/// The most bytes of a path.
const MAX_PATH: usize = 1024;
/// The most bytes of a value that headers and cookies are compared with.
const MAX_VALUE: usize = 1024;

/// Which of several policies wins that a request meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyOrder {
    /// The one whose domain and path say more: exact, prefix, regular expression. Every policy has one of the two, and no
    /// two of a listener have the same condition.
    #[default]
    Specific,
    /// The first in the list.
    Position,
}

impl PolicyOrder {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Specific, Self::Position];

    /// Its name in files and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Specific => "specific",
            Self::Position => "position",
        }
    }
}

/// Which requests a policy is for: those for which all that is given here holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// Whom the request is for.
    pub domain: Option<Domain>,
    /// What it asks for.
    pub path: Option<PathMatch>,
    /// What else must hold.
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

impl Domain {
    /// A name such as `www.example.com` or `*.example.com`, in any case.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let lower = text.to_ascii_lowercase();
        let below = lower.strip_prefix("*.");
        let name = below.unwrap_or(&lower);
        if !is_name(name) {
            return Err(Invalid::new(
                format!("{text:?} is not a domain"),
                "use one such as \"www.example.com\", or \"*.example.com\" for all below that",
            ));
        }
        Ok(if below.is_some() { Self::Below(name.into()) } else { Self::Exact(name.into()) })
    }
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

impl PathMatch {
    /// This path.
    ///
    /// # Errors
    /// It is no path, too long, or never what a path is compared as.
    pub fn exact(text: &str) -> Result<Self, Invalid> {
        comparable(text, "").map(Self::Exact)
    }

    /// Paths that begin with this.
    ///
    /// # Errors
    /// As [`Self::exact`].
    pub fn prefix(text: &str) -> Result<Self, Invalid> {
        // A prefix may end where it would be no path: "/." is one of "/.git".
        comparable(text, "x").map(Self::Prefix)
    }
}

/// A path in the form in which it is compared when `behind` follows it.
fn comparable(text: &str, behind: &str) -> Result<String, Invalid> {
    let plain = plain(&format!("{text}{behind}"));
    let plain = plain.strip_suffix(behind).unwrap_or(&plain);
    let (reason, remedy) = if !text.starts_with('/') {
        (format!("{text:?} is not a path"), "it must begin with a slash".to_owned())
    } else if text.len() > MAX_PATH {
        (format!("has {} bytes", text.len()), format!("use at most {MAX_PATH}"))
    } else if text.contains(['?', '#']) {
        let reason = format!("{text:?}: the query and what follows \"#\" are not part of the path");
        (reason, "leave them out".to_owned())
    } else if text != plain {
        let reason = "paths are compared decoded and without //, /./ and /../".to_owned();
        (reason, format!("{text:?} never is one, use {plain:?}"))
    } else {
        return Ok(text.into());
    };
    Err(Invalid::new(reason, remedy))
}

/// What something of a request must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What of it.
    pub subject: Subject,
    /// What one of its values must be.
    pub test: Test,
    /// Whether none of its values may be so instead.
    pub invert: bool,
}

/// Something of a request that has a value, several or none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The header with this name, in lower case.
    Header(Token),
    /// The cookie with this name.
    Cookie(Token),
    /// The host that the request is for, as [`Domain`] is compared.
    Host,
    /// What it asks for, as [`PathMatch`] is compared.
    Path,
    /// What is behind the last dot of the path's last segment.
    FileType,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// There, whatever it is.
    Present,
    /// This.
    Equals(TestValue),
    /// Something that begins with this, which is not empty.
    StartsWith(TestValue),
    /// Something that ends with this, which is not empty.
    EndsWith(TestValue),
    /// Something that has this in it, which is not empty.
    Contains(TestValue),
    /// Something that matches this as a whole.
    Regex(Pattern),
}

/// What a value is compared with: at most 1024 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TestValue(String);

impl TestValue {
    /// Checks one; `least` is 0 where it may be empty, else 1.
    ///
    /// # Errors
    /// It is too long, too short, or has control characters.
    pub fn new(text: &str, least: usize) -> Result<Self, Invalid> {
        if text.len() < least || text.len() > MAX_VALUE || text.contains(char::is_control) {
            return Err(Invalid::new(
                format!("{text:?} has {} bytes and cannot be searched for", text.len()),
                format!("use {least} to {MAX_VALUE} bytes, no control characters"),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What happens to a request. `L` is how a listener is named: by id in objects, by its port where it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<L> {
    /// It goes to this pool.
    Pool(PoolId),
    /// It is answered with this status.
    Reject(RejectStatus),
    /// It is answered with another address.
    Redirect(Redirect<L>),
}

/// Another address to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect<L> {
    /// With which status the client is sent there.
    pub status: RedirectStatus,
    /// Which one.
    pub to: RedirectTo<L>,
}

impl<L: Copy> Redirect<L> {
    /// The listener that clients are sent to, if it is one.
    pub fn listener(&self) -> Option<L> {
        match self.to {
            RedirectTo::Listener(listener) => Some(listener),
            RedirectTo::Url(_) | RedirectTo::Prefix(_) => None,
        }
    }
}

/// A status with which a client can be sent elsewhere: 301, 302, 303, 307 or 308 (RFC 9110, section 15.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectStatus(u16);

impl RedirectStatus {
    /// All of them; the first is the default.
    pub const ALL: [u16; 5] = [301, 302, 303, 307, 308];

    /// Checks one.
    ///
    /// # Errors
    /// It is another.
    pub fn new(status: u16) -> Result<Self, Invalid> {
        if Self::ALL.contains(&status) {
            return Ok(Self(status));
        }
        let [first, others @ .., last] = Self::ALL.map(|status| status.to_string());
        Err(Invalid::new(
            format!("{status} does not send a client elsewhere"),
            format!("use {first}, {} or {last}", others.join(", ")),
        ))
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(301)
    }
}

/// Where a client is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectTo<L> {
    /// This URL, whatever was asked for.
    Url(Url),
    /// This URL with the request's path and query behind it.
    Prefix(UrlPrefix),
    /// The same host, path and query at an HTTPS listener of the same load balancer.
    Listener(L),
}
