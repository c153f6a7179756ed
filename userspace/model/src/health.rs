//! What members are asked, and how often.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use crate::{
    invalid::Invalid,
    tls::{Authorities, MemberTls},
    value::{CheckTime, HostName, Port, Retries},
};

/// How the members of a server group are checked (OTC guide, section 5.1); `A` as in [`MemberTls`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check<A = Arc<Authorities>> {
    /// What they are asked.
    pub probe: Probe<A>,
    /// The port to ask; `None`: each member's own.
    pub port: Option<Port>,
    /// When, and how often it takes.
    pub pace: Pace,
}

impl<A> Check<A> {
    /// The authorities that are named, if any are.
    pub const fn authorities(&self) -> Option<&A> {
        match &self.probe {
            Probe::Http(Get { tls: Some(tls), .. }) => tls.authorities(),
            Probe::Http(_) | Probe::Tcp | Probe::Udp => None,
        }
    }

    /// The same with other authorities, as [`MemberTls::map`].
    pub fn map<B>(&self, find: impl FnOnce(&A) -> Option<B>) -> Option<Check<B>> {
        let probe = match &self.probe {
            Probe::Tcp => Probe::Tcp,
            Probe::Udp => Probe::Udp,
            Probe::Http(Get { host, tls, path, codes }) => {
                let tls = match tls {
                    Some(tls) => Some(tls.map(find)?),
                    None => None,
                };
                Probe::Http(Get { host: host.clone(), tls, path: path.clone(), codes: codes.clone() })
            }
        };
        Some(Check { probe, port: self.port, pace: self.pace })
    }
}

/// When members are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    interval: CheckTime,
    timeout: CheckTime,
    /// How many good answers in a row make a member well. The first one does alone.
    pub retries: Retries,
    /// How many bad ones in a row make it ill. The first one does alone.
    pub retries_down: Retries,
}

impl Pace {
    /// From the start of one probe to the start of the next, if the operator does not say.
    pub const INTERVAL: CheckTime = CheckTime::literal(5);
    /// How long a probe may take in all, if the operator does not say and the interval is not shorter.
    pub const TIMEOUT: CheckTime = CheckTime::literal(3);
    /// How many answers change the standing, if the operator does not say.
    pub const RETRIES: Retries = Retries::literal(3);

    /// From the start of one probe to the start of the next, how long a probe may take in all, and how many answers in a
    /// row change the standing either way.
    ///
    /// # Errors
    /// A probe may take longer than the interval.
    pub fn new(interval: CheckTime, timeout: CheckTime, retries: Retries) -> Result<Self, Invalid> {
        if timeout > interval {
            let reason = format!("{timeout} is longer than the interval, {interval}");
            return Err(Invalid::new(reason, "use at most that"));
        }
        Ok(Self { interval, timeout, retries, retries_down: retries })
    }

    /// From the start of one probe to the start of the next.
    pub const fn interval(&self) -> CheckTime {
        self.interval
    }

    /// How long a probe may take in all; at most the interval.
    pub const fn timeout(&self) -> CheckTime {
        self.timeout
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe<A = Arc<Authorities>> {
    /// Does the port take a connection?
    Tcp,
    /// Does it answer a GET with one of these codes?
    Http(Get<A>),
    /// Does the host answer an ICMP echo, and is the port not called unreachable?
    Udp,
}

impl<A> fmt::Display for Probe<A> {
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

/// An HTTP/1.1 request and what is expected of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Get<A = Arc<Authorities>> {
    /// The `Host` to ask for; `None`: the address and port that are asked.
    pub host: Option<HostName>,
    /// TLS, if it is asked over that.
    pub tls: Option<MemberTls<A>>,
    /// What is asked for.
    pub path: CheckPath,
    /// Codes of a good answer.
    pub codes: Codes,
}

/// The path that a check asks for: 1 to 80 visible ASCII characters, the first of them a slash (OTC guide, table 5-1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckPath(String);

impl CheckPath {
    const LONGEST: usize = 80;

    /// Checks one.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !text.starts_with('/') || !visible || text.len() > Self::LONGEST {
            return Err(Invalid::new(
                format!("{text:?} is not a path"),
                format!("use 1 to {} visible ASCII characters, the first a slash", Self::LONGEST),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CheckPath {
    fn default() -> Self {
        Self("/".into())
    }
}

/// A set of HTTP status codes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Codes(Vec<RangeInclusive<u16>>);

impl Codes {
    /// What is expected if nobody says otherwise, of members behind a Layer-4 listener (OTC guide, section 10.6.1).
    pub fn ok() -> Self {
        Self(vec![200..=200])
    }

    /// The same for members behind an HTTP listener.
    pub fn http() -> Self {
        Self(vec![200..=200, 202..=202, 401..=401])
    }

    /// Reads codes and ranges with commas between them, such as `200,202,300-399`.
    ///
    /// # Errors
    /// It is something else, or a code is not from 200 to 599: those below never end an answer.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let code = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|code| digits && (200..=599).contains(code))
        };
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some(code(first.trim())?..=code(last.trim())?).filter(|range| !range.is_empty())
        };
        let codes = text.split(',').map(|part| range(part.trim())).collect::<Option<_>>();
        codes.map(Self).ok_or_else(|| {
            Invalid::new(
                format!("{text:?} is not a list of HTTP codes"),
                "use codes from 200 to 599 and ranges, such as \"200,202,401\" or \"200-299\"",
            )
        })
    }

    /// Whether `code` is one of them.
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|range| range.contains(&code))
    }
}

impl fmt::Display for Codes {
    /// As [`Codes::new`] reads them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_single_ones_and_ranges() {
        let codes = Codes::new("200, 202,300-399 ,401 - 403").unwrap();
        let right = [200, 202, 300, 399, 401, 402, 403];
        let wrong = [0, 199, 201, 203, 299, 400, 404, 500, 999];
        assert!(right.iter().all(|&code| codes.contains(code)));
        assert!(!wrong.iter().any(|&code| codes.contains(code)));
        assert_eq!(codes.to_string(), "200,202,300-399,401-403");
        for text in
            ["", "200,", "20", "0200", "+20", "2xx", "199", "600", "299-200", "200-299-300", "200 201"]
        {
            assert!(Codes::new(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_probe_ends_before_the_next_begins(interval in 1..=50u64, timeout in 1..=50u64) {
            let time = |seconds| CheckTime::new(Duration::from_secs(seconds)).unwrap();
            let pace = Pace::new(time(interval), time(timeout), Pace::RETRIES);
            prop_assert_eq!(pace.is_ok(), timeout <= interval);
        }

        #[test]
        fn check_paths(text in "/[!-~]{0,90}|[ -~]{0,5}") {
            let good = text.starts_with('/') && text.len() <= 80 && !text.contains(' ');
            prop_assert_eq!(CheckPath::new(&text).is_ok(), good);
        }
    }
}
