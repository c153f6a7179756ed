//! Puts the XDP program on the interfaces, by links that are pinned and outlive the process; a link that an earlier
//! process pinned gets the new program in one step, between two packets.

use anyhow::{Result, anyhow, bail};
use aya::programs::{
    ProgramError, Xdp,
    links::{FdLink, PinnedLink},
    xdp::{XdpError, XdpLink, XdpMode},
};
use nix::errno::Errno;

use super::{load::Unfinished, network::interfaces::Interface, pins::PinDir};

/// Attaches `program` to every interface and detaches it from those that have a link and are not in the list.
///
/// # Errors
/// An interface has another XDP program or takes none.
pub fn attach(
    program: &mut Xdp,
    pins: &PinDir,
    interfaces: &[Interface],
    unfinished: &mut Unfinished,
) -> Result<()> {
    for interface in interfaces {
        if !swap(program, pins, interface)? {
            attach_new(program, pins, interface, unfinished)?;
        }
    }
    for name in pins.linked()? {
        if !interfaces.iter().any(|interface| interface.name == name) {
            std::fs::remove_file(pins.link(&name))?;
            tracing::info!("{name} is no longer in host.interfaces: XDP detached");
        }
    }
    Ok(())
}

/// Looks whether the interfaces can be ours, before anything is changed.
///
/// # Errors
/// One has an XDP program and no link of ours.
pub fn check(pins: &PinDir, interfaces: &[Interface]) -> Result<()> {
    match interfaces.iter().find(|interface| interface.xdp.is_some() && !pins.link(&interface.name).exists())
    {
        Some(interface) => Err(taken(&interface.name)),
        None => Ok(()),
    }
}

/// Swaps the program inside the interface's pinned link. `false` if there is none, or its interface is gone.
fn swap(program: &mut Xdp, pins: &PinDir, interface: &Interface) -> Result<bool> {
    let path = pins.link(&interface.name);
    if !path.exists() {
        return Ok(false);
    }
    let pinned: FdLink =
        PinnedLink::from_pin(&path).map_err(|error| anyhow!("{}: {error}", path.display()))?.into();
    let link = XdpLink::try_from(pinned).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    match program.attach_to_link(link) {
        Ok(_) => Ok(true),
        Err(error) if errno(&error) == Some(Errno::ENOLINK) => {
            std::fs::remove_file(&path)?;
            Ok(false)
        }
        Err(error) => bail!("cannot swap the XDP program on {}: {}", interface.name, reason(&error)),
    }
}

fn attach_new(
    program: &mut Xdp,
    pins: &PinDir,
    interface: &Interface,
    unfinished: &mut Unfinished,
) -> Result<()> {
    let name = &interface.name;
    let attached = match program.attach_to_if_index(interface.index, XdpMode::Driver) {
        Err(error) if !is_taken(&error) => {
            tracing::warn!(
                "{name} refuses native XDP ({}): falling back to generic XDP, which is several times slower",
                reason(&error)
            );
            program.attach_to_if_index(interface.index, XdpMode::Skb)
        }
        attached => attached,
    };
    let id = attached.map_err(|error| match is_taken(&error) {
        true => taken(name),
        false => anyhow!("cannot attach XDP to {name}: {}", reason(&error)),
    })?;
    let link: FdLink = program
        .take_link(id)?
        .try_into()
        .map_err(|_| anyhow!("the kernel has no XDP links: Linux 5.9 or newer is needed"))?;
    let path = pins.link(name);
    link.pin(&path).map_err(|error| anyhow!("cannot pin {}: {error}", path.display()))?;
    unfinished.add(path);
    Ok(())
}

fn taken(name: &str) -> anyhow::Error {
    anyhow!(
        "{name} has another XDP program: detach it (`ip link set dev {name} xdp off`, or end the program that owns it)"
    )
}

fn is_taken(error: &ProgramError) -> bool {
    matches!(errno(error), Some(Errno::EBUSY | Errno::EEXIST))
}

fn errno(error: &ProgramError) -> Option<Errno> {
    let number = match error {
        ProgramError::SyscallError(call) => call.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    };
    number.map(Errno::from_raw)
}

fn reason(error: &ProgramError) -> String {
    errno(error).map_or_else(|| error.to_string(), |errno| errno.desc().to_owned())
}
