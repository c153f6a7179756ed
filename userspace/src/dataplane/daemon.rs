//! The data path at work: started or taken over, reconfigured, swept, and kept in step with the host's network.
//! `commands/run` drives it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use aya_log::EbpfLogger;
use model::{
    host::{Host, Timeouts},
    object::PoolId,
    plan::Change,
    served::{ListenerKey, Served},
};
use rtnetlink::Handle;

use super::{
    admission::{self, Connections},
    apply::Applier,
    attach,
    clock::Clock,
    devices::Devices,
    drain,
    expiry::in_a_hurry,
    geometry::Geometry,
    health,
    load::{Origin, SessionLog, load},
    network::{
        self, announce::Announcer, gateways::Gateways, interfaces, local_table, monitor::NetworkChange,
        neighbours::Neighbours, owned::Owned,
    },
    not_sent,
    own_members::{self, OwnMembers},
    pins::PinDir,
    reclaim::reclaim,
    registry::Registry,
    reset::ResetSocket,
    settings, steer,
    sweep::{Criteria, Sweeper},
    unfinished::Unfinished,
};
use crate::dataplane::error::{Context, Error, Result, unfit};
use crate::engine::{
    front::{Admission, Steering},
    layers::DataPath,
    standings::{MemberHealth, Standings},
    transition::{Desired, Transition},
};

/// How long to wait for backends' MACs before their sessions may come.
const ARP_PATIENCE: Duration = Duration::from_millis(500);
/// Far longer than the XDP program holds a port that is in no ring and no session yet.
const RECLAIM_PAUSE: Duration = Duration::from_millis(20);
/// The shortest time between two looks at the routes to all backends.
const NEIGHBOUR_INTERVAL: Duration = Duration::from_secs(1);
/// After this time neighbours are looked at even if nothing seems to have changed.
const NEIGHBOUR_REFRESH: Duration = Duration::from_secs(10);
/// How often to look whether route lookups may still start at `lo`, and whether programs and pins are still there: no
/// message tells.
const LOOKUPS_INTERVAL: Duration = Duration::from_secs(1);

/// A data path and what keeps it going.
pub struct Daemon {
    host: Host,
    timeouts: Timeouts,
    applier: Applier,
    /// Pools whose slots do not follow their members' health yet.
    stale: BTreeSet<PoolId>,
    clock: Clock,
    sweeper: Sweeper,
    resets: ResetSocket,
    handle: Handle,
    owned: Owned,
    announcer: Announcer,
    own_members: OwnMembers,
    neighbours: Neighbours,
    gateways: Gateways,
    devices: Devices,
    stale_next_hops: bool,
    stale_neighbours: bool,
    neighbours_at: Instant,
    lookups_at: Instant,
    origin: Origin,
    /// Whether the first change is made.
    is_at_work: bool,
    /// Until the start is over and it is known whose sessions are where, nobody is told that there is none; and what an
    /// earlier process did: `WITHOUT_SESSION_…`.
    silent: Option<u32>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
}

