//! `evenkeel run`: the daemon. It serves the listeners of Layer 7. The data path of Layer 4 it looks after and is not
//! in it: when it ends, forwarding goes on.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use evenkeel::{
    config::{self, Configuration},
    dataplane::{
        daemon::Daemon,
        load::{Origin, SessionLog},
        network::monitor::Monitor,
        pins::PinDir,
        sweep,
    },
    health::checker::{Checker, News, Target},
    l7::{
        listeners::Layer7,
        metrics::endpoint::{self, Endpoint},
    },
};
use evenkeel_loader::bpf;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Pins, privileges};

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
    let configuration = config::load(&options.config)?;
    privileges::check()?;
    let object = bpf::data_path()?;
    let pins = options.pins.directory();
    let _lock = pins.lock()?;
    let log = if options.log_sessions { SessionLog::On } else { SessionLog::Off };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (checker, health) = Checker::new()?;
        let mut layer7 = Layer7::new(options.state_dir.clone())?;
        let counters = Endpoint::bind(&endpoint::path(pins.root())).context("no socket for counters")?;
        let next = layer7.prepare(&configuration.model)?;
        let daemon = Daemon::start(object, &pins, &configuration, checker, log).await?;
        let mut balancer = Balancer { daemon, layer7, configuration };
        balancer.layer7.follow(next, &mut balancer.daemon)?;
        balancer.layer7.seat(&balancer.daemon);
        serve(balancer, health, &counters, options, &pins).await
    })
}

async fn serve(
    mut balancer: Balancer,
    mut health: News,
    counters: &Endpoint,
    options: &Options,
    pins: &PinDir,
) -> Result<()> {
    let mut monitor = Monitor::new(balancer.daemon.netlink())?;
    let mut reload = signal(SignalKind::hangup())?;
    let mut reopen = signal(SignalKind::user_defined1())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut sweep = interval(sweep::PERIOD);
    let mut refresh = interval(REFRESH_PERIOD);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    privileges::drop_unneeded()?;
    let metrics = balancer.layer7.metrics();

    if balancer.daemon.origin() == Origin::TakenOver {
        tracing::info!("took over the data path at {} with its sessions", pins.root().display());
    }
    // Whoever waits for this line finds members that take connections.
    let first_checks = async {
        while !balancer.daemon.knows_health() {
            balancer.note_health(&health.next().await);
        }
    };
    let _ = timeout(FIRST_CHECKS, first_checks).await;
    balancer.note_health(&[]);
    eprintln!("evenkeel: ready");
    loop {
        tokio::select! {
            _ = sweep.tick() => warn(balancer.daemon.sweep()),
            _ = refresh.tick() => balancer.refresh().await,
            news = health.next() => balancer.note_health(&news),
            Some(news) = monitor.next() => balancer.daemon.note(&news),
            Some(()) = reload.recv() => apply_file(&mut balancer, options).await,
            Some(()) = reopen.recv() => balancer.layer7.reopen_logs(),
            () = counters.serve(&metrics) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    balancer.layer7.end_all(&mut balancer.daemon).await;
    eprintln!(
        "evenkeel: ended; XDP goes on forwarding without idle timeouts and changes. `evenkeel run` takes over again, `evenkeel unload{}` stops it",
        pins.option()
    );
    Ok(())
}

/// Both layers, and what they follow.
struct Balancer {
    daemon: Daemon,
    layer7: Layer7,
    configuration: Configuration,
}

impl Balancer {
    /// Follows another configuration; one that cannot be followed changes nothing.
    async fn reconfigure(&mut self, configuration: Configuration) -> Result<usize> {
        self.daemon.check(&configuration).await?;
        let next = self.layer7.prepare(&configuration.model)?;
        self.configuration = configuration;
        // First the sockets, then the packets for them.
        let served = self.layer7.follow(next, &mut self.daemon);
        let followed = self.follow().await;
        self.note_health(&[]);
        served.and(followed)
    }

    /// Has the data path follow the configuration, and what is left of listeners that are gone.
    async fn follow(&mut self) -> Result<usize> {
        let model = self.layer7.with_ending(&self.configuration.model);
        let changes = self.daemon.reconfigure(&Configuration { model, ..self.configuration.clone() }).await;
        self.layer7.seat(&self.daemon);
        changes
    }

    async fn refresh(&mut self) {
        self.daemon.flush_session_log();
        warn(self.daemon.refresh().await);
        if self.layer7.has_ended() {
            warn(self.follow().await.map(drop));
        }
    }

    fn note_health(&mut self, news: &[Target]) {
        warn(self.daemon.note_health(news));
        self.layer7.note_health(|pool, member| self.daemon.verdict(pool, member));
    }
}

/// Reads the file again and follows it. A bad one changes nothing.
async fn apply_file(balancer: &mut Balancer, options: &Options) {
    let applied = match config::load(&options.config) {
        Ok(configuration) => balancer.reconfigure(configuration).await,
        Err(errors) => Err(errors.into()),
    };
    match applied {
        Ok(1) => eprintln!("evenkeel: {} applied, 1 change", options.config.display()),
        Ok(changes) => eprintln!("evenkeel: {} applied, {changes} changes", options.config.display()),
        Err(error) => eprintln!("evenkeel: {} not applied: {error:#}", options.config.display()),
    }
}

fn warn(result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!("{error:#}");
    }
}
