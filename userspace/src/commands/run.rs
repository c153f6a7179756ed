//! `evenkeel run`: the daemon. It looks after the data path and is not in it: when it ends, forwarding goes on.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use evenkeel::{
    bpf::bpf_object,
    config,
    dataplane::{
        daemon::Daemon,
        load::{Origin, SessionLog},
        network::monitor::Monitor,
        pins::PinDir,
        sweep,
    },
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::{Pins, privileges};

/// How often a change in the host's network may make sessions look for their next hops again, and how often
/// messages about sessions are fetched.
const REFRESH_PERIOD: Duration = Duration::from_millis(100);

#[derive(Args)]
pub struct Options {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    pins: Pins,
    /// Log every session that opens or is refused. Slows down new sessions.
    #[arg(long)]
    log_sessions: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let configuration = config::load(&options.config)?;
    privileges::check()?;
    let object = bpf_object().context(
        "this binary was built without its BPF programs: run `cargo xtask setup`, then build it again",
    )?;
    let pins = options.pins.directory();
    let _lock = pins.lock()?;
    let log = if options.log_sessions { SessionLog::On } else { SessionLog::Off };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let daemon = Daemon::start(object, &pins, &configuration, log).await?;
        serve(daemon, options, &pins).await
    })
}

async fn serve(mut daemon: Daemon, options: &Options, pins: &PinDir) -> Result<()> {
    let mut monitor = Monitor::new(daemon.netlink()).await?;
    let mut reload = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut sweep = interval(sweep::PERIOD);
    let mut refresh = interval(REFRESH_PERIOD);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    privileges::drop_unneeded()?;

    if daemon.origin() == Origin::TakenOver {
        tracing::info!("took over the data path at {} with its sessions", pins.root().display());
    }
    eprintln!("evenkeel: ready");
    loop {
        tokio::select! {
            _ = sweep.tick() => warn(daemon.sweep()),
            _ = refresh.tick() => {
                daemon.flush_session_log();
                warn(daemon.refresh().await);
            }
            Some(news) = monitor.next() => warn(daemon.note(news)),
            Some(()) = reload.recv() => apply_file(&mut daemon, options).await,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    eprintln!(
        "evenkeel: ended; XDP goes on forwarding without idle timeouts and changes. `evenkeel run` takes over again, `evenkeel unload{}` stops it",
        pins.option()
    );
    Ok(())
}

/// Reads the file again and follows it. A bad one changes nothing.
async fn apply_file(daemon: &mut Daemon, options: &Options) {
    let applied = match config::load(&options.config) {
        Ok(configuration) => daemon.reconfigure(&configuration).await,
        Err(errors) => Err(errors.into()),
    };
    match applied {
        Ok(changes) => eprintln!("evenkeel: {} applied, {changes} changes", options.config.display()),
        Err(error) => eprintln!("evenkeel: {} not applied: {error:#}", options.config.display()),
    }
}

fn warn(result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!("{error:#}");
    }
}
