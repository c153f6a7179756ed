//! What can go wrong, in one line each.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use aya::maps::MapError;
use evenkeel_loader::{
    bpf::NotBuilt, kernels::RECEIVER, lock::LockError, pins::PinError, privileges::PrivilegeError,
    refusal::Refusal,
};
use thiserror::Error;

use crate::cgroup::CgroupError;

/// Why something was not done.
#[derive(Debug, Error)]
pub enum Error {
    /// This binary has no BPF programs.
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
    /// The process may too little.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// The directory of pins.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The directory of pins cannot be locked.
    #[error("{root}")]
    Lock {
        /// The directory.
        root: PathBuf,
        /// Why not.
        #[source]
        error: LockError,
    },
    /// The cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The kernel does not take the maps, or the pinned ones are others.
    #[error("cannot load the BPF maps: {0}; {advice}", advice = RECEIVER.advice())]
    Maps(String),
    /// The kernel does not take a program.
    #[error("{0}; {advice}", advice = RECEIVER.advice())]
    Refused(Refusal),
    /// The object is not the receiver's.
    #[error("the BPF object has no {0}")]
    Object(&'static str),
    /// The kernel refuses a program at this cgroup.
    #[error("cannot attach {program} to {cgroup}")]
    Attach {
        /// The program.
        program: &'static str,
        /// The cgroup.
        cgroup: PathBuf,
        /// What it says.
        #[source]
        error: io::Error,
    },
    /// These pins are for another cgroup.
    #[error(
        "{root} is attached to {}: detach it first, or name another directory with --pin",
        .cgroup.as_deref().unwrap_or(Path::new("another cgroup")).display()
    )]
    Elsewhere {
        /// The directory of pins.
        root: PathBuf,
        /// The cgroup, if it can be found.
        cgroup: Option<PathBuf>,
    },
    /// What is pinned is something else.
    #[error("{0} is not a link to a cgroup")]
    NotLink(PathBuf),
    /// The kernel was built without `sock_diag` for TCP.
    #[error(
        "this kernel does not list TCP sockets, and connections with them: that takes CONFIG_INET_TCP_DIAG (the module \
         tcp_diag), as `ss` does"
    )]
    NoSocketList,
    /// The kernel does not list the sockets of a network namespace.
    #[error("cannot list the sockets in the network namespace {namespace}")]
    SocketList {
        /// The namespace's file.
        namespace: PathBuf,
        /// What the kernel says.
        #[source]
        error: io::Error,
    },
    /// More networks than there is room for.
    #[error("--trusted has {wanted} networks, and there is room for {most}")]
    TooManyTrusted {
        /// How many there are.
        wanted: usize,
        /// How many there may be.
        most: usize,
    },
    /// The map of trusted networks holds something else.
    #[error("not a network: {0}")]
    NotNetwork(IpAddr),
    /// A map cannot be read or written.
    #[error("cannot use a BPF map")]
    Map(#[from] MapError),
    /// A program that is not loaded.
    #[error("cannot use a BPF program")]
    Program(#[from] aya::programs::ProgramError),
    /// The file system refuses.
    #[error("cannot {act} {path}")]
    Io {
        /// What was to be done.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What it says.
        #[source]
        error: io::Error,
    },
}

impl Error {
    /// The file system refuses to `act` on `path`; for `map_err`.
    pub(crate) fn io(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { act, path, error }
    }
}
