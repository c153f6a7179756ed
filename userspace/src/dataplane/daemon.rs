//! The data path at work: started or taken over, reconfigured, swept, and kept in step with the host's network.
//! `commands/run` drives it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use aya_log::EbpfLogger;
use rtnetlink::Handle;

use super::{
    apply::Applier,
    attach,
    clock::Clock,
    devices::Devices,
    drain,
    geometry::Geometry,
    health::Health,
    load::{Origin, SessionLog, load},
    network::{self, gateways::Gateways, interfaces, monitor::News, neighbours::Neighbours, own::Own},
    pins::PinDir,
    reclaim::reclaim,
    registry::Registry,
    reset::ResetSocket,
    seats::{self, Seats},
    steer,
    sweep::{Limits, Sweeper},
};
use crate::{
    config::Configuration,
    health::{
        checker::{Checker, Target},
        judge::Verdict,
    },
    host::{Host, Timeouts},
    model::{ListenerKey, Model},
};

/// How long to wait for backends' MACs before their sessions may come.
const ARP_PATIENCE: Duration = Duration::from_millis(500);
/// Far longer than the XDP program holds a port that is in no ring and no session yet.
const RECLAIM_PAUSE: Duration = Duration::from_millis(20);
/// The shortest time between two looks at the routes to all backends.
const NEIGHBOUR_INTERVAL: Duration = Duration::from_secs(1);
/// After this time neighbours are looked at even if nothing seems to have changed.
const NEIGHBOUR_REFRESH: Duration = Duration::from_secs(10);
/// How often to look whether route lookups may still start at `lo`: no message tells.
const LOOKUPS_INTERVAL: Duration = Duration::from_secs(1);

/// A data path and what keeps it going.
pub struct Daemon {
    host: Host,
    timeouts: Timeouts,
    applier: Applier,
    health: Health,
    clock: Clock,
    sweeper: Sweeper,
    resets: ResetSocket,
    handle: Handle,
    own: Own,
    neighbours: Neighbours,
    gateways: Gateways,
    devices: Devices,
    stale_next_hops: bool,
    stale_neighbours: bool,
    neighbours_at: Instant,
    lookups_at: Instant,
    origin: Origin,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
}

impl Daemon {
    /// Loads the programs, or takes over from a process that ended, and forwards when it returns.
    ///
    /// # Errors
    /// Anything that keeps it from forwarding, in one line. A new data path is gone again then; one that was there
    /// goes on, as it was unless a map or a route could not be written.
    pub async fn start(
        object: &[u8],
        pins: &PinDir,
        configuration: &Configuration,
        checker: Checker,
        log: SessionLog,
    ) -> Result<Self> {
        let handle = network::connect()?;
        let host = configuration.host.clone();
        let all = interfaces::all(&handle).await?;
        let interfaces = interfaces::named(&host.interfaces, &all)?;
        let wires = interfaces::wires(&interfaces, &all);
        attach::check(pins, &wires)?;
        let own = Own::new(handle.clone());
        own.check(&configuration.model.vips, &host.local_addresses.iter().copied().collect()).await?;
        let resets = ResetSocket::new().context("cannot open a raw socket")?;

        let (mut loaded, mut unfinished) =
            load(object, pins, &Geometry::new(&host, &configuration.model.vips), log)?;
        interfaces::write(&mut loaded.tables, &interfaces)?;
        let registry = match loaded.origin {
            Origin::New => Registry::empty(),
            Origin::TakenOver => Registry::from_maps(&mut loaded.tables)?,
        };
        let mut daemon = Self {
            timeouts: configuration.timeouts,
            sweeper: Sweeper::default(),
            resets,
            neighbours: Neighbours::new(handle.clone()),
            gateways: Gateways::new(handle.clone()),
            own,
            handle,
            devices: Devices::new(host.interfaces.clone(), pins.clone(), loaded.programs, interfaces),
            stale_next_hops: true,
            stale_neighbours: false,
            neighbours_at: Instant::now(),
            lookups_at: Instant::now(),
            applier: Applier { tables: loaded.tables, registry },
            health: Health::new(checker),
            clock: loaded.clock,
            origin: loaded.origin,
            logger: loaded.logger,
            host,
        };
        if daemon.origin == Origin::TakenOver {
            seats::recount(&daemon.applier.tables)?;
            let reclaimed = reclaim(&daemon.applier.tables.sessions, RECLAIM_PAUSE)?;
            if reclaimed > 0 {
                tracing::info!("{reclaimed} local ports that an ended process had in hand are free again");
            }
        }
        let started = async {
            // Before the configuration: what cannot be attached leaves an earlier process's as it is.
            daemon.devices.attach(&wires, &mut unfinished)?;
            steer::attach(daemon.devices.programs().steering()?, pins, &mut unfinished)?;
            network::let_lookups_start_at_lo()?;
            daemon.follow(&configuration.model).await?;
            daemon.devices.detach_from_others(&wires)?;
            daemon.sync_own().await?;
            // Not before: an interface may lose packets while a program comes to it, probes too.
            daemon.health.follow(&mut daemon.applier)
        };
        if let Err(error) = started.await {
            if daemon.origin == Origin::New {
                daemon.own.remove_all().await?;
                daemon.neighbours.remove_all().await?;
            }
            return Err(error);
        }
        daemon.bump_generation()?;
        unfinished.finish();
        Ok(daemon)
    }

