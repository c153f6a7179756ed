//! Loads the programs with their maps, or takes over the maps of a process that ended. Nothing that a failed start
//! made stays behind ([`Unfinished`]). Next: `attach`, which puts the program on the interfaces.

use std::{collections::BTreeMap, io, net::IpAddr};

use aya::{
    Ebpf, EbpfLoader,
    maps::Map,
    programs::{ProgramError, RawTracePoint, SchedClassifier, SkLookup, Xdp},
};
use aya_log::EbpfLogger;
use evenkeel_loader::{
    kernels::BALANCER,
    refusal::{Refusal, one_line},
};
use xdp_ebpf::abi::{self, Config, map};

use super::{
    clock::Clock, features::Features, geometry::Geometry, pins::PinDir, tables::Tables,
    unfinished::Unfinished,
};
use crate::dataplane::error::{Context, Error, Result, unfit};

/// The XDP program's name in the object.
const PROGRAM: &str = "evenkeel";
/// The clock program's.
const CLOCK: &str = "ek_clock";
/// The one that finds Layer-7 listeners' sockets.
const STEERING: &str = "ek_steer";
/// The one for what this host itself sends.
const EGRESS: &str = "ek_egress";
/// The one that hears what the kernel could not send.
const NOT_SENT: &str = "ek_redirect_err";
/// aya-log's level for the sessions that open or are refused: `Level::Info`.
const INFO: u8 = aya_log::Level::Info as u8;
/// aya-log's level at which the verifier removes every message.
const SILENT: u8 = 0;

/// Whether the data path tells about every session that opens or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLog {
    /// It does not, and the code for it is gone.
    Off,
    /// It does.
    On,
}

/// Where the maps come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They are new.
    New,
    /// An earlier process left them, with its sessions.
    TakenOver,
}

/// The data path, loaded and not yet on any interface.
pub struct Loaded {
    /// Its maps.
    pub tables: Tables,
    /// Its clock.
    pub clock: Clock,
    /// Whether the maps hold sessions of an earlier process.
    pub origin: Origin,
    /// Drains the messages about sessions, if they are on.
    pub logger: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Its programs.
    pub programs: Programs,
}

/// The programs, in the kernel.
pub struct Programs {
    ebpf: Ebpf,
    /// Of the maps, by name, as they were pinned at the start.
    map_ids: BTreeMap<&'static str, u32>,
}

impl Programs {
    /// The XDP program, to attach.
    ///
    /// # Errors
    /// The object has none.
    pub fn forwarder(&mut self) -> Result<&mut Xdp> {
        program(&mut self.ebpf, PROGRAM)
    }

    /// The program that steers connections to Layer-7 listeners' sockets, to attach.
    ///
    /// # Errors
    /// The object has none.
    pub fn steering(&mut self) -> Result<&mut SkLookup> {
        let program = self.ebpf.program_mut(STEERING).context("the BPF object has no program for sockets")?;
        program.try_into().with_context(|| format!("{STEERING} is not for socket lookups"))
    }

    /// One of the maps that the programs use.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.ebpf.map(name)
    }

    /// That map's id.
    pub fn map_id(&self, name: &str) -> Option<u32> {
        self.map_ids.get(name).copied()
    }

    /// The id of the XDP program.
    ///
    /// # Errors
    /// The object has none.
    pub fn forwarder_id(&mut self) -> Result<u32> {
        Ok(self.forwarder()?.info()?.id())
    }

    /// The clock program.
    ///
    /// # Errors
    /// The object has none.
    pub fn clock(&mut self) -> Result<&mut Xdp> {
        program(&mut self.ebpf, CLOCK)
    }

    /// The program that hears what the kernel could not send, to load and attach.
    ///
    /// # Errors
    /// The object has none.
    pub fn not_sent(&mut self) -> Result<&mut RawTracePoint> {
        let program = self.ebpf.program_mut(NOT_SENT).context("the BPF object has no program for errors")?;
        program.try_into().with_context(|| format!("{NOT_SENT} is not for a raw tracepoint"))
    }

    /// The program for what this host itself sends, to attach.
    ///
    /// # Errors
    /// The object has none.
    pub fn egress(&mut self) -> Result<&mut SchedClassifier> {
        let program = self.ebpf.program_mut(EGRESS).context("the BPF object has no program for egress")?;
        program.try_into().with_context(|| format!("{EGRESS} is not for traffic control"))
    }
}

/// Loads `object` with tables of this geometry; pinned ones that match are used as they are.
///
/// # Errors
/// Pinned tables do not match, or the kernel refuses something.
pub fn load(
    object: &[u8],
    pins: &PinDir,
    geometry: &Geometry,
    log: SessionLog,
) -> Result<(Loaded, Unfinished)> {
    pins.prepare()?;
    let mut unfinished = Unfinished::default();
    let (origin, geometry) = match compare(pins, geometry)? {
        Ok(there) => (Origin::TakenOver, there),
        Err(_) if pins.linked()?.is_empty() => {
            // Nothing there, or what a start that was killed midway left.
            pins.remove()?;
            pins.prepare()?;
            unfinished.add_all_of(pins.clone());
            (Origin::New, geometry.clone())
        }
        Err(difference) => unfit!(
            "the data path that is loaded was made for another [host]: {difference}; `evenkeel unload{}` drops it with all its sessions and lets this one start",
            pins.option()
        ),
    };

    let features = Features::probe()?;
    features.tell();
    let mut ebpf = loader(pins, &geometry, log, features, |loader| loader.load(&features.fit(object)))
        .map_err(|error| {
            Error::Unfit(format!("cannot load the BPF object: {}; {}", one_line(&error), BALANCER.advice()))
        })?;
    let logger = match log {
        SessionLog::Off => None,
        SessionLog::On => Some(
            EbpfLogger::init_with_logger(&mut ebpf, log::logger())
                .context("the BPF object has no messages to log")?,
        ),
    };
    let clock_pin = pins.clock();
    let clock = program(&mut ebpf, CLOCK)?;
    clock.load().map_err(|error| refused(CLOCK, &error))?;
    pins.remove_pin(&clock_pin)?;
    clock.pin(&clock_pin).with_context(|| format!("cannot pin {}", clock_pin.display()))?;
    let clock = Clock::open(pins)?;

    let mut tables = Tables::open(pins)?;
    if origin == Origin::New {
        initialise(&mut tables, &geometry, clock.measure_rate()?)?;
    }
    program(&mut ebpf, PROGRAM)?.load().map_err(|error| refused(PROGRAM, &error))?;
    let mut map_ids = BTreeMap::new();
    for name in map::ALL {
        map_ids.insert(name, pins.map_info(name)?.id());
    }
    let mut programs = Programs { ebpf, map_ids };
    programs.steering()?.load().map_err(|error| refused(STEERING, &error))?;
    programs.egress()?.load().map_err(|error| refused(EGRESS, &error))?;
    Ok((Loaded { tables, clock, origin, logger, programs }, unfinished))
}

