//! The receiver: its programs and maps, loaded. Pinned maps of an earlier process are taken over, with the clients of
//! all open connections. Next: `attach`.

use std::os::fd::{AsFd, BorrowedFd};

use aya::{
    Ebpf, EbpfLoader,
    maps::{LpmTrie, MapData, PerCpuArray},
    programs::{Program, ProgramError},
};
use caps::Capability;
use evenkeel_loader::{
    bpf,
    privileges::require,
    refusal::{Refusal, one_line},
};
use xdp_ebpf::receiver::{Counters, map};

use crate::{
    error::Error,
    pins::{MAPS, PinDir},
    total::{self, Total},
    trusted::TrustedMap,
};

/// The programs and maps, in the kernel and not attached to anything.
pub struct Receiver(Ebpf);

impl Receiver {
    /// Loads everything. With `pins`, maps are pinned there, or taken over if they are.
    ///
    /// # Errors
    /// The kernel refuses, the process may too little, or this binary was built without BPF programs.
    pub fn load(pins: Option<&PinDir>) -> Result<Self, Error> {
        let object = bpf::receiver()?;
        require(NEEDED)?;
        let mut loader = EbpfLoader::new();
        for name in MAPS {
            if let Some(pins) = pins {
                loader.map_pin_path(name, pins.path(name));
            }
        }
        let mut ebpf = loader.load(object).map_err(|error| Error::Maps(one_line(&error)))?;
        for (name, program) in ebpf.programs_mut() {
            load(program).map_err(|error| Error::Refused(Refusal::new(name, &error)))?;
        }
        Ok(Self(ebpf))
    }

    /// The networks whose options count.
    ///
    /// # Errors
    /// The object is not the receiver's.
    pub fn trusted(&mut self) -> Result<TrustedMap<&mut MapData>, Error> {
        let map = self.0.map_mut(map::TRUSTED).ok_or(Error::Object(map::TRUSTED))?;
        Ok(LpmTrie::try_from(map)?.into())
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// The object is not the receiver's.
    pub fn counted(&self) -> Result<Total, Error> {
        let map = self.0.map(map::COUNTER).ok_or(Error::Object(map::COUNTER))?;
        total::total(&PerCpuArray::<_, Counters>::try_from(map)?)
    }

    /// A program, to be attached.
    pub(crate) fn program(&self, name: &'static str) -> Result<BorrowedFd<'_>, Error> {
        let program = self.0.program(name).ok_or(Error::Object(name))?;
        Ok(program.fd()?.as_fd())
    }
}

/// Maps and programs in general, programs for cgroups, offsets into a segment that the verifier does not know.
const NEEDED: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];

fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SockOps(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
