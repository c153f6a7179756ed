//! Why the data path cannot do something.

use std::{error::Error as StdError, io, num::TryFromIntError};

use aya::{maps::MapError, programs::ProgramError};
use evenkeel_loader::{lock::LockError, pins::PinError, refusal::Refusal};
use nix::errno::Errno;
use thiserror::Error;

use crate::engine::layers::{Class, Reason};

/// Why the data path cannot do something; with its sources in one line for people.
#[derive(Debug, Error)]
pub enum Error {
    /// A map is too full.
    #[error("{map} has no room for {wanted} more {what}; {remedy}")]
    NoRoom {
        /// The map.
        map: &'static str,
        /// Of what there would be too many.
        what: String,
        /// How many more.
        wanted: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// This machine's settings are not those that the data path was made for.
    #[error("another {} than runs: {}", keys.join(", "), way(keys, option))]
    HostDiffers {
        /// Which, by their keys in the file.
        keys: Vec<&'static str>,
        /// The option that names its pins, with a blank in front; empty for the default directory.
        option: String,
    },
    /// What is asked for does not go with this host; the line says what would.
    #[error("{0}")]
    Unfit(String),
    /// The kernel refuses.
    #[error("{doing}")]
    Kernel {
        /// What.
        doing: String,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A map cannot be read or written.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A program cannot be loaded or attached.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The kernel does not take a program.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file or a socket cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A system call fails.
    #[error(transparent)]
    System(#[from] Errno),
    /// The kernel's network cannot be asked or told something.
    #[error(transparent)]
    Netlink(#[from] rtnetlink::Error),
    /// A number is larger than the kernel's records hold.
    #[error(transparent)]
    Size(#[from] TryFromIntError),
    /// A map does not hold what it must.
    #[error("{0}")]
    Contradiction(String),
    /// The pins cannot be used.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// Another process has the pins.
    #[error(transparent)]
    Locked(#[from] LockError),
}

/// What to do about another host's settings.
fn way(keys: &[&str], option: &str) -> String {
    match keys {
        ["host.interfaces"] => "end this process and start another (sessions go on meanwhile)".to_owned(),
        _ => format!("end this process, `evenkeel unload{option}` and start another (all sessions end)"),
    }
}

/// What the data path's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Reason for Error {
    fn class(&self) -> Class {
        match self {
            Self::HostDiffers { .. } | Self::Unfit(_) => Class::Conflict,
            Self::NoRoom { .. }
            | Self::Kernel { .. }
            | Self::Map(_)
            | Self::Program(_)
            | Self::Refused(_)
            | Self::Io(_)
            | Self::System(_)
            | Self::Netlink(_)
            | Self::Size(_)
            | Self::Contradiction(_)
            | Self::Pins(_)
            | Self::Locked(_) => Class::Unavailable,
        }
    }
}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// `doing` is what failed: a map, or a clause such as "cannot open a raw socket".
    ///
    /// # Errors
    /// If there is one, with that before it.
    fn context(self, doing: impl Into<String>) -> Result<T>;

    /// The same, made only when it is needed.
    ///
    /// # Errors
    /// As [`Self::context`].
    fn with_context<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::Kernel { doing: doing.into(), source: error.into() })
    }

    fn with_context<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Error::Kernel { doing: doing().into(), source: error.into() })
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, doing: impl Into<String>) -> Result<T> {
        self.ok_or_else(|| Error::Contradiction(doing.into()))
    }

    fn with_context<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.ok_or_else(|| Error::Contradiction(doing().into()))
    }
}

/// Returns an [`Error::Unfit`] with a formatted line.
macro_rules! unfit {
    ($($line:tt)*) => { return Err($crate::dataplane::error::Error::Unfit(format!($($line)*))) };
}
pub(crate) use unfit;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_is_refused_with_the_way_to_it() {
        let option = " --pin-dir /there";
        let line = |keys: &[&'static str]| {
            Error::HostDiffers { keys: keys.to_vec(), option: option.to_owned() }.to_string()
        };
        assert_eq!(
            line(&["host.interfaces"]),
            "another host.interfaces than runs: end this process and start another (sessions go on meanwhile)"
        );
        assert_eq!(
            line(&["host.interfaces", "host.local_ports", "host.max_sessions"]),
            "another host.interfaces, host.local_ports, host.max_sessions than runs: end this process, `evenkeel unload --pin-dir /there` and start another (all sessions end)"
        );
    }
}
