//! Why a probe was not good: the member's fault, or this host's.

use std::io::{self, ErrorKind};

use nix::errno::Errno;

use super::failure::Failure;

/// Why a probe was not good.
#[derive(Debug)]
pub enum ProbeError {
    /// The member's fault.
    Failed(Failure),
    /// This host's: the probe could not be made and says nothing about the member.
    Local(io::Error),
}

impl From<Failure> for ProbeError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for ProbeError {
    /// What the kernel says of a connection is about the member, or the way there, but for what this host has run out
    /// of. What it does not say is said by TLS, after the handshake.
    fn from(error: io::Error) -> Self {
        let failure = match error.raw_os_error().map(Errno::from_raw) {
            Some(
                Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOMEM
                | Errno::ENOBUFS
                | Errno::EADDRNOTAVAIL
                | Errno::EADDRINUSE,
            ) => return Self::Local(error),
            Some(Errno::ECONNREFUSED) => Failure::Refused,
            Some(Errno::ETIMEDOUT) => Failure::Timeout,
            Some(Errno::ECONNRESET | Errno::ECONNABORTED | Errno::EPIPE) => Failure::Reset,
            Some(_) => Failure::Unreachable,
            None if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::WriteZero) => {
                Failure::Closed
            }
            None => Failure::NoTls,
        };
        Self::Failed(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_host_has_run_out_of_says_nothing_about_the_member() {
        let judged = |error: Errno| match io::Error::from(error).into() {
            ProbeError::Failed(failure) => Some(failure),
            ProbeError::Local(_) => None,
        };
        for error in [Errno::EMFILE, Errno::ENOBUFS, Errno::EADDRNOTAVAIL] {
            assert_eq!(judged(error), None);
        }
        // The last three: ICMP's protocol unreachable, a route of type blackhole, an ARP that failed.
        for (error, failure) in [
            (Errno::ECONNREFUSED, Failure::Refused),
            (Errno::EPIPE, Failure::Reset),
            (Errno::EHOSTUNREACH, Failure::Unreachable),
            (Errno::EPERM, Failure::Unreachable),
            (Errno::ENOPROTOOPT, Failure::Unreachable),
            (Errno::EINVAL, Failure::Unreachable),
            (Errno::EHOSTDOWN, Failure::Unreachable),
        ] {
            assert_eq!(judged(error), Some(failure), "{error}");
        }
    }
}