    /// Whether the sessions of an earlier process go on.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The netlink connection, for a monitor.
    pub fn netlink(&self) -> &Handle {
        &self.handle
    }

    /// Hands the data path's messages about sessions to the log, if there are any.
    pub fn flush_session_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Looks whether the data path can follow another configuration.
    ///
    /// # Errors
    /// `[host]` differs, a VIP cannot be ours, or a table has no room.
    pub async fn check(&self, configuration: &Configuration) -> Result<()> {
        if let Some(refusal) = self.host.refuse(&configuration.host) {
            bail!(refusal);
        }
        self.refuse_a_new_family(&configuration.model)?;
        self.applier.check(&configuration.model)?;
        self.own.check(&configuration.model.vips, &BTreeSet::new()).await
    }

    /// Makes the data path follow another configuration, which was checked. Returns how many changes that took.
    ///
    /// # Errors
    /// A table cannot be written; the changes up to there are made.
    pub async fn reconfigure(&mut self, configuration: &Configuration) -> Result<usize> {
        let followed = self.follow(&configuration.model).await;
        // Sessions look again whether their client may stay.
        self.bump_generation()?;
        self.health.follow(&mut self.applier)?;
        self.timeouts = configuration.timeouts;
        self.sync_own().await?;
        followed
    }

    /// Sweeps the next part of the session table.
    ///
    /// # Errors
    /// The clock or a table cannot be used.
    pub fn sweep(&mut self) -> Result<()> {
        let tables = &self.applier.tables;
        let registry = &self.applier.registry;
        let members = || registry.backends.iter().map(|(_, index)| index);
        let removed = registry.backends.removed().map(|index| index as u16);
        let abandoned = removed.chain(Health::abandoned(tables, members())).collect();
        let without_vip =
            registry.listeners.removed_keys().filter(|(key, _)| !registry.model.vips.contains(&key.vip));
        let unreachable = without_vip.map(|(_, index)| index as u16).collect();
        let now = self.clock.now()?;
        let hz = tables.sessions.config.jiffies_hz;
        // Anew for every part: what it was before a change of the configuration would end sessions that may stay.
        let drained = drain::due((&tables.pool, &tables.backend), members(), now, hz);
        let limits = Limits {
            now,
            hz,
            timeouts: &self.timeouts,
            idle: &registry.idle,
            abandoned: &abandoned,
            drained: &drained,
            unreachable: &unreachable,
            changed_lists: &registry.changed_lists,
            limit: &tables.limit,
            load: &tables.load,
        };
        let mut resets = Vec::new();
        let census = self.sweeper.part(&tables.sessions, &limits, &mut resets);
        for reset in &resets {
            if let Err(error) = self.resets.send(reset) {
                tracing::debug!("no reset from {} to {}: {error}", reset.from, reset.to);
            }
        }
        if let Some(census) = census? {
            self.applier.settle(&census)?;
            self.health.refill(&mut self.applier)?;
        }
        Ok(())
    }

    /// Follows what the health checker has found out.
    ///
    /// # Errors
    /// A pool's new slots find no room yet; that is tried again.
    pub fn note_health(&mut self, news: &[Target]) -> Result<()> {
        self.health.note(&mut self.applier, news)
    }

    /// Whether every member that is checked has been, and new sessions go by that.
    pub fn knows_health(&self) -> bool {
        self.health.knows_all(&self.applier)
    }

    /// Lets connections to a Layer-7 listener reach this socket, which listens.
    ///
    /// # Errors
    /// The map of sockets is full.
    pub fn steer(&mut self, key: &ListenerKey, socket: impl AsFd) -> Result<()> {
        steer::put(&mut self.applier.tables.socket, key, socket)
    }

