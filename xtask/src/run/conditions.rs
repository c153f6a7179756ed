//! What the balancer needs of this machine: root, a kernel that is new enough, and a BPF file system.

use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::{
    mount::{MsFlags, mount, umount},
    sys::{
        statfs::{BPF_FS_MAGIC, statfs},
        utsname::uname,
    },
};

use crate::{progress, setup};

/// The oldest kernel series that is supported: the first long-term one with everything the data path asks for.
const OLDEST: (u32, u32) = (6, 6);
/// Where pins are.
pub const BPFFS: &str = "/sys/fs/bpf";

/// Whether the balancer can run here.
///
/// # Errors
/// With what is missing and the way out.
pub fn check() -> Result<()> {
    setup::require_root("run")?;
    let release = uname().context("uname")?.release().to_string_lossy().into_owned();
    if series(&release).is_some_and(|series| series < OLDEST) {
        let (major, minor) = OLDEST;
        bail!("this kernel is {release}, and Evenkeel needs {major}.{minor} or newer: boot a newer one");
    }
    Ok(())
}

/// `6.18.44-arch1` is of the series 6.18.
fn series(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Mounts the BPF file system if it is not there. Whether it had to.
///
/// # Errors
/// If it cannot be mounted.
pub fn mount_bpffs() -> Result<bool> {
    let there =
        statfs(Path::new(BPFFS)).is_ok_and(|file_system| file_system.filesystem_type() == BPF_FS_MAGIC);
    if there {
        return Ok(false);
    }
    let mounted = mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>);
    mounted.with_context(|| {
        format!("there is no BPF file system at {BPFFS}, and `mount -t bpf bpf {BPFFS}` fails; in a container, it has to be mounted from outside")
    })?;
    progress::line("bpffs", format_args!("mounted at {BPFFS}"));
    Ok(true)
}

/// A BPF file system for as long as this lives; one that was there stays.
#[derive(Debug)]
pub struct BpfFs {
    mounted: bool,
}

impl BpfFs {
    /// Mounts it if it is not there.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn new() -> Result<Self> {
        Ok(Self { mounted: mount_bpffs()? })
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        if self.mounted && umount(BPFFS).is_err() {
            progress::line("bpffs", format_args!("{BPFFS} is in use by others now and stays mounted"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_apart_by_number_and_not_by_letter() {
        assert!(series("6.18.44-fc").unwrap() > OLDEST);
        assert!(series("10.0-rc1").unwrap() > OLDEST);
        assert!(series("5.15.0-91-generic").unwrap() < OLDEST);
        assert_eq!(series("unknown"), None);
    }
}
