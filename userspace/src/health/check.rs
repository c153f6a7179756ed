//! What a pool's members are asked and how often: the model's part of the health checker. Next: `checker`.

use std::{fmt, ops::RangeInclusive, time::Duration};

use crate::model::tls::MemberTls;

/// How the members of a pool are checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Health {
    /// What they are asked.
    pub probe: Probe,
    /// The port to ask; `None`: each member's own.
    pub port: Option<u16>,
    /// From the start of one probe to the start of the next; whole seconds, 1–50.
    pub interval: Duration,
    /// How long a probe may take in all; whole seconds, at most `interval`.
    pub timeout: Duration,
    /// How many answers in a row change the standing, 1–10. The first one does alone.
    pub retries: u8,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// Does the port take a connection?
    Tcp,
    /// Does it answer a GET with one of these codes?
    Http(Get),
    /// Does the host answer an ICMP echo, and is the port not called unreachable?
    Udp,
}

/// An HTTP/1.1 request and what is expected of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Get {
    /// The `Host` to ask for; `None`: the address and port that are asked.
    pub host: Option<String>,
    /// TLS, if it is asked over that.
    pub tls: Option<MemberTls>,
    /// 1–80 visible ASCII characters, the first of them `/`.
    pub path: String,
    /// Codes of a good answer.
    pub codes: Codes,
}

/// A set of HTTP status codes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Codes(Vec<RangeInclusive<u16>>);

impl Codes {
    /// What is expected if nobody says otherwise, of members behind a Layer-4 listener.
    pub fn ok() -> Self {
        Self(vec![200..=200])
    }

    /// The same for members behind an HTTP listener.
    pub fn http() -> Self {
        Self(vec![200..=200, 202..=202, 401..=401])
    }

    /// Reads codes and ranges with commas between them, such as `200,202,300-399`. `None` if it is something else or a
    /// code is not from 200 to 599: those below never end an answer.
    pub fn parse(text: &str) -> Option<Self> {
        let code = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|code| digits && (200..=599).contains(code))
        };
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some(code(first.trim())?..=code(last.trim())?).filter(|range| !range.is_empty())
        };
        text.split(',').map(|part| range(part.trim())).collect::<Option<_>>().map(Self)
    }

    /// Whether `code` is one of them.
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|range| range.contains(&code))
    }
}

impl fmt::Display for Probe {
    /// The protocol's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Http(Get { tls: Some(_), .. }) => "https",
            Self::Http(_) => "http",
            Self::Udp => "udp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_single_ones_and_ranges() {
        let codes = Codes::parse("200, 202,300-399 ,401 - 403").unwrap();
        let right = [200, 202, 300, 399, 401, 402, 403];
        let wrong = [0, 199, 201, 203, 299, 400, 404, 500, 999];
        assert!(right.iter().all(|&code| codes.contains(code)));
        assert!(!wrong.iter().any(|&code| codes.contains(code)));
        for text in
            ["", "200,", "20", "0200", "+20", "2xx", "199", "600", "299-200", "200-299-300", "200 201"]
        {
            assert_eq!(Codes::parse(text), None, "{text:?}");
        }
    }
}