impl Daemon {
    /// Loads the programs, or takes over from a process that ended: what was served then is served still when it returns,
    /// and nothing of a new data path. [`Unfinished::finish`] makes the programs stay.
    ///
    /// # Errors
    /// Anything that keeps it from forwarding, in one line. A new data path is gone again then; one that was there
    /// goes on, as it was.
    pub async fn start(
        object: &[u8],
        pins: &PinDir,
        desired: &Desired,
        vips: &BTreeSet<IpAddr>,
        log: SessionLog,
    ) -> Result<(Self, Started)> {
        let handle = network::connect()?;
        let host = desired.host.clone();
        let all = interfaces::all(&handle).await?;
        let names: Vec<String> = host.interfaces.iter().map(ToString::to_string).collect();
        let interfaces = interfaces::named(&names, &all)?;
        let wires = interfaces::wires(&interfaces, &all);
        attach::check(pins, &wires)?;
        let owned = Owned::new(handle.clone());
        owned.check(vips, &host.local_addresses.iter().collect()).await?;
        let resets = ResetSocket::new().context("cannot open a raw socket")?;

        let (mut loaded, mut unfinished) = load(object, pins, &Geometry::new(&host, vips), log)?;
        let without_session = settings::be_silent(&loaded.tables)?;
        interfaces::write(&mut loaded.tables, &interfaces)?;
        let registry = match loaded.origin {
            Origin::New => Registry::empty(),
            Origin::TakenOver => Registry::from_maps(&mut loaded.tables)?,
        };
        if loaded.origin == Origin::TakenOver {
            admission::recount(&loaded.tables)?;
            let reclaimed = reclaim(&loaded.tables.sessions, RECLAIM_PAUSE)?;
            if reclaimed > 0 {
                tracing::info!("{reclaimed} local ports that an ended process had in hand are free again");
            }
        }
        let sweeper = Sweeper::new(&loaded.tables.sessions)?;
        let mut daemon = Self {
            timeouts: desired.timeouts,
            sweeper,
            resets,
            neighbours: Neighbours::new(handle.clone()),
            gateways: Gateways::new(handle.clone()),
            owned,
            announcer: Announcer::default(),
            own_members: OwnMembers::default(),
            handle,
            devices: Devices::new(names, pins.clone(), loaded.programs, interfaces),
            stale_next_hops: true,
            stale_neighbours: false,
            neighbours_at: Instant::now(),
            lookups_at: Instant::now(),
            applier: Applier { tables: loaded.tables, registry },
            stale: BTreeSet::new(),
            clock: loaded.clock,
            origin: loaded.origin,
            is_at_work: false,
            silent: Some(without_session),
            logger: loaded.logger,
            host,
        };
        // Before any change: what cannot be attached leaves an earlier process's as it is.
        daemon.devices.attach(&wires, &mut unfinished)?;
        not_sent::attach(daemon.devices.programs(), &daemon.applier.tables, pins, &mut unfinished)?;
        steer::attach(daemon.devices.programs().steering()?, pins, &mut unfinished)?;
        network::let_lookups_start_at_lo()?;
        Ok((daemon, Started { unfinished, wires }))
    }

    /// The first change is made: a start succeeded.
    ///
    /// # Errors
    /// A program cannot be taken off an interface that has none any more.
    pub fn started(&mut self, started: Started) -> Result<()> {
        self.devices.detach_from_others(&started.wires)?;
        started.unfinished.finish();
        self.silent = None;
        settings::write(&self.applier.tables, &self.host)?;
        self.devices.hold()
    }

    /// The first change failed: takes back what a new data path has changed in this host.
    ///
    /// # Errors
    /// Netlink fails.
    pub async fn abandon(self) -> Result<()> {
        if self.origin == Origin::New {
            self.owned.remove_all().await?;
            self.neighbours.remove_all().await?;
        } else if let Some(before) = self.silent {
            self.applier.tables.config()?.without_session().set(before);
        }
        Ok(())
    }

