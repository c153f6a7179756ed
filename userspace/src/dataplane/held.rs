//! What a daemon holds of its data path beside the pins, so that it survives the loss of those: somebody removes the
//! directory, or unmounts its file system. Its links are held, so XDP stays on the interfaces; its maps are open anyway.
//! When there is a place again, everything is pinned there again, for the commands that look in and for the next daemon.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use aya::{
    maps::MapInfo,
    programs::{
        ProgramInfo,
        links::{FdLink, PinnedLink},
    },
};
use xdp_ebpf::abi::map;

use super::{load::Programs, pins::PinDir};
use crate::dataplane::error::{Context, Error, Result};

/// A link, held twice: pinning consumes one of them.
struct Link {
    id: u32,
    handles: Vec<FdLink>,
}

/// The links.
#[derive(Default)]
pub struct Held {
    links: BTreeMap<PathBuf, Link>,
    /// Pins of filters, which stay on their interfaces by themselves.
    filters: Vec<PathBuf>,
}

impl Held {
    /// Holds the links that are pinned now, and no others.
    ///
    /// # Errors
    /// A pin cannot be opened.
    pub fn hold(&mut self, pins: &PinDir) -> Result<()> {
        self.links.clear();
        for path in pins.links()? {
            let handles = vec![open(&path)?, open(&path)?];
            let id = handles[0].info().with_context(|| path.display().to_string())?.id();
            self.links.insert(path, Link { id, handles });
        }
        self.filters = pins.with_filter()?.iter().map(|name| pins.filter(name)).collect();
        Ok(())
    }

    /// Holds none: the kernel detaches a program when the last holder of its link lets go.
    pub fn let_go(&mut self) {
        self.links.clear();
    }

    /// Pins what is not pinned any more. Returns how many pins that were.
    ///
    /// # Errors
    /// There is no place for them.
    pub fn restore(&mut self, pins: &PinDir, programs: &mut Programs) -> Result<usize> {
        let mut restored = 0;
        for name in map::ALL {
            let Some(map) = programs.map(name) else { continue };
            let path = pins.map(name);
            let id = |path: &Path| MapInfo::from_pin(path).ok().map(|info| info.id());
            if id(&path) != programs.map_id(name) {
                make_room(pins, &path)?;
                map.pin(&path).map_err(|error| cannot_pin(&path, &error))?;
                restored += 1;
            }
        }
        let path = pins.clock();
        if ProgramInfo::from_pin(&path).is_err() {
            make_room(pins, &path)?;
            programs.clock()?.pin(&path).map_err(|error| cannot_pin(&path, &error))?;
            restored += 1;
        }
        for path in &self.filters {
            if ProgramInfo::from_pin(path).is_err() {
                make_room(pins, path)?;
                programs.egress()?.pin(path).map_err(|error| cannot_pin(path, &error))?;
                restored += 1;
            }
        }
        for (path, link) in &mut self.links {
            let id = open(path).ok().and_then(|there| there.info().ok()).map(|info| info.id());
            if id == Some(link.id) {
                continue;
            }
            make_room(pins, path)?;
            // The last one stays: with it the program would go.
            let spare = if link.handles.len() > 1 { link.handles.pop() } else { None };
            let spare = spare.with_context(|| format!("{} could not be pinned again", path.display()))?;
            let pinned = spare.pin(path).map_err(|error| cannot_pin(path, &error))?;
            link.handles.push(pinned.into());
            restored += 1;
        }
        Ok(restored)
    }
}

fn open(path: &Path) -> Result<FdLink> {
    let pinned = PinnedLink::from_pin(path).with_context(|| path.display().to_string())?;
    Ok(pinned.into())
}

/// The directory is there, and nothing of another's at this path.
fn make_room(pins: &PinDir, path: &Path) -> Result<()> {
    pins.prepare()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn cannot_pin(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Unfit(format!("cannot pin {}: {error}", path.display()))
}
