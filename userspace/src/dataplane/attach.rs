//! Puts the XDP program on the interfaces, by links that are pinned and outlive the process; a link that an earlier
//! process pinned gets the new program in one step, between two packets.
//!
//! All interfaces run it the same way: the kernel drops what native XDP redirects to an interface that cannot do
//! native XDP itself, and nobody would count it.

use std::{
    fmt::Display,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::programs::{
    ProgramError, Xdp,
    links::{FdLink, LinkInfo, LinkType, PinnedLink},
    loaded_links,
    xdp::{XdpError, XdpLink, XdpMode},
};
use nix::errno::Errno;

use super::{
    network::interfaces::{Interface, Mode},
    pins::PinDir,
    unfinished::Unfinished,
};
use crate::dataplane::error::{Error, Result, unfit};

/// How long the kernel may take to detach a program whose link lost its pin: it does that later, on its own time.
const DETACH_PATIENCE: Duration = Duration::from_secs(2);
/// How often to look whether it has.
const DETACH_POLL: Duration = Duration::from_millis(5);

/// Attaches `program` to every interface.
///
/// # Errors
/// An interface has another XDP program or takes none.
pub fn attach(
    program: &mut Xdp,
    pins: &PinDir,
    interfaces: &[Interface],
    unfinished: &mut Unfinished,
) -> Result<()> {
    let generic = interfaces.iter().find(|interface| interface.xdp == Some(Mode::Generic));
    if let Some(interface) = generic {
        tracing::info!("{} has generic XDP already, so all interfaces get it", interface.name);
        attach_all(program, pins, interfaces, Mode::Generic, unfinished)?;
    } else if let Some(refusal) = attach_all(program, pins, interfaces, Mode::Native, unfinished)? {
        tracing::warn!("{refusal}: all interfaces fall back to generic XDP, which is several times slower");
        attach_all(program, pins, interfaces, Mode::Generic, unfinished)?;
    }
    Ok(())
}

/// Attaches to every interface in `mode`. What the first one says that takes no program in the driver, if one does
/// not.
fn attach_all(
    program: &mut Xdp,
    pins: &PinDir,
    interfaces: &[Interface],
    mode: Mode,
    unfinished: &mut Unfinished,
) -> Result<Option<String>> {
    for interface in interfaces {
        let path = pins.link(&interface.name);
        // What this start itself attached a moment ago is not in `interface.xdp`, and is native.
        let there = path.exists().then_some(interface.xdp.unwrap_or(Mode::Native));
        let put = |link: XdpLink| {
            let id = program.attach_to_link(link)?;
            program.take_link(id).map(drop)
        };
        match there {
            Some(now) if now == mode && swap(&path, put)? => continue,
            Some(now) if now != mode => fs::remove_file(&path)?,
            _ => {}
        }
        if let Some(refusal) = attach_new(program, pins, interface, mode, unfinished)? {
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}

/// Looks whether the interfaces can be ours, before anything is changed.
///
/// # Errors
/// One has an XDP program and no link of ours, or a data path of another version is there.
pub fn check(pins: &PinDir, interfaces: &[Interface]) -> Result<()> {
    if let Some(other) = pins.other_version()? {
        unfit!(
            "the data path of another version of Evenkeel is loaded ({}), whose sessions this one cannot take over: `evenkeel unload{}` drops it with all its sessions and lets this one start",
            other.display(),
            pins.option()
        );
    }
    match interfaces.iter().find(|interface| interface.xdp.is_some() && !pins.link(&interface.name).exists())
    {
        Some(interface) => Err(taken(interface)),
        None => Ok(()),
    }
}

/// Swaps the program inside the link that is pinned at `path` by `put`, which shall not keep the link: only the pin shall
/// hold it, so that it ends with the pin. `false` if there is none, or its interface is gone.
pub(super) fn swap<L>(path: &Path, put: impl FnOnce(L) -> Result<(), ProgramError>) -> Result<bool>
where
    L: TryFrom<FdLink, Error: Display>,
{
    if !path.exists() {
        return Ok(false);
    }
    let pinned =
        PinnedLink::from_pin(path).map_err(|error| Error::Unfit(format!("{}: {error}", path.display())))?;
    let link =
        L::try_from(pinned.into()).map_err(|error| Error::Unfit(format!("{}: {error}", path.display())))?;
    match put(link) {
        Ok(()) => Ok(true),
        Err(error) if errno(&error) == Some(Errno::ENOLINK) => {
            fs::remove_file(path)?;
            Ok(false)
        }
        Err(error) => unfit!("cannot swap the program in {}: {}", path.display(), reason(&error)),
    }
}

fn attach_new(
    program: &mut Xdp,
    pins: &PinDir,
    interface: &Interface,
    mode: Mode,
    unfinished: &mut Unfinished,
) -> Result<Option<String>> {
    let name = &interface.name;
    let flag = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic => XdpMode::Skb,
    };
    let deadline = Instant::now() + DETACH_PATIENCE;
    let id = loop {
        match program.attach_to_if_index(interface.index, flag) {
            Ok(id) => break id,
            Err(error) if is_taken(&error) && Instant::now() < deadline => thread::sleep(DETACH_POLL),
            Err(error) if is_taken(&error) => return Err(taken(interface)),
            Err(error) if mode == Mode::Native => {
                return Ok(Some(format!("{name} refuses native XDP ({})", reason(&error))));
            }
            Err(error) => unfit!("cannot attach XDP to {name}: {}", reason(&error)),
        }
    };
    let link: FdLink = program
        .take_link(id)?
        .try_into()
        .map_err(|_| Error::Unfit("the kernel has no XDP links: Linux 5.9 or newer is needed".into()))?;
    let path = pins.link(name);
    link.pin(&path).map_err(|error| Error::Unfit(format!("cannot pin {}: {error}", path.display())))?;
    unfinished.add(path);
    Ok(None)
}

/// Names the command that takes the other program off: a link holds its own against `ip`, and `ip` has to be told the mode.
fn taken(interface: &Interface) -> Error {
    let Interface { name, .. } = interface;
    let way = match (interface.program, interface.xdp) {
        (Some(program), Some(mode)) => match links_of(program)[..] {
            [] => format!("`ip link set dev {name} {} off`", ip_word(mode)),
            [id] => format!("`bpftool link detach id {id}`"),
            _ => format!("`bpftool link show` has it with {name}, and `bpftool link detach id` takes it off"),
        },
        // It is not on this very interface.
        _ => "`bpftool net show` has it".to_owned(),
    };
    Error::Unfit(format!(
        "{name}, or the bridge or bond that it is part of, has another XDP program: detach it ({way}), or end the program that owns it"
    ))
}

/// What `ip link` calls a mode.
fn ip_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Native => "xdpdrv",
        Mode::Generic => "xdpgeneric",
    }
}

/// The ids of the links by which an XDP program is attached anywhere.
fn links_of(program: u32) -> Vec<u32> {
    let is_one =
        |link: &LinkInfo| matches!(link.link_type(), Ok(LinkType::Xdp)) && link.program_id() == program;
    loaded_links().filter_map(Result::ok).filter(is_one).map(|link| link.id()).collect()
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
    match errno(error) {
        Some(Errno::EOPNOTSUPP) => "its driver has none".to_owned(),
        Some(errno) => errno.desc().to_owned(),
        None => error.to_string(),
    }
}
