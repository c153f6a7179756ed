//! `evenkeel-toa status`: what is attached, and what it has counted.

use anyhow::Result;
use evenkeel_toa::report;

use super::output::{self, Format, View, say};

pub fn run(options: &View) -> Result<()> {
    let status = report::status(&options.pins.directory())?;
    output::warn_of_unseen(status.unseen);
    if options.output == Format::Json {
        return output::json(&status);
    }
    let cgroup =
        status.cgroup.map_or_else(|| "one that is gone".to_owned(), |path| path.display().to_string());
    say(format_args!("cgroup       {cgroup}"))?;
    say(format_args!("trusted      {}", status.trusted.join(", ")))?;
    say(format_args!("open         {:>9}  connections now, with the client's address", status.open))?;
    output::total(&status.total)
}