    /// Whether the sessions of an earlier process go on.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What of the data path is not as it has to be, if something is not: it was said already.
    pub fn problem(&self) -> Option<&str> {
        self.devices.problem()
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

    /// Sweeps the next part of the session table. At the end of a pass, pools that found no room get new slots.
    ///
    /// # Errors
    /// The clock or a table cannot be used.
    pub fn sweep(&mut self, standings: &Standings) -> Result<()> {
        let tables = &self.applier.tables;
        let registry = &self.applier.registry;
        let members = || registry.backends.iter().map(|(_, index)| index);
        let removed = registry.backends.removed();
        let abandoned = removed.chain(health::abandoned(tables, members())).collect();
        let dropped = health::resetting(tables, members()).collect();
        let without_vip =
            registry.listeners.removed_keys().filter(|(key, _)| !registry.served.vips.contains(&key.vip));
        let unreachable = without_vip.map(|(_, index)| index).collect();
        let now = self.clock.now()?;
        let hz = tables.sessions.config.jiffies_hz;
        // Anew for every part: what it was before a change of the configuration would end sessions that may stay.
        let drained = drain::due((&tables.pool, &tables.backend), members(), now, hz);
        let timeouts = match tables.sessions.is_crowded(self.host.max_sessions.get()) {
            true => in_a_hurry(&self.timeouts),
            false => self.timeouts,
        };
        let criteria = Criteria {
            now,
            hz,
            timeouts: &timeouts,
            idle: &registry.idle,
            abandoned: &abandoned,
            dropped: &dropped,
            drained: &drained,
            unreachable: &unreachable,
            changed_lists: &registry.changed_lists,
            half_open: &tables.half_open,
            limit: &tables.limit,
            load: &tables.load,
        };
        let mut resets = Vec::new();
        let census = self.sweeper.part(&tables.sessions, &criteria, &mut resets);
        for reset in &resets {
            if let Err(error) = self.resets.send(reset) {
                tracing::debug!("no reset from {} to {}: {error}", reset.from, reset.to);
            }
        }
        if let Some(census) = census? {
            self.applier.settle(&census)?;
            self.refill(standings)?;
        }
        Ok(())
    }

    /// Gives pools new slots that need them; those that find no room wait for the next call.
    fn refill(&mut self, standings: &Standings) -> Result<()> {
        let mut refilled = Ok(());
        for id in std::mem::take(&mut self.stale) {
            if let Err(error) = self.applier.refill(id, standings) {
                self.stale.insert(id);
                refilled = Err(error);
            }
        }
        refilled
    }

    /// Takes note of a change in the host's network; [`Self::refresh`] acts on it.
    pub fn note_network(&mut self, change: &NetworkChange) {
        match change {
            NetworkChange::Routes => (self.stale_next_hops, self.stale_neighbours) = (true, true),
            NetworkChange::Neighbour => self.stale_next_hops = true,
            NetworkChange::Link(link) => self.devices.note(link),
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
            self.sync_neighbours(&[]).await?;
            owned?;
            let own = local_table::addresses(&self.handle).await?;
            self.own_members.look(self.applier.registry.served.pools.values().map(|pool| &**pool), &own);
        }
        self.announcer.announce();
        if self.lookups_at.elapsed() >= LOOKUPS_INTERVAL {
            self.lookups_at = Instant::now();
            if self.devices.look(&self.handle, &mut self.applier.tables).await {
                (self.stale_next_hops, self.stale_neighbours) = (true, true);
            }
            for switch in network::let_lookups_start_at_lo()? {
                tracing::warn!(
                    "{switch} was turned off, and is on again: meanwhile new sessions found no route"
                );
            }
        }
        Ok(())
    }

    /// The session tables were made for the families of the first file.
    fn refuse_a_new_family(&self, served: &Served) -> Result<()> {
        let config = self.applier.tables.config()?.snapshot();
        let has_no_table = |vip: &&IpAddr| match vip {
            IpAddr::V4(_) => config.forward_mask == 0,
            IpAddr::V6(_) => config.forward6_mask == 0,
        };
        if let Some(vip) = served.vips.iter().find(has_no_table) {
            let family = if vip.is_ipv4() { "IPv4" } else { "IPv6" };
            unfit!(
                "VIP {vip}: what runs began without {family} addresses and has no session table for them; end this process, `evenkeel unload{}`, and start it again",
                self.devices.pins().option()
            );
        }
        Ok(())
    }

    /// Has the neighbours towards members that come with these changes resolved before their sessions may come.
    async fn resolve(&mut self, changes: &[Change]) -> Result<()> {
        let known: BTreeSet<IpAddr> =
            self.applier.registry.backends.iter().map(|((_, address), _)| address.ip()).collect();
        let coming: BTreeSet<IpAddr> = members(changes).filter(|member| !known.contains(member)).collect();
        // After a start nothing is resolved that an earlier process's successor has to see to.
        if coming.is_empty() && self.is_at_work {
            return Ok(());
        }
        self.sync_neighbours(changes).await?;
        self.neighbours.wait_until_resolved(ARP_PATIENCE).await
    }

    fn bump_generation(&self) -> Result<()> {
        let generation = self.applier.tables.config()?.generation();
        generation.set(generation.get().wrapping_add(1));
        Ok(())
    }

    async fn sync_own(&mut self) -> Result<()> {
        let vips = self.applier.registry.served.vips.iter().copied();
        let addresses: BTreeSet<IpAddr> = vips.chain(self.host.local_addresses.iter()).collect();
        self.owned.sync(&addresses, self.devices.present()).await?;
        if self.host.announce {
            self.announcer.sync(&addresses, self.devices.present());
        }
        Ok(())
    }

    /// Neighbours for every backend that there is, removed ones with sessions included, and those of `changes`; and for
    /// the ways back to clients.
    async fn sync_neighbours(&mut self, changes: &[Change]) -> Result<()> {
        let known = self.applier.registry.backends.iter().map(|((_, address), _)| address.ip());
        let backends = known.chain(members(changes)).collect();
        self.neighbours_at = Instant::now();
        let gateways = self.gateways.out_of(self.devices.present()).await;
        self.neighbours.sync(&backends, gateways).await
    }
}

/// The addresses of the members of pools that come or change.
fn members(changes: &[Change]) -> impl Iterator<Item = IpAddr> {
    let pools = changes.iter().filter_map(|change| match change {
        Change::PutPool(_, pool) => Some(pool),
        _ => None,
    });
    pools.flat_map(|pool| pool.members.keys()).map(|member| member.ip())
}

/// A start that is not over.
pub struct Started {
    unfinished: Unfinished,
    wires: Vec<interfaces::Interface>,
}

impl Steering for Daemon {
    type Error = Error;

