//! `evenkeel run`: the daemon. It serves the listeners of Layer 7. The data path of Layer 4 it looks after and is not
//! in it: when it ends, forwarding goes on.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use evenkeel::{
    config::{self, Configuration},
    dataplane::{
        capacity::capacity,
        daemon::Daemon,
        load::{Origin, SessionLog},
        network::monitor::Monitor,
        pins::PinDir,
        sweep,
    },
    engine::{Draft, Drafter, Engine, layers::Frontend, transition::Desired},
    health::checker::{Checker, News},
    l7::{
        listeners::{Layer7, Making, Prepared},
        metrics::endpoint::{self, Endpoint},
    },
};
use evenkeel_loader::bpf;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, spawn_blocking},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{pins::Pins, privileges};

/// How often a change in the host's network may make sessions look for their next hops again, and how often
/// messages about sessions are fetched.
const REFRESH_PERIOD: Duration = Duration::from_millis(100);
/// How long the start waits for members to pass their first health checks.
const FIRST_CHECKS: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct Options {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    pins: Pins,
    /// Directory for what has to outlive the process: the key that cookies are signed with.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/evenkeel")]
    state_dir: PathBuf,
    /// Log every session that opens or is refused. Slows down new sessions.
    #[arg(long)]
    log_sessions: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let configuration = config::load(&options.config, &capacity())?;
    privileges::check()?;
    let object = bpf::data_path()?;
    let pins = options.pins.directory();
    let _lock = pins.lock()?;
    let log = if options.log_sessions { SessionLog::On } else { SessionLog::Off };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (checker, health) = Checker::new()?;
        let layer7 = Layer7::new(options.state_dir.clone())?;
        let counters = Endpoint::bind(&endpoint::path(pins.root())).context("no socket for counters")?;
        let desired = desired(configuration);
        let nothing = Desired { objects: Arc::default(), ..desired.clone() };
        let draft = Drafter::first(nothing.clone(), layer7.preparer()).draft(desired.clone())?;
        let (data_path, started) = Daemon::start(object, &pins, &desired, &draft.served().vips, log).await?;
        let mut engine = Engine::new(data_path, layer7, nothing, checker);
        if let Err(refusal) = engine.change(draft).await {
            engine.data_path.abandon().await?;
            return Err(refusal.into());
        }
        engine.data_path.started(started)?;
        serve(engine, health, &counters, options, &pins).await
    })
}

fn desired(Configuration { host, timeouts, objects, .. }: Configuration) -> Desired {
    Desired { host, timeouts, objects: Arc::new(objects) }
}

async fn serve(
    mut engine: Engine<Daemon, Layer7>,
    mut health: News,
    counters: &Endpoint,
    options: &Options,
    pins: &PinDir,
) -> Result<()> {
    let mut monitor = Monitor::new(engine.data_path.netlink())?;
    let mut reload = signal(SignalKind::hangup())?;
    let mut reopen = signal(SignalKind::user_defined1())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut sweep = interval(sweep::PERIOD);
    let mut refresh = interval(REFRESH_PERIOD);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    privileges::drop_unneeded()?;
    let metrics = engine.frontend.metrics();
    let mut reading = Reading::default();

    if engine.data_path.origin() == Origin::TakenOver {
        tracing::info!("took over the data path at {} with its sessions", pins.root().display());
    }
    // What waits for this line finds members that take connections.
    let first_checks = async {
        while !engine.knows_health() {
            warn(engine.note(&health.next().await));
        }
    };
    let _ = timeout(FIRST_CHECKS, first_checks).await;
    eprintln!("evenkeel: ready");
    loop {
        tokio::select! {
            _ = sweep.tick() => warn(engine.with_standings(Daemon::sweep)),
            _ = refresh.tick() => {
                engine.data_path.flush_session_log();
                warn(engine.data_path.refresh().await);
                metrics.set_problem(engine.data_path.problem());
                engine.end_drained().await;
            }
            news = health.next() => warn(engine.note(&news)),
            Some(news) = monitor.next() => engine.data_path.note_network(&news),
            Some(()) = reload.recv() => reading.begin(&engine, &options.config),
            draft = reading.next() => {
                match draft {
                    // A listener has drained meanwhile.
                    Ok(draft) if !engine.accepts(&draft) => reading.again = true,
                    draft => apply(&mut engine, draft, &options.config).await,
                }
                reading.begin_again(&engine, &options.config);
            }
            Some(()) = reopen.recv() => engine.frontend.reopen_logs(),
            () = counters.serve(&metrics) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let Engine { mut data_path, mut frontend, .. } = engine;
    frontend.end_all(&mut data_path).await;
    if let Some(problem) = data_path.problem() {
        eprintln!("evenkeel: ended, and what is not pinned has ended with it: {problem}");
        return Ok(());
    }
    eprintln!(
        "evenkeel: ended; XDP goes on forwarding without idle timeouts and changes. `evenkeel run` takes over again, `evenkeel unload{}` stops it",
        pins.option()
    );
    Ok(())
}

/// The file, while it is read on another thread: keys, regular expressions and thousands of listeners take seconds, in
/// which sessions go on being swept and members checked.
#[derive(Default)]
struct Reading {
    under_way: Option<JoinHandle<Result<Draft<Prepared>>>>,
    /// Whether the file may have changed since.
    again: bool,
}

impl Reading {
    /// Begins to read the file, now or when it has been read.
    fn begin(&mut self, engine: &Engine<Daemon, Layer7>, file: &Path) {
        self.again = self.under_way.is_some();
        if !self.again {
            let (drafter, file) = (engine.drafter(), file.to_owned());
            self.under_way = Some(spawn_blocking(move || read(drafter, &file)));
        }
    }

    /// Reads it again if that was asked for meanwhile.
    fn begin_again(&mut self, engine: &Engine<Daemon, Layer7>, file: &Path) {
        if self.again {
            self.begin(engine, file);
        }
    }

    /// What was read, once it is. Nothing is lost if the future is dropped.
    async fn next(&mut self) -> Result<Draft<Prepared>> {
        let Some(task) = &mut self.under_way else { return std::future::pending().await };
        let read = task.await;
        self.under_way = None;
        read.context("reading broke off")?
    }
}

fn read(drafter: Drafter<Making>, file: &Path) -> Result<Draft<Prepared>> {
    Ok(drafter.draft(desired(config::load(file, &capacity())?))?)
}

/// Follows the file. A bad one changes nothing.
async fn apply(engine: &mut Engine<Daemon, Layer7>, draft: Result<Draft<Prepared>>, file: &Path) {
    let applied = match draft {
        Ok(draft) => engine.change(draft).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    match applied {
        Ok(1) => eprintln!("evenkeel: {} applied, 1 change", file.display()),
        Ok(changes) => eprintln!("evenkeel: {} applied, {changes} changes", file.display()),
        Err(error) => eprintln!("evenkeel: {} not applied: {error:#}", file.display()),
    }
}

fn warn<E: Into<anyhow::Error>>(result: Result<(), E>) {
    if let Err(error) = result {
        let error: anyhow::Error = error.into();
        tracing::warn!("{error:#}");
    }
}
