//! `evenkeel counters`.

use anyhow::Result;
use clap::Args;
use evenkeel::dataplane::{report, tables::Tables};

use super::output::{self, Format, json, table};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    view: output::View,
    /// Also list what never happened.
    #[arg(long)]
    all: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let counters = report::counters(&Tables::open(&options.view.pins.directory())?)?;
    if options.view.output == Format::Json {
        return json(&counters);
    }
    let mut rows = table(["COUNTER", "CLASS", "COUNT", "MEANING"], &[2]);
    for counter in counters.iter().filter(|counter| options.all || counter.count > 0) {
        rows.add_row([counter.name, counter.class, &counter.count.to_string(), counter.meaning]);
    }
    println!("{rows}");
    Ok(())
}
