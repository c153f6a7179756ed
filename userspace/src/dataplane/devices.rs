//! The interfaces of the configuration as they are by now, and the programs on them. One that goes away is forgotten; what
//! comes under its name later is another one for the kernel, and gets the programs.

use std::fs;

use rtnetlink::Handle;

use super::{
    attach, egress,
    load::{Programs, Unfinished},
    network::interfaces::{self, Interface},
    pins::PinDir,
    tables::Tables,
};
use crate::dataplane::error::Result;
use evenkeel_loader::refusal::one_line;

/// What the data path is on.
pub struct Devices {
    names: Vec<String>,
    pins: PinDir,
    programs: Programs,
    present: Vec<Interface>,
    stale: bool,
}

impl Devices {
    /// The interfaces with these names are `present`; `programs` are on none yet.
    pub fn new(names: Vec<String>, pins: PinDir, programs: Programs, present: Vec<Interface>) -> Self {
        Self { names, pins, programs, present, stale: false }
    }

    /// The interfaces that are there.
    pub fn present(&self) -> &[Interface] {
        &self.present
    }

    /// The programs.
    pub fn programs(&mut self) -> &mut Programs {
        &mut self.programs
    }

    /// Puts the programs on these wires.
    ///
    /// # Errors
    /// One takes none.
    pub fn attach(&mut self, wires: &[Interface], unfinished: &mut Unfinished) -> Result<()> {
        attach::attach(self.programs.forwarder()?, &self.pins, wires, unfinished)?;
        egress::attach(self.programs.egress()?, &self.pins, wires, unfinished)
    }

    /// Takes the programs off all interfaces but these wires.
    ///
    /// # Errors
    /// A pin cannot be removed.
    pub fn detach_from_others(&self, wires: &[Interface]) -> Result<()> {
        let is_other = |name: &String| !wires.iter().any(|wire| wire.name == *name);
        for name in self.pins.linked()?.into_iter().filter(is_other) {
            fs::remove_file(self.pins.link(&name))?;
            tracing::info!("{name} is no longer in host.interfaces: XDP detached");
        }
        for name in self.pins.with_egress()?.into_iter().filter(is_other) {
            fs::remove_file(self.pins.egress(&name))?;
        }
        Ok(())
    }

    /// Takes note of a link that came, went or changed; [`Self::refresh`] acts on it.
    pub fn note(&mut self, link: &Interface) {
        self.stale |= self.names.contains(&link.name)
            || self.present.iter().any(|known| [known.index, known.device].contains(&link.index));
    }

    /// Looks what has become of the interfaces, if there was a note of that, tells the data path, and puts the programs on
    /// those that are back. Whether anything has changed.
    ///
    /// # Errors
    /// Netlink fails; the next call tries again.
    pub async fn refresh(&mut self, handle: &Handle, tables: &mut Tables) -> Result<bool> {
        if !self.stale {
            return Ok(false);
        }
        let all = interfaces::all(handle).await?;
        self.stale = false;
        let now = interfaces::present(&self.names, &self.present, &all);
        if now == self.present {
            return Ok(false);
        }
        let before = std::mem::replace(&mut self.present, now);
        for Interface { name, .. } in without(&before, &self.present) {
            tracing::warn!("{name} is gone: nothing goes that way until it is back");
        }
        if let Err(error) = interfaces::write(tables, &self.present) {
            tracing::warn!("{}", one_line(&error));
        }
        let wires = interfaces::wires(&self.present, &all);
        if wires.iter().any(|wire| wire.xdp.is_none()) {
            let mut unfinished = Unfinished::default();
            if let Err(error) = self.attach(&wires, &mut unfinished) {
                tracing::warn!("{}", one_line(&error));
                return Ok(true);
            }
            unfinished.finish();
        }
        for Interface { name, .. } in without(&self.present, &before) {
            tracing::info!("{name} is back");
        }
        Ok(true)
    }
}

/// Those of `these` that are not among `others`.
fn without<'a>(these: &'a [Interface], others: &'a [Interface]) -> impl Iterator<Item = &'a Interface> {
    these.iter().filter(|this| !others.iter().any(|other| other.index == this.index))
}
