//! How the commands print: lines for people, JSON for programs.

use std::{
    fmt::Display,
    io::{ErrorKind, Write, stdout},
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use evenkeel_toa::total::Total;
use serde::Serialize;

use super::Pins;

#[derive(Args)]
pub struct View {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    #[command(flatten)]
    pub pins: Pins,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Prints a line. A reader that went away (`| head`) has seen enough.
pub fn say(line: impl Display) -> Result<()> {
    match writeln!(stdout().lock(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print"),
    }
}

pub fn json(value: &impl Serialize) -> Result<()> {
    say(serde_json::to_string_pretty(value)?)
}

/// Says if connections may be missing.
pub fn warn_of_unseen(namespaces: usize) {
    if namespaces > 0 {
        eprintln!(
            "evenkeel-toa: network namespaces whose processes cannot be looked into: {namespaces}; connections there \
             are not shown"
        );
    }
}

pub fn total(total: &Total) -> Result<()> {
    let mut rows = total.rows().into_iter();
    rows.try_for_each(|(name, count, meaning)| say(format_args!("{name:<12} {count:>9}  {meaning}")))
}
