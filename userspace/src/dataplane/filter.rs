//! The filter of the clsact qdisc by which `egress` attaches where there are no links: its place, and how it goes.

use std::io;

use aya::programs::{
    Link, ProgramError, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcHandle},
};
use nix::errno::Errno;

use crate::dataplane::error::{Context, Result};

/// Its place among others of clsact: those with a lower priority see a packet first.
pub const PLACE: NlOptions = NlOptions { priority: 228, handle: TcHandle::new(0, 1), classid: None };

/// Takes the filter off the interface of this name; one that is not there is fine.
///
/// # Errors
/// The kernel refuses.
pub fn detach(name: &str) -> Result<()> {
    // Its filter is gone with an interface.
    let Ok(link) = at(name) else { return Ok(()) };
    match link.detach() {
        Err(ProgramError::NetlinkError(error))
            if !matches!(
                error.raw_os_error().map(Errno::from_raw),
                Some(Errno::ENOENT | Errno::EINVAL | Errno::ENODEV)
            ) =>
        {
            Err(error).with_context(|| format!("cannot detach the filter of what {name} sends"))
        }
        _ => Ok(()),
    }
}

/// The filter of an interface, whether or not it is there.
///
/// # Errors
/// There is no such interface.
pub fn at(name: &str) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(name, TcAttachType::Egress, PLACE.priority, PLACE.handle, PLACE.classid)
}
