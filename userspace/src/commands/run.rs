//! `evenkeel run`: the daemon. It serves the listeners of Layer 7. The data path of Layer 4 it looks after and is not
//! in it: when it ends, forwarding goes on.

use std::{path::PathBuf, sync::Arc, time::Duration};

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
    engine::{Drafter, Engine, layers::Frontend, transition::Desired},
    health::checker::{ChangedTargets, Checker},
    l7::{
        listeners::Layer7,
        metrics::{
            endpoint::{self, Endpoint},
            kept::{self, Keeper},
        },
    },
};
use evenkeel_loader::bpf;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{api::Api, control::Changes, pins::Pins, privileges, stats::Reader};

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
    /// Directory for what has to outlive the process: the key that cookies are signed with, the objects of the API.
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
    let api = configuration.api.clone();
    let api = api.map(|control| Api::open(control, &configuration, &options.state_dir)).transpose()?;
    runtime.block_on(async {
        let (checker, health) = Checker::new()?;
        let layer7 = Layer7::new(options.state_dir.clone())?;
        let counters = Endpoint::bind(&endpoint::path(pins.root())).context("no socket for counters")?;
        let kept = kept::path(pins.root());
        layer7.metrics().resume(kept::read(&kept));
        let keeper = Keeper::start(kept, layer7.metrics()).context("no thread for counters")?;
        let mut desired = desired(configuration);
        let file = desired.objects.clone();
        if let Some(api) = &api {
            desired.objects = Arc::new(api.objects(&file, &desired)?);
        }
        let changes = Changes::new(&options.config, file, api, Reader::new(pins.clone()));
        let nothing = Desired { objects: Arc::default(), ..desired.clone() };
        let draft = Drafter::first(nothing.clone(), layer7.preparer()).draft(desired.clone())?;
        let (data_path, started) = Daemon::start(object, &pins, &desired, &draft.served().vips, log).await?;
        let mut engine = Engine::new(data_path, layer7, nothing, checker);
        if let Err(refusal) = engine.change(draft).await {
            engine.data_path.abandon().await?;
            return Err(refusal.into());
        }
        engine.data_path.started(started)?;
        serve(engine, changes, health, &counters, keeper, &pins).await
    })
}

fn desired(Configuration { host, timeouts, objects, .. }: Configuration) -> Desired {
    Desired { host, timeouts, objects: Arc::new(objects) }
}

async fn serve(
    mut engine: Engine<Daemon, Layer7>,
    mut changes: Changes,
    mut health: ChangedTargets,
    counters: &Endpoint,
    keeper: Keeper,
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
    changes.serve()?;
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
            changed = health.next() => warn(engine.note(&changed)),
            Some(change) = monitor.next() => engine.data_path.note_network(&change),
            Some(()) = reload.recv() => changes.reload(&engine),
            event = changes.next() => changes.act(event, &mut engine).await,
            Some(()) = reopen.recv() => engine.frontend.reopen_logs(),
            () = counters.serve(&metrics) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let Engine { mut data_path, mut frontend, .. } = engine;
    let counted = metrics.hold();
    frontend.end_all(&mut data_path).await;
    keeper.end();
    drop(counted);
    if let Some(problem) = data_path.problem() {
        eprintln!("evenkeel: ended, and what is not pinned has ended with it: {problem}");
        return Ok(());
    }
    eprintln!(
        "evenkeel: ended; XDP goes on forwarding without idle timeouts and changes. `evenkeel run --config FILE{option}` takes over again, `evenkeel unload{option}` stops it",
        option = pins.option()
    );
    Ok(())
}

fn warn<E: Into<anyhow::Error>>(result: Result<(), E>) {
    if let Err(error) = result {
        let error: anyhow::Error = error.into();
        tracing::warn!("{error:#}");
    }
}
