//! `evenkeel-toa run`: attaches the receiver, for as long as this process lives or until `detach`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use evenkeel_toa::{
    attach::{self, Before},
    cgroup::Cgroup,
    pins::{self, PinDir},
    receiver::Receiver,
    trusted::Trusted,
};
use nix::sys::signal::{SigSet, Signal};

use super::output::{self, say};

#[derive(Args)]
pub struct Options {
    /// Networks that balancers send from (their local addresses), as 100.64.0.0/28. Options from elsewhere are ignored.
    #[arg(long, value_name = "BALANCERS", value_delimiter = ',', required = true)]
    trusted: Vec<Trusted>,
    /// Only for programs in this cgroup. Otherwise for all programs, those in containers included.
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// Stay attached when this process ends. If the directory holds a receiver, this one replaces it without a gap.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = pins::DEFAULT)]
    pin: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let cgroup = match &options.cgroup {
        Some(path) => Cgroup::open(path)?,
        None => Cgroup::root()?,
    };
    match &options.pin {
        Some(directory) => until_detached(&options.trusted, &cgroup, &PinDir::new(directory)),
        None => until_ended(&options.trusted, &cgroup),
    }
}

fn until_ended(trusted: &[Trusted], cgroup: &Cgroup) -> Result<()> {
    let ends = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    ends.thread_block()?;
    let mut receiver = Receiver::load(None)?;
    receiver.trusted()?.replace(trusted)?;
    let attached = attach::attach(&receiver, cgroup)?;
    say(format_args!("attached to {} until this ends", cgroup.path().display()))?;
    ends.wait()?;
    drop(attached);
    output::total(&receiver.counted()?)
}

fn until_detached(trusted: &[Trusted], cgroup: &Cgroup, pins: &PinDir) -> Result<()> {
    let lock = pins.prepare()?;
    let was_in_use = pins.is_in_use();
    let started = Receiver::load(Some(pins))
        .and_then(|mut receiver| attach::attach_pinned(&mut receiver, trusted, cgroup, pins));
    if started.is_err() && !was_in_use {
        pins.remove()?;
    }
    drop(lock);
    let how = match started? {
        Before::Nothing => "attached to",
        Before::Receiver => "replaced the receiver on",
    };
    say(format_args!("{how} {}; pinned at {}", cgroup.path().display(), pins.root().display()))
}
