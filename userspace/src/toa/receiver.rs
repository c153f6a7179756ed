//! The receiver: its programs and maps, loaded. Pinned maps of an earlier process are taken over, with the clients of
//! all open connections. Next: `attach`.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, anyhow};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{LpmTrie, MapData, PerCpuArray},
    programs::{Program, ProgramError},
};
use caps::Capability;
use xdp_ebpf::receiver::{Counters, map, program};

use super::{
    pins::{MAPS, PinDir},
    report::{self, Total},
    trusted::TrustedMap,
};
use crate::{
    bpf,
    privileges::{TOO_OLD, is_kernel_too_old, require},
};

/// The iterator's kind, as the kernel calls it.
const OVER_SOCKET_STORAGE: &str = "bpf_sk_storage_map";

/// The programs and maps, in the kernel and not attached to anything.
pub struct Receiver(Ebpf);

impl Receiver {
    /// Loads everything. With `pins`, maps are pinned there, or taken over if they are.
    ///
    /// # Errors
    /// The kernel refuses, the process may too little, or this binary was built without BPF programs.
    pub fn load(pins: Option<&PinDir>) -> Result<Self> {
        let object = bpf::toa_object().context(
            "this binary was built without its BPF programs: run `cargo xtask setup`, then build again",
        )?;
        require(NEEDED)?;
        let mut loader = EbpfLoader::new();
        for name in MAPS {
            if let Some(pins) = pins {
                loader.map_pin_path(name, pins.path(name));
            }
        }
        let btf = Btf::from_sys_fs().map_err(|error| {
            anyhow!(
                "this kernel does not tell its types, which takes one with CONFIG_DEBUG_INFO_BTF: {}",
                chain(&error)
            )
        })?;
        let mut ebpf = loader
            .load(object)
            .map_err(|error| anyhow!("cannot load the BPF maps: {}{}", chain(&error), way_out()))?;
        for (name, program) in ebpf.programs_mut() {
            load(program, &btf)
                .map_err(|error| anyhow!("the kernel refuses {name}: {}{}", reason(&error), way_out()))?;
        }
        Ok(Self(ebpf))
    }

    /// The networks whose options count.
    ///
    /// # Errors
    /// The object is not the receiver's.
    pub fn trusted(&mut self) -> Result<TrustedMap<&mut MapData>> {
        let map = self.0.map_mut(map::TRUSTED).context("the object has no map of trusted networks")?;
        Ok(LpmTrie::try_from(map)?.into())
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// The object is not the receiver's.
    pub fn counted(&self) -> Result<Total> {
        let map = self.0.map(map::COUNTER).context("the object has no counters")?;
        report::total(&PerCpuArray::<_, Counters>::try_from(map)?)
    }

    /// A program, to be attached.
    pub(super) fn program(&self, name: &str) -> Result<BorrowedFd<'_>> {
        let program = self.0.program(name).with_context(|| format!("the object has no program {name}"))?;
        Ok(program.fd()?.as_fd())
    }

    /// The iterator's program and the map that it goes over.
    pub(super) fn iterator(&self) -> Result<(BorrowedFd<'_>, BorrowedFd<'_>)> {
        let map = self.0.map(map::CLIENT).context("the object has no map of clients")?;
        let aya::maps::Map::SkStorage(map) = map else {
            return Err(anyhow!("{} is not socket storage", map::CLIENT));
        };
        Ok((self.program(program::LIST)?, map.fd().as_fd()))
    }
}

/// Maps and programs in general, programs for cgroups, programs that read kernel memory.
const NEEDED: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];

/// What to do about a kernel that refuses. Older ones than those that are supported may do.
fn way_out() -> String {
    if is_kernel_too_old().unwrap_or(false) { format!("; {TOO_OLD}") } else { String::new() }
}

fn load(program: &mut Program, btf: &Btf) -> Result<(), ProgramError> {
    match program {
        Program::SockOps(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::Iter(program) => program.load(OVER_SOCKET_STORAGE, btf),
        other => Err(ProgramError::UnexpectedProgramType).inspect_err(|_| tracing::debug!("{other:?}")),
    }
}

/// The kernel's errno, or the last line of the verifier's log, which is pages long.
fn reason(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let last =
                log.lines().rev().find(|line| !line.trim().is_empty() && !line.starts_with("processed"));
            format!("{io_error} ({})", last.unwrap_or("no log"))
        }
        error => chain(error),
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
