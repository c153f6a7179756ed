//! Why a probe failed, and the numbers by which `ek_backend` remembers it.

use std::fmt;

/// What went wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It refused the connection.
    Refused,
    /// Time was up before it had answered.
    Timeout,
    /// No way leads there.
    Unreachable,
    /// It closed the connection before it had answered.
    Closed,
    /// It reset the connection before it had answered.
    Reset,
    /// Its answer is not HTTP.
    BadAnswer,
    /// The header of its answer is too long.
    LargeAnswer,
    /// It says that nobody listens on the UDP port.
    PortUnreachable,
    /// It did not answer an ICMP echo.
    NoEcho,
    /// It does not speak TLS, or its certificate is not a good one.
    NoTls,
    /// Its answer has this code, 0–999, which is not one of those that were expected.
    WrongCode(u16),
}

/// The reason of wrong code 0xx; that of 9xx is 9 more.
const WRONG_CODE: u8 = 20;

impl Failure {
    /// Its stable number, never 0, and a detail: the last two digits of a wrong code.
    pub fn numbers(self) -> (u8, u8) {
        match self {
            Self::Refused => (1, 0),
            Self::Timeout => (2, 0),
            Self::Unreachable => (3, 0),
            Self::Closed => (4, 0),
            Self::Reset => (5, 0),
            Self::BadAnswer => (6, 0),
            Self::LargeAnswer => (7, 0),
            Self::PortUnreachable => (8, 0),
            Self::NoEcho => (9, 0),
            Self::NoTls => (10, 0),
            Self::WrongCode(code) => (WRONG_CODE + (code / 100 % 10) as u8, (code % 100) as u8),
        }
    }

    /// The failure with these [`numbers`](Self::numbers), if there is one.
    pub fn from_numbers(reason: u8, detail: u8) -> Option<Self> {
        match reason {
            1 => Some(Self::Refused),
            2 => Some(Self::Timeout),
            3 => Some(Self::Unreachable),
            4 => Some(Self::Closed),
            5 => Some(Self::Reset),
            6 => Some(Self::BadAnswer),
            7 => Some(Self::LargeAnswer),
            8 => Some(Self::PortUnreachable),
            9 => Some(Self::NoEcho),
            10 => Some(Self::NoTls),
            20..=29 if detail < 100 => {
                Some(Self::WrongCode(u16::from(reason - WRONG_CODE) * 100 + u16::from(detail)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Closed => "connection closed",
            Self::Reset => "connection reset",
            Self::BadAnswer => "bad answer",
            Self::LargeAnswer => "answer too large",
            Self::PortUnreachable => "port unreachable",
            Self::NoEcho => "no echo reply",
            Self::NoTls => "no good TLS handshake",
            Self::WrongCode(code) => return write!(f, "wrong code {code:03}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_failure_has_numbers_of_its_own() {
        let mut seen = HashSet::new();
        for (reason, detail) in (0..=255).flat_map(|reason| (0..=255).map(move |detail| (reason, detail))) {
            let Some(failure) = Failure::from_numbers(reason, detail) else { continue };
            assert_ne!(reason, 0, "that is none");
            let (number, more) = failure.numbers();
            assert_eq!(number, reason);
            if let Failure::WrongCode(_) = failure {
                assert_eq!(more, detail);
            }
            seen.insert(failure.to_string());
        }
        assert_eq!(seen.len(), 10 + 1000);
        assert_eq!(Failure::from_numbers(25, 3), Some(Failure::WrongCode(503)));
    }
}
