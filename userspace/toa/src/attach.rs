//! Puts the programs onto a cgroup: by links that live with this process, or by pinned ones; into a link that an
//! earlier process pinned, the new program goes in one step.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use aya_obj::generated::bpf_attach_type::{
    self, BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME, BPF_CGROUP_SOCK_OPS,
};
use xdp_ebpf::receiver::program;

use crate::{
    cgroup::{self, Cgroup},
    error::Error,
    pins::PinDir,
    receiver::Receiver,
    sys,
    trusted::Trusted,
};

/// In the order in which they are attached: nothing is read before it can be answered.
const HOOKS: [(&str, bpf_attach_type); 3] = [
    (program::PEER4, BPF_CGROUP_INET4_GETPEERNAME),
    (program::PEER6, BPF_CGROUP_INET6_GETPEERNAME),
    (program::READ, BPF_CGROUP_SOCK_OPS),
];

/// The receiver is attached for as long as this lives.
#[derive(Debug)]
pub struct Attached(#[allow(dead_code, reason = "closing the links detaches")] Vec<OwnedFd>);

/// What [`attach_pinned`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// No receiver.
    Nothing,
    /// One of an earlier process, which was replaced without a gap.
    Receiver,
}

/// Attaches the receiver for as long as the result lives.
///
/// # Errors
/// The kernel refuses.
pub fn attach(receiver: &Receiver, cgroup: &Cgroup) -> Result<Attached, Error> {
    HOOKS
        .iter()
        .map(|&(name, hook)| link(receiver, cgroup, name, hook))
        .collect::<Result<_, _>>()
        .map(Attached)
}

/// Attaches the receiver until its pins are removed, with these networks as those that are trusted.
///
/// # Errors
/// Another cgroup is attached to by these pins; what is there goes on as it was. Or the kernel refuses; a first start
/// leaves nothing behind then.
pub fn attach_pinned(
    receiver: &mut Receiver,
    trusted: &[Trusted],
    cgroup: &Cgroup,
    pins: &PinDir,
) -> Result<Before, Error> {
    for (name, _) in HOOKS {
        refuse_another(pins, name, cgroup)?;
    }
    receiver.trusted()?.replace(trusted)?;
    let mut fresh = Vec::new();
    let mut before = Before::Nothing;
    for (name, hook) in HOOKS {
        let path = pins.path(name);
        match pinned(pins, &path)? {
            Some(old) => {
                before = Before::Receiver;
                sys::swap(old.as_fd(), receiver.program(name)?)
                    .map_err(Error::io("swap the program in", path))?;
            }
            None => fresh.push((path, link(receiver, cgroup, name, hook)?)),
        }
    }
    for (path, link) in &fresh {
        pin(link, path)?;
    }
    pins.remove_list()?;
    pins.remove_other_versions()?;
    Ok(before)
}

fn link(
    receiver: &Receiver,
    cgroup: &Cgroup,
    program: &'static str,
    hook: bpf_attach_type,
) -> Result<OwnedFd, Error> {
    sys::link_cgroup(receiver.program(program)?, cgroup.as_fd(), hook).map_err(|error| Error::Attach {
        program,
        cgroup: cgroup.path().to_owned(),
        error,
    })
}

fn refuse_another(pins: &PinDir, name: &str, cgroup: &Cgroup) -> Result<(), Error> {
    match link_at(pins, &pins.path(name))? {
        Some((_, other)) if other != 0 && other != cgroup.id() => {
            Err(Error::Elsewhere { root: pins.root().to_owned(), cgroup: cgroup::path_of(other) })
        }
        _ => Ok(()),
    }
}

/// The link at `path`, if there is one. One whose cgroup is gone is removed.
fn pinned(pins: &PinDir, path: &Path) -> Result<Option<OwnedFd>, Error> {
    match link_at(pins, path)? {
        Some((_, 0)) => {
            pins.remove_pin(path)?;
            Ok(None)
        }
        found => Ok(found.map(|(link, _)| link)),
    }
}

/// The link at `path`, if there is one, and the number of its cgroup; 0 if that is gone.
fn link_at(pins: &PinDir, path: &Path) -> Result<Option<(OwnedFd, u64)>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let link = sys::open(path).map_err(|error| pins.cannot_open(path, error))?;
    let cgroup = cgroup_id(path, &link)?;
    Ok(Some((link, cgroup)))
}

/// The number of the cgroup that a pinned receiver is attached to; 0 if that is gone.
///
/// # Errors
/// There is no receiver.
pub fn attached_to(pins: &PinDir) -> Result<u64, Error> {
    let path = pins.path(program::READ);
    let link = sys::open(&path).map_err(|error| pins.cannot_open(&path, error))?;
    cgroup_id(&path, &link)
}

fn cgroup_id(path: &Path, link: &OwnedFd) -> Result<u64, Error> {
    let file = format!("/proc/self/fdinfo/{}", link.as_raw_fd());
    let info = fs::read_to_string(&file).map_err(Error::io("read", file))?;
    let id = info.lines().find_map(|line| line.strip_prefix("cgroup_id:")?.trim().parse().ok());
    id.ok_or_else(|| Error::NotLink(path.to_owned()))
}

fn pin(link: &OwnedFd, path: &Path) -> Result<(), Error> {
    sys::pin(link.as_fd(), path).map_err(Error::io("pin", path))
}
