//! Puts the programs onto a cgroup: by links that live with this process, or by pinned ones; into a link that an
//! earlier process pinned, the new program goes in one step.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result, bail};
use aya_obj::generated::bpf_attach_type::{
    self, BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME, BPF_CGROUP_SOCK_OPS,
};
use xdp_ebpf::receiver::program;

use super::{
    cgroup::{self, Cgroup},
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
pub fn attach(receiver: &Receiver, cgroup: &Cgroup) -> Result<Attached> {
    HOOKS.iter().map(|&(name, hook)| link(receiver, cgroup, name, hook)).collect::<Result<_>>().map(Attached)
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
) -> Result<Before> {
    for (name, _) in HOOKS {
        refuse_another(&pins.path(name), cgroup)?;
    }
    receiver.trusted()?.replace(trusted)?;
    let mut fresh = Vec::new();
    let mut before = Before::Nothing;
    for (name, hook) in HOOKS {
        match pinned(&pins.path(name))? {
            Some(old) => {
                before = Before::Receiver;
                sys::swap(old.as_fd(), receiver.program(name)?)
                    .with_context(|| format!("cannot swap the program in {}", pins.path(name).display()))?;
            }
            None => fresh.push((pins.path(name), link(receiver, cgroup, name, hook)?)),
        }
    }
    for (path, link) in &fresh {
        pin(link, path)?;
    }
    list(receiver, pins)?;
    pins.remove_other_versions()?;
    Ok(before)
}

fn link(receiver: &Receiver, cgroup: &Cgroup, name: &str, hook: bpf_attach_type) -> Result<OwnedFd> {
    sys::link_cgroup(receiver.program(name)?, cgroup.as_fd(), hook)
        .with_context(|| format!("cannot attach {name} to {}", cgroup.path().display()))
}

fn refuse_another(path: &Path, cgroup: &Cgroup) -> Result<()> {
    match link_at(path)? {
        Some((_, other)) if other != 0 && other != cgroup.id() => bail!(
            "{} is attached to {}: detach it first, or name another directory with --pin",
            path.parent().and_then(Path::parent).unwrap_or(path).display(),
            cgroup::path_of(other).map_or_else(|| "another cgroup".into(), |path| path.display().to_string())
        ),
        _ => Ok(()),
    }
}

/// The link at `path`, if there is one. One whose cgroup is gone is removed.
fn pinned(path: &Path) -> Result<Option<OwnedFd>> {
    match link_at(path)? {
        Some((_, 0)) => {
            fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
            Ok(None)
        }
        found => Ok(found.map(|(link, _)| link)),
    }
}

/// The link at `path`, if there is one, and the number of its cgroup; 0 if that is gone.
fn link_at(path: &Path) -> Result<Option<(OwnedFd, u64)>> {
    if !path.exists() {
        return Ok(None);
    }
    let link = sys::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let cgroup = cgroup_id(&link)?;
    Ok(Some((link, cgroup)))
}

/// The number of the cgroup that a pinned receiver is attached to; 0 if that is gone.
///
/// # Errors
/// There is no receiver.
pub fn attached_to(pins: &PinDir) -> Result<u64> {
    let link = sys::open(&pins.path(program::READ)).map_err(|error| pins.explain(error.kind(), &error))?;
    cgroup_id(&link)
}

fn cgroup_id(link: &OwnedFd) -> Result<u64> {
    let file = format!("/proc/self/fdinfo/{}", link.as_raw_fd());
    let info = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let id = info.lines().find_map(|line| line.strip_prefix("cgroup_id:")?.trim().parse().ok());
    id.context("a pin that is not a link to a cgroup")
}

/// Pins the list of connections in place of an older one, with its permissions: who may read it is the
/// administrator's choice, by `chmod`.
fn list(receiver: &Receiver, pins: &PinDir) -> Result<()> {
    let (program, map) = receiver.iterator()?;
    let link = sys::link_iterator(program, map).context("cannot make the list of connections")?;
    let new = pins.path("connections");
    pin(&link, &new)?;
    if let Ok(old) = fs::metadata(pins.connections()) {
        fs::set_permissions(&new, old.permissions())
            .with_context(|| format!("cannot set the permissions of {}", new.display()))?;
    }
    fs::rename(&new, pins.connections())
        .with_context(|| format!("cannot put {} into place", pins.connections().display()))
}

fn pin(link: &OwnedFd, path: &Path) -> Result<()> {
    sys::pin(link.as_fd(), path).with_context(|| format!("cannot pin {}", path.display()))
}
