//! The `evenkeel-toa` command, for backends: programs there see the client's address, not the balancer's, without a
//! kernel module and without being changed. What it does is in `toa/`.

use std::{
    fmt::Display,
    io::{ErrorKind, Write, stdout},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use evenkeel::toa::{
    attach::{self, Before},
    cgroup::Cgroup,
    connections,
    pins::{self, PinDir},
    receiver::Receiver,
    report::{self, Total},
    trusted::Trusted,
};
use nix::sys::signal::{SigSet, Signal};

/// The client's address at a backend: accept() and getpeername() answer with the address in the TCP option TOA.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Attach: until SIGINT or SIGTERM, or with --pin until `detach`, also after this process has ended.
    Run(Run),
    /// Show what is attached and what was counted.
    Status(View),
    /// Show the clients of open connections.
    Lookup(Lookup),
    /// Remove what `run --pin` attached.
    #[command(alias = "--detach")]
    Detach(Pin),
}

#[derive(Args)]
struct Run {
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

#[derive(Args)]
struct Pin {
    /// Directory that `run --pin` was given.
    #[arg(long, value_name = "DIR", default_value = pins::DEFAULT)]
    pin: PathBuf,
}

#[derive(Args)]
struct View {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    pin: Pin,
}

#[derive(Args)]
struct Lookup {
    /// Where the connection's segments come from, as the program saw it without TOA.
    #[arg(value_parser = end)]
    balancer: Option<SocketAddr>,
    /// This host's end, where the same balancer's port is connected to several.
    #[arg(value_parser = end)]
    local: Option<SocketAddr>,
    #[command(flatten)]
    view: View,
}

/// An end of a connection.
fn end(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "not an address and port such as 100.64.0.1:1024 or [2001:db8::1]:1024".to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(options) => run(&options),
        Command::Status(options) => status(&options),
        Command::Lookup(options) => return lookup(&options).unwrap_or_else(|error| fail(&error)),
        Command::Detach(options) => detach(&options),
    };
    done.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("evenkeel-toa: {error:#}");
    ExitCode::FAILURE
}

/// Prints a line. A reader that went away (`| head`) has seen enough.
fn say(line: impl Display) -> Result<()> {
    match writeln!(stdout().lock(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print"),
    }
}

fn run(options: &Run) -> Result<()> {
    let cgroup = match &options.cgroup {
        Some(path) => Cgroup::open(path)?,
        None => Cgroup::root()?,
    };
    match &options.pin {
        Some(directory) => run_pinned(&options.trusted, &cgroup, &PinDir::new(directory)),
        None => run_here(&options.trusted, &cgroup),
    }
}

fn run_here(trusted: &[Trusted], cgroup: &Cgroup) -> Result<()> {
    let ends = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    ends.thread_block()?;
    let mut receiver = Receiver::load(None)?;
    receiver.trusted()?.replace(trusted)?;
    let attached = attach::attach(&receiver, cgroup)?;
    say(format_args!("attached to {} until this ends", cgroup.path().display()))?;
    ends.wait()?;
    drop(attached);
    print(&receiver.counted()?)
}

fn run_pinned(trusted: &[Trusted], cgroup: &Cgroup, pins: &PinDir) -> Result<()> {
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

fn status(options: &View) -> Result<()> {
    let status = report::status(&PinDir::new(&options.pin.pin))?;
    if options.output == Format::Json {
        return say(serde_json::to_string_pretty(&status)?);
    }
    let cgroup =
        status.cgroup.map_or_else(|| "one that is gone".to_owned(), |path| path.display().to_string());
    say(format_args!("cgroup       {cgroup}"))?;
    say(format_args!("trusted      {}", status.trusted.join(", ")))?;
    say(format_args!("open         {:>9}  connections now, with the client's address", status.open))?;
    print(&status.total)
}

fn print(total: &Total) -> Result<()> {
    let mut rows = total.rows().into_iter();
    rows.try_for_each(|(name, count, meaning)| say(format_args!("{name:<12} {count:>9}  {meaning}")))
}

fn lookup(options: &Lookup) -> Result<ExitCode> {
    let mut found = connections::all(&PinDir::new(&options.view.pin.pin))?;
    if let Some(balancer) = options.balancer {
        found.retain(|connection| connection.has_ends(balancer, options.local));
    }
    if options.view.output == Format::Json {
        say(serde_json::to_string_pretty(&found)?)?;
    } else {
        let mut lines = found.iter();
        lines.try_for_each(|found| {
            say(format_args!("{} via {} to {}", found.client, found.balancer, found.local))
        })?;
    }
    let asked_in_vain = options.balancer.is_some() && found.is_empty();
    Ok(if asked_in_vain { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn detach(options: &Pin) -> Result<()> {
    let pins = PinDir::new(&options.pin);
    let lock = pins.lock()?;
    pins.remove()?;
    drop(lock);
    say(format_args!("detached; {} is gone", pins.root().display()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