fn loader<T>(
    pins: &PinDir,
    geometry: &Geometry,
    log: SessionLog,
    features: Features,
    load: impl FnOnce(&mut EbpfLoader<'_>) -> T,
) -> T {
    let level = match log {
        SessionLog::Off => &SILENT,
        SessionLog::On => &INFO,
    };
    let mut loader = EbpfLoader::new();
    let frags = u8::from(features.frags);
    loader.override_global(aya_log::LEVEL, level, false);
    loader.override_global(abi::FRAGS, &frags, true);
    for name in map::ALL {
        loader.map_pin_path(name, pins.map(name));
    }
    for (name, entries) in geometry.map_sizes() {
        loader.map_max_entries(name, entries);
    }
    load(&mut loader)
}

/// Writes what is fixed for the life of the tables, `ek_config` last: by that a later start knows that the tables are
/// whole.
fn initialise(tables: &mut Tables, geometry: &Geometry, jiffies_hz: u32) -> Result<()> {
    for is_of_family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        let addresses = geometry.local_addresses.iter().filter(|address| is_of_family(address));
        for (index, &address) in (0..).zip(addresses) {
            tables.addresses.add_local(address, index)?;
        }
    }
    let mut seed = [0; 8];
    random(&mut seed).context("no random numbers")?;
    tables.sessions.config = geometry.config(u64::from_ne_bytes(seed), jiffies_hz);
    tables.sessions.fill_ports(&geometry.local_addresses)?;
    // The ports must be there before the word that vouches for them.
    std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
    tables.config()?.write(tables.sessions.config);
    Ok(())
}

fn random(bytes: &mut [u8]) -> io::Result<()> {
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, bytes)
}

/// The geometry of the pinned tables if it serves this one, else what differs.
fn compare(pins: &PinDir, geometry: &Geometry) -> Result<Result<Geometry, String>> {
    for name in map::ALL {
        let path = pins.map(name);
        if !path.exists() {
            return Ok(Err(format!("{} is missing", path.display())));
        }
    }
    let tables = Tables::open(pins)?;
    let (found, local) = (tables.config()?.snapshot(), tables.addresses.local());
    if local != geometry.local_addresses {
        return Ok(Err(format!("its local_addresses are {}", list(&local))));
    }
    if (found.port_base, found.port_count) != (geometry.port_base.into(), geometry.port_count) {
        let last = (found.port_base + found.port_count).saturating_sub(1);
        return Ok(Err(format!("its local_ports are \"{}-{last}\"", found.port_base)));
    }
    let geometry = geometry.clone().keep(&found);
    // All that is not of the geometry may differ.
    let Config { generation, without_session, max_half_open, min_path_mtu, .. } = found;
    let Config { virtual_macs, device_map, moved, .. } = found;
    let expected = Config {
        generation,
        without_session,
        max_half_open,
        min_path_mtu,
        virtual_macs,
        device_map,
        moved,
        ..geometry.config(found.seed, found.jiffies_hz)
    };
    let mut same = found == expected;
    for (name, entries) in geometry.map_sizes() {
        same &= pins.map_info(name)?.max_entries() == entries;
    }
    if same {
        return Ok(Ok(geometry));
    }
    for (family, needed, mask) in
        [("IPv4", geometry.has_v4, found.forward_mask), ("IPv6", geometry.has_v6, found.forward6_mask)]
    {
        if needed && mask == 0 {
            return Ok(Err(format!("it began without {family} addresses and has no session table for them")));
        }
    }
    // Addresses and ports being equal, nothing else is left that the sizes follow from.
    Ok(Err("its tables are of the size for another max_sessions".to_owned()))
}

fn list(addresses: &[IpAddr]) -> String {
    match addresses {
        [] => "none".into(),
        [only] => only.to_string(),
        [first, .., last] => format!("{} from {first} to {last}", addresses.len()),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf.program_mut(name).with_context(|| format!("the BPF object has no program {name}"))?;
    program.try_into().with_context(|| format!("{name} is not an XDP program"))
}

/// The kernel's verdict in one line; the verifier's log is for `RUST_LOG=debug`.
fn refused(program: &str, error: &ProgramError) -> Error {
    let refusal = Refusal::new(program, error);
    match &refusal.log {
        Some(log) => {
            tracing::debug!("the verifier says: {log}");
            let advice = BALANCER.advice();
            Error::Unfit(format!("{refusal}; {advice}; RUST_LOG=debug shows the verifier's reasons"))
        }
        None => refusal.into(),
    }
}