    fn steer(&mut self, key: &ListenerKey, socket: BorrowedFd<'_>) -> Result<(), Self::Error> {
        steer::put(&mut self.applier.tables.socket, key, socket)
    }

    fn unsteer(&mut self, key: &ListenerKey) -> Result<(), Self::Error> {
        steer::remove(&mut self.applier.tables.socket, key)
    }

    fn admission(&self, key: &ListenerKey) -> Option<Arc<dyn Admission>> {
        let index = self.applier.registry.listeners.get(key)?;
        Some(Arc::new(Connections::new(self.applier.tables.limit.clone(), index)))
    }
}

impl DataPath for Daemon {
    type Reason = Error;

    fn served(&self) -> &Served {
        &self.applier.registry.served
    }

    fn remembered(&self) -> Vec<(PoolId, SocketAddr, MemberHealth)> {
        self.applier.remembered()
    }

    async fn prepare(&mut self, transition: &Transition, changes: &[Change]) -> Result<(), Self::Reason> {
        let differences = self.host.differences(&transition.desired.host);
        if !differences.is_empty() {
            return Err(Error::HostDiffers { keys: differences, option: self.devices.pins().option() });
        }
        self.refuse_a_new_family(&transition.after)?;
        self.applier.prepare(changes)?;
        let comes = |change: &Change| matches!(change, Change::AddVip(_));
        if changes.iter().any(comes) {
            self.owned.check(&transition.after.vips, &BTreeSet::new()).await?;
        }
        own_members::refuse(changes, &local_table::addresses(&self.handle).await?)?;
        self.resolve(changes).await
    }

    async fn apply(
        &mut self,
        desired: &Desired,
        changes: &[Change],
        standings: &Standings,
    ) -> Result<(), Self::Reason> {
        self.timeouts = desired.timeouts;
        let begins_to_announce = desired.host.announce && !self.host.announce;
        self.host = desired.host.clone();
        if self.silent.is_none() {
            settings::write(&self.applier.tables, &self.host)?;
        }
        let applied = changes.iter().try_for_each(|change| self.applier.apply(change, standings));
        // Sessions look again whether their client may stay.
        self.bump_generation()?;
        let moves = |change: &Change| matches!(change, Change::AddVip(_) | Change::RemoveVip(_));
        if !self.is_at_work || begins_to_announce || changes.iter().any(moves) {
            self.is_at_work = true;
            self.sync_own().await?;
        }
        applied
    }

    fn note(&mut self, members: &[(PoolId, SocketAddr)], standings: &Standings) -> Result<(), Self::Reason> {
        for &(pool, member) in members {
            if self.applier.note(pool, member, standings)? {
                self.stale.insert(pool);
            }
        }
        self.refill(standings)
    }
}
