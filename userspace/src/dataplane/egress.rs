//! Puts the program for what this host itself sends (`ek_egress`) behind the interfaces, as `attach` does with XDP: by
//! pinned links that get a new process's program in one step. Other programs of the same kind may be there too.
//!
//! A kernel without such links (tcx) gets a filter of the clsact qdisc instead, which also takes a new program
//! in one step. It goes with the interface or when it is told to, not with a pin: the pin of its program says that it is
//! there.

use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType,
    links::FdLink,
    tc::{self, SchedClassifierLink, TcAttachOptions, TcError},
};

use super::{
    attach::swap, features::has_tcx, filter, network::interfaces::Interface, pins::PinDir,
    unfinished::Unfinished,
};
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
    let put = if has_tcx() { put_link } else { put_filter };
    interfaces.iter().try_for_each(|interface| put(program, pins, &interface.name, unfinished))
}

fn put_link(
    program: &mut SchedClassifier,
    pins: &PinDir,
    name: &str,
    unfinished: &mut Unfinished,
) -> Result<()> {
    let path = pins.egress(name);
    let put = |link: SchedClassifierLink| {
        let id = program.attach_to_link(link)?;
        program.take_link(id).map(drop)
    };
    if swap(&path, put)? {
        return Ok(());
    }
    let order = TcAttachOptions::TcxOrder(LinkOrder::default());
    let attached = program.attach_with_options(name, TcAttachType::Egress, order);
    let id = attached.with_context(|| format!("cannot attach a program to what {name} sends"))?;
    let link = FdLink::try_from(program.take_link(id)?).context("the kernel has no tcx links")?;
    link.pin(&path).map_err(|error| Error::Unfit(format!("cannot pin {}: {error}", path.display())))?;
    unfinished.add(path);
    Ok(())
}

fn put_filter(
    program: &mut SchedClassifier,
    pins: &PinDir,
    name: &str,
    unfinished: &mut Unfinished,
) -> Result<()> {
    let path = pins.filter(name);
    // It is gone with its interface, if another one has the name now.
    let there =
        path.exists().then(|| program.attach_to_link(filter::at(name)?)).and_then(std::result::Result::ok);
    let id = match there {
        Some(id) => id,
        None => {
            match tc::qdisc_add_clsact(name) {
                Ok(()) | Err(TcError::AlreadyAttached) => {}
                Err(error) => Err(error).with_context(|| format!("cannot give {name} a clsact qdisc"))?,
            }
            let place = TcAttachOptions::Netlink(filter::PLACE);
            let attached = program.attach_with_options(name, TcAttachType::Egress, place);
            let id = attached.with_context(|| format!("cannot attach a filter to what {name} sends"))?;
            unfinished.add_filter(name.to_owned());
            unfinished.add(path.clone());
            id
        }
    };
    // Dropped, it would detach.
    std::mem::forget(program.take_link(id)?);
    pins.remove_pin(&path)?;
    program.pin(&path).with_context(|| format!("cannot pin {}", path.display()))
}
