//! The interfaces of the configuration as they are by now, and the programs on them. One that goes away is forgotten; what
//! comes under its name later is another one for the kernel, and gets the programs.

use std::fs;

use rtnetlink::Handle;

use super::{
    attach, egress, filter,
    held::Held,
    load::Programs,
    network::interfaces::{self, Interface},
    pins::PinDir,
    tables::Tables,
    unfinished::Unfinished,
};
use crate::dataplane::error::Result;
use evenkeel_loader::refusal::one_line;

/// What the data path is on.
pub struct Devices {
    names: Vec<String>,
    pins: PinDir,
    programs: Programs,
    present: Vec<Interface>,
    held: Held,
    stale: bool,
    /// What is not as it has to be, in the words that were said of it.
    problem: Option<String>,
}

impl Devices {
    /// The interfaces with these names are `present`; `programs` are on none yet.
    pub fn new(names: Vec<String>, pins: PinDir, programs: Programs, present: Vec<Interface>) -> Self {
        let held = Held::default();
        Self { names, pins, programs, present, held, stale: false, problem: None }
    }

    /// The interfaces that are there.
    pub fn present(&self) -> &[Interface] {
        &self.present
    }

    /// Where they are pinned.
    pub fn pins(&self) -> &PinDir {
        &self.pins
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
        // What takes another's place waits until nobody holds that.
        self.held.let_go();
        let attached = attach::attach(self.programs.forwarder()?, &self.pins, wires, unfinished)
            .and_then(|()| egress::attach(self.programs.egress()?, &self.pins, wires, unfinished));
        self.held.hold(&self.pins)?;
        attached
    }

    /// Everything is attached: from now on it stays there also without its pins.
    ///
    /// # Errors
    /// A pin cannot be opened.
    pub fn hold(&mut self) -> Result<()> {
        self.held.hold(&self.pins)
    }

    /// Looks whether the pins are there and the programs attached, and puts back what is not; what it cannot is said once,
    /// and is [`Self::problem`] until it is well again. Whether the interfaces have changed. To be called about once a
    /// second.
    pub async fn look(&mut self, handle: &Handle, tables: &mut Tables) -> bool {
        let restored = self.held.restore(&self.pins, &mut self.programs);
        if let Ok(1..) = restored {
            tracing::warn!(
                "{} had lost pins of the data path; they are there again, and nothing was interrupted",
                self.pins.root().display()
            );
        }
        self.stale = true;
        let refreshed = self.refresh(handle, tables).await;
        let has_changed = matches!(refreshed, Ok(true));
        let problem = restored.map(drop).and(refreshed.map(drop)).err().map(|error| one_line(&error));
        match &problem {
            Some(problem) if self.problem.as_ref() != Some(problem) => tracing::warn!("{problem}"),
            None if self.problem.is_some() => tracing::info!("the data path is as it has to be again"),
            _ => {}
        }
        self.problem = problem;
        has_changed
    }

    /// What is not as it has to be.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
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
        for name in self.pins.with_filter()?.into_iter().filter(is_other) {
            filter::detach(&name)?;
            fs::remove_file(self.pins.filter(&name))?;
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
        let wires = interfaces::wires(&now, &all);
        let ours = self.programs.forwarder_id()?;
        let is_bare = wires.iter().any(|wire| wire.program != Some(ours));
        if now == self.present && !is_bare {
            return Ok(false);
        }
        let before = std::mem::replace(&mut self.present, now);
        for Interface { name, .. } in without(&before, &self.present) {
            tracing::warn!("{name} is gone: nothing goes that way until it is back");
        }
        if let Err(error) = interfaces::write(tables, &self.present) {
            tracing::warn!("{}", one_line(&error));
        }
        if is_bare {
            for wire in wires.iter().filter(|wire| wire.program != Some(ours) && is_known(&before, wire)) {
                tracing::warn!("{} has lost the XDP program, and gets it again", wire.name);
            }
            let mut unfinished = Unfinished::default();
            self.attach(&wires, &mut unfinished)?;
            unfinished.finish();
        }
        for Interface { name, .. } in without(&self.present, &before) {
            tracing::info!("{name} is back");
        }
        Ok(true)
    }
}

fn is_known(before: &[Interface], wire: &Interface) -> bool {
    before.iter().any(|known| known.device == wire.index)
}

/// Those of `these` that are not among `others`.
fn without<'a>(these: &'a [Interface], others: &'a [Interface]) -> impl Iterator<Item = &'a Interface> {
    these.iter().filter(|this| !others.iter().any(|other| other.index == this.index))
}
