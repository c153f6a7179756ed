//! Puts the program for what this host itself sends (`ek_egress`) behind the interfaces, as `attach` does with XDP: by
//! pinned links that get a new process's program in one step. Other programs of the same kind may be there too.

use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType,
    links::FdLink,
    tc::{SchedClassifierLink, TcAttachOptions},
};

use super::{attach::swap, load::Unfinished, network::interfaces::Interface, pins::PinDir};
use crate::dataplane::error::{Context, Error, Result};

/// Attaches `program` to these interfaces, each with a wire of its own.
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
        let path = pins.egress(name);
        let put = |link: SchedClassifierLink| {
            let id = program.attach_to_link(link)?;
            program.take_link(id).map(drop)
        };
        if swap(&path, put)? {
            continue;
        }
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        let attached = program.attach_with_options(name, TcAttachType::Egress, order);
        let id = attached.with_context(|| format!("cannot attach a program to what {name} sends"))?;
        let link = FdLink::try_from(program.take_link(id)?).context("the kernel has no tcx links")?;
        link.pin(&path).map_err(|error| Error::Unfit(format!("cannot pin {}: {error}", path.display())))?;
        unfinished.add(path);
    }
    Ok(())
}
