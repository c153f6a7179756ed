//! Puts the program for what this host itself sends (`ek_egress`) behind the interfaces, as `attach` does with XDP: by
//! pinned links that get a new process's program in one step. Other programs of the same kind may be there too.

use anyhow::{Context, Result, anyhow, bail};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::{FdLink, PinnedLink},
    tc::{SchedClassifierLink, TcAttachOptions},
};
use nix::errno::Errno;

use super::{load::Unfinished, network::interfaces::Interface, pins::PinDir};

/// Attaches `program` to these interfaces, each with a wire of its own, and detaches it from those that have a link and are not in the list.
///
/// # Errors
/// An interface takes none.
pub fn attach(
    program: &mut SchedClassifier,
    pins: &PinDir,
    interfaces: &[Interface],
    unfinished: &mut Unfinished,
) -> Result<()> {
    for Interface { name, .. } in interfaces {
        if swap(program, pins, name)? {
            continue;
        }
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        let attached = program.attach_with_options(name, TcAttachType::Egress, order);
        let id = attached.with_context(|| format!("cannot attach a program to what {name} sends"))?;
        let link = FdLink::try_from(program.take_link(id)?).context("the kernel has no tcx links")?;
        let path = pins.egress(name);
        link.pin(&path).map_err(|error| anyhow!("cannot pin {}: {error}", path.display()))?;
        unfinished.add(path);
    }
    for name in pins.with_egress()? {
        if !interfaces.iter().any(|interface| interface.name == name) {
            std::fs::remove_file(pins.egress(&name))?;
        }
    }
    Ok(())
}

/// Swaps the program inside the interface's pinned link. `false` if there is none, or its interface is gone.
fn swap(program: &mut SchedClassifier, pins: &PinDir, name: &str) -> Result<bool> {
    let path = pins.egress(name);
    if !path.exists() {
        return Ok(false);
    }
    let pinned = PinnedLink::from_pin(&path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let link = SchedClassifierLink::try_from(FdLink::from(pinned));
    match program.attach_to_link(link.map_err(|error| anyhow!("{}: {error}", path.display()))?) {
        Ok(id) => {
            // Only the pin shall hold the link, so that it ends with the pin.
            drop(program.take_link(id)?);
            Ok(true)
        }
        Err(ProgramError::SyscallError(call))
            if call.io_error.raw_os_error() == Some(Errno::ENOLINK as i32) =>
        {
            std::fs::remove_file(&path)?;
            Ok(false)
        }
        Err(error) => bail!("cannot swap the program for what {name} sends: {error}"),
    }
}
