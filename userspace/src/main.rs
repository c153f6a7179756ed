//! The `evenkeel` command. What it can do is in `commands/`.

mod commands;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

/// A request of Layer 7 takes and frees a hundred pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged if nobody says otherwise: not what libraries say of clients that speak HTTP/2 badly, who could fill the
/// log.
const LOGGED: &str = "info,h2=off,pingora_core::apps=off";

/// Libraries that print what clients and members say, secrets too, if one asks them for more than their warnings. Nobody can.
const TALKATIVE: [&str; 2] = ["h2", "pingora"];

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let format = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(filter).with(filter_fn(is_harmless)).with(format).init();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evenkeel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether this has nothing in it that somebody else wrote.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::WARN
        || !TALKATIVE.iter().any(|library| metadata.target().starts_with(library))
}
