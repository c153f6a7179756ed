//! What newer kernels have and older ones have not: looked for at the start, said once if it is missing, and worked
//! around. No version is compared: distributions bring features to older kernels.

use std::borrow::Cow;

use aya::{
    programs::{ProgramType, SchedClassifier, TcAttachType},
    sys::{BpfHelper, is_helper_supported},
};

use crate::dataplane::error::Result;

/// What is said of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// What it is, in the kernel's words.
    pub name: &'static str,
    /// The first series that has it.
    pub since: &'static str,
    /// What holds without it.
    pub without: &'static str,
}

impl Floor {
    /// Says that this kernel lacks it.
    pub fn tell_missing(self) {
        let Self { name, since, without } = self;
        tracing::info!("this kernel has no {name} (Linux {since} has): {without}");
    }
}

/// XDP programs that take frames in several pieces, as jumbo frames come.
pub const FRAGS: Floor = Floor {
    name: "XDP frags",
    since: "5.18",
    without: "an interface with an MTU above some 3,500 bytes takes no native XDP, and all fall back to generic XDP",
};
/// Links for programs of traffic control.
pub const TCX: Floor = Floor {
    name: "tcx",
    since: "6.6",
    without: "what the host sends is seen by a filter of the clsact qdisc",
};
/// Neighbours that the kernel keeps resolved. An older one takes them as others and forgets the mark: seen when they are
/// read back.
pub const MANAGED_NEIGHBOURS: Floor = Floor {
    name: "managed neighbours",
    since: "5.16",
    without: "the daemon has next hops' MACs resolved every 10 s, and nobody does while none runs",
};

/// All there is to say, oldest first: what docs/operations.md says of kernels.
pub const FLOORS: [Floor; 5] = [
    Floor { name: "XDP links, `sk_lookup`", since: "5.9", without: "does not start" },
    Floor { name: "BPF atomics with results", since: "5.12", without: "does not start" },
    MANAGED_NEIGHBOURS,
    FRAGS,
    TCX,
];

/// What was found of those that a program depends on.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// See [`FRAGS`].
    pub frags: bool,
    /// See [`TCX`].
    pub tcx: bool,
}

impl Features {
    /// Asks the kernel.
    ///
    /// # Errors
    /// It takes no question.
    pub fn probe() -> Result<Self> {
        let frags = is_helper_supported(ProgramType::Xdp, BpfHelper::BPF_FUNC_xdp_get_buff_len)?;
        Ok(Self { frags, tcx: has_tcx() })
    }

    /// One line for each that is missing.
    pub fn tell(self) {
        for (there, floor) in [(self.frags, FRAGS), (self.tcx, TCX)] {
            if !there {
                floor.tell_missing();
            }
        }
    }

    /// The object as this kernel takes it: a program in a section `xdp.frags` is loaded with a flag that others refuse.
    pub fn fit(self, object: &[u8]) -> Cow<'_, [u8]> {
        const SECTION: &[u8; 10] = b"xdp.frags\0";
        const INSTEAD: &[u8; 10] = b"xdp\0\0\0\0\0\0\0";
        if self.frags {
            return object.into();
        }
        let mut object = object.to_vec();
        let places: Vec<usize> = object
            .windows(SECTION.len())
            .enumerate()
            .filter_map(|(at, bytes)| (bytes == SECTION).then_some(at))
            .collect();
        for at in places {
            object[at..at + INSTEAD.len()].copy_from_slice(INSTEAD);
        }
        object.into()
    }
}

/// Whether the kernel has [`TCX`].
pub fn has_tcx() -> bool {
    SchedClassifier::query_tcx("lo", TcAttachType::Egress).is_ok()
}
