//! What the balancer needs of this machine beside root: a BPF file system. What its kernel lacks, the balancer says.

use std::path::Path;

use anyhow::{Context, Result};
use nix::{
    mount::{MsFlags, mount, umount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use crate::progress;

/// Where pins are.
pub const BPFFS: &str = "/sys/fs/bpf";

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