    /// Lets no more connections reach a Layer-7 listener's socket.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn unsteer(&mut self, key: &ListenerKey) -> Result<()> {
        steer::remove(&mut self.applier.tables.socket, key)
    }

    /// Places for a Layer-7 listener's connections; none before the data path has the listener.
    pub fn seats(&self, key: &ListenerKey) -> Option<Seats> {
        let index = self.applier.registry.listeners.get(key)?;
        Some(Seats::new(self.applier.tables.limit.clone(), index))
    }

    /// What a pool's member is taken for; `None` while its first check is not over.
    pub fn verdict(&self, pool: &str, member: SocketAddr) -> Option<Verdict> {
        self.health.verdict(&self.applier, pool, member)
    }

    /// Takes note of a change in the host's network; [`Self::refresh`] acts on it.
    pub fn note(&mut self, news: &News) {
        match news {
            News::Routes => (self.stale_next_hops, self.stale_neighbours) = (true, true),
            News::Neighbour => self.stale_next_hops = true,
            News::Link(link) => self.devices.note(link),
        }
    }

    /// Lets sessions look for their next hops again if something has changed since the last call, and keeps our
    /// addresses and the neighbours towards the backends up to date. To be called at most every 100 ms.
    ///
    /// # Errors
    /// Netlink fails or a map cannot be written.
    pub async fn refresh(&mut self) -> Result<()> {
        if self.devices.refresh(&self.handle, &mut self.applier.tables).await? {
            (self.stale_next_hops, self.stale_neighbours) = (true, true);
        }
        if std::mem::take(&mut self.stale_next_hops) {
            self.bump_generation()?;
        }
        let age = self.neighbours_at.elapsed();
        if (self.stale_neighbours && age >= NEIGHBOUR_INTERVAL) || age >= NEIGHBOUR_REFRESH {
            self.stale_neighbours = false;
            // An interface that goes down loses its IPv6 addresses.
            let owned = self.sync_own().await;
            self.sync_neighbours(&Model::default()).await?;
            owned?;
        }
        if self.lookups_at.elapsed() >= LOOKUPS_INTERVAL {
            self.lookups_at = Instant::now();
            for switch in network::let_lookups_start_at_lo()? {
                tracing::warn!(
                    "{switch} was turned off, and is on again: meanwhile new sessions found no route"
                );
            }
        }
        Ok(())
    }

    /// The session tables were made for the families of the first file.
    fn refuse_a_new_family(&self, model: &Model) -> Result<()> {
        let config = self.applier.tables.config()?.snapshot();
        let has_no_table = |vip: &&IpAddr| match vip {
            IpAddr::V4(_) => config.forward_mask == 0,
            IpAddr::V6(_) => config.forward6_mask == 0,
        };
        if let Some(vip) = model.vips.iter().find(has_no_table) {
            let family = if vip.is_ipv4() { "IPv4" } else { "IPv6" };
            bail!(
                "VIP {vip}: what runs began without {family} addresses and has no session table for them; end this process, `evenkeel unload`, and start it again"
            );
        }
        Ok(())
    }

    /// Resolves what is new in `model`, then applies the difference.
    async fn follow(&mut self, model: &Model) -> Result<usize> {
        self.sync_neighbours(model).await?;
        self.neighbours.wait_until_resolved(ARP_PATIENCE).await?;
        self.applier.follow(model)
    }

    fn bump_generation(&self) -> Result<()> {
        let generation = self.applier.tables.config()?.generation();
        generation.set(generation.get().wrapping_add(1));
        Ok(())
    }

    async fn sync_own(&self) -> Result<()> {
        let vips = self.applier.registry.model.vips.iter();
        let addresses: BTreeSet<IpAddr> = vips.chain(&self.host.local_addresses).copied().collect();
        self.own.sync(&addresses, self.devices.present()).await
    }

    /// Neighbours for every backend that there is, removed ones with sessions included, and those of `model`; and for the
    /// ways back to clients.
    async fn sync_neighbours(&mut self, model: &Model) -> Result<()> {
        let known = self.applier.registry.backends.iter().map(|((_, address), _)| address.ip());
        let coming = model.pools.values().flat_map(|pool| pool.members.keys()).map(|member| member.ip());
        let backends = known.chain(coming).collect();
        self.neighbours_at = Instant::now();
        let gateways = self.gateways.out_of(self.devices.present()).await;
        self.neighbours.sync(&backends, gateways).await
    }
}
