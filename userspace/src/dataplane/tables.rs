//! All maps of a running data path, opened by their pins: what the daemon and the commands that look in work on.

use std::{os::fd::AsFd, sync::Arc};

use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, SockHash, lpm_trie::LpmTrie, xdp::DevMap},
};
use evenkeel_loader::pins::PinError;
use xdp_ebpf::abi::{
    Backend, BackendIndex, BackendStat, Bandwidth, Config, Counters, Interface, Limit, Listener,
    ListenerIndex, ListenerStat, Pool, PoolIndex, ResetRate, Service, Slot, SlotIndex, map,
};

use super::{
    access::Trie,
    addresses::{Addresses, PER_BUCKET},
    halves::Halves,
    limits,
    memory::Mapping,
    pins::PinDir,
    sessions::Sessions,
};
use crate::dataplane::error::{Context, Result, unfit};

/// The maps by what they are for.
pub struct Tables {
    /// `ek_config`, one record.
    pub config: Mapping<Config>,
    /// `ek_address` and `ek_address6`.
    pub addresses: Addresses,
    /// `ek_service`.
    pub service: HashMap<MapData, Service, ListenerIndex>,
    /// `ek_access`.
    pub access: Trie,
    /// `ek_listener`.
    pub listener: Array<MapData, Listener>,
    /// `ek_pool`.
    pub pool: Mapping<Pool, PoolIndex>,
    /// `ek_cursor`.
    pub cursor: Array<MapData, u64>,
    /// `ek_slot`.
    pub slot: Mapping<Slot, SlotIndex>,
    /// `ek_backend`.
    pub backend: Mapping<Backend, BackendIndex>,
    /// `ek_load`.
    pub load: Mapping<u32, BackendIndex>,
    /// `ek_backend_stat`.
    pub backend_stat: PerCpuArray<MapData, BackendStat>,
    /// `ek_listen_stat`.
    pub listener_stat: PerCpuArray<MapData, ListenerStat>,
    /// `ek_limit`.
    pub limit: Arc<Mapping<Limit, ListenerIndex>>,
    /// `ek_bandwidth`.
    pub bandwidth: Mapping<Bandwidth>,
    /// `ek_reset_rate`, one record.
    pub reset_rate: Mapping<ResetRate>,
    /// `ek_half_open`.
    pub half_open: Mapping<u32>,
    /// `ek_forward`, `ek_reverse` (and the same of IPv6), `ek_plane` and `ek_port`.
    pub sessions: Sessions,
    /// `ek_interface`.
    pub interface: Array<MapData, Interface>,
    /// `ek_device`.
    pub device: DevMap<MapData>,
    /// `ek_not_sent`.
    pub not_sent: PerCpuArray<MapData, u64>,
    /// `ek_counter`.
    pub counter: PerCpuArray<MapData, Counters>,
    /// `ek_socket`.
    pub socket: SockHash<MapData, Service>,
}

impl Tables {
    /// Opens every pinned map. The configuration and the local addresses may still be empty.
    ///
    /// # Errors
    /// A map is not there or is not what this version expects.
    pub fn open(pins: &PinDir) -> Result<Self> {
        let config = mapping::<Config, u32>(pins, map::CONFIG)?;
        let sessions = Sessions {
            config: config.get(0).context(map::CONFIG)?.snapshot(),
            forward: Halves { v4: mapping(pins, map::FORWARD)?, v6: mapping(pins, map::FORWARD6)? },
            reverse: Halves { v4: mapping(pins, map::REVERSE)?, v6: mapping(pins, map::REVERSE6)? },
            plane: mapping(pins, map::PLANE)?,
            port: mapping(pins, map::PORT)?,
        };
        Ok(Self {
            config,
            addresses: addresses(pins)?,
            service: HashMap::try_from(Map::HashMap(open(pins, map::SERVICE)?)).context(map::SERVICE)?,
            access: LpmTrie::try_from(Map::LpmTrie(open(pins, map::ACCESS)?)).context(map::ACCESS)?,
            listener: array(pins, map::LISTENER)?,
            pool: mapping(pins, map::POOL)?,
            cursor: array(pins, map::CURSOR)?,
            slot: mapping(pins, map::SLOT)?,
            backend: mapping(pins, map::BACKEND)?,
            load: mapping(pins, map::LOAD)?,
            backend_stat: per_cpu(pins, map::BACKEND_STAT)?,
            listener_stat: per_cpu(pins, map::LISTENER_STAT)?,
            limit: Arc::new(mapping(pins, map::LIMIT)?),
            bandwidth: mapping(pins, map::BANDWIDTH)?,
            reset_rate: mapping(pins, map::RESET_RATE)?,
            half_open: mapping(pins, map::HALF_OPEN)?,
            sessions,
            interface: array(pins, map::INTERFACE)?,
            device: DevMap::try_from(Map::DevMap(open(pins, map::DEVICE)?)).context(map::DEVICE)?,
            not_sent: per_cpu(pins, map::NOT_SENT)?,
            counter: per_cpu(pins, map::COUNTER)?,
            socket: SockHash::try_from(Map::SockHash(open(pins, map::SOCKET)?)).context(map::SOCKET)?,
        })
    }

    /// The one record of `ek_config`.
    ///
    /// # Errors
    /// The map is empty, which the kernel does not allow.
    pub fn config(&self) -> Result<xdp_ebpf::shared::Shared<'_, Config>> {
        self.config.get(0).context(map::CONFIG)
    }

    /// The maps of limits.
    pub fn limits(&self) -> limits::Maps<'_> {
        let hz = self.sessions.config.jiffies_hz;
        limits::Maps { limit: &self.limit, bandwidth: &self.bandwidth, hz }
    }

    /// What was counted for a listener, summed over all CPUs.
    ///
    /// # Errors
    /// What the lookup says.
    pub fn listener_traffic(&self, listener: ListenerIndex) -> Result<ListenerStat> {
        let mut sum = ListenerStat::default();
        for cpu in self.listener_stat.get(&listener.index, 0)?.iter() {
            sum += *cpu;
        }
        Ok(sum)
    }

    /// How many frames the kernel could not send by the interface in this slot, summed over all CPUs.
    ///
    /// # Errors
    /// What the lookup says.
    pub fn not_sent(&self, slot: u32) -> Result<u64> {
        Ok(self.not_sent.get(&slot, 0)?.iter().sum())
    }

    /// The record of a backend's traffic, summed over all CPUs.
    ///
    /// # Errors
    /// What the lookup says.
    pub fn traffic(&self, backend: BackendIndex) -> Result<BackendStat> {
        let mut sum = BackendStat::default();
        for cpu in self.backend_stat.get(&backend.index, 0)?.iter() {
            sum.sessions += cpu.sessions;
            sum.packets_in += cpu.packets_in;
            sum.bytes_in += cpu.bytes_in;
            sum.packets_out += cpu.packets_out;
            sum.bytes_out += cpu.bytes_out;
        }
        Ok(sum)
    }
}

/// Opens the pinned maps of addresses alone.
///
/// # Errors
/// As [`Tables::open`].
pub fn addresses(pins: &PinDir) -> Result<Addresses> {
    Ok(Addresses { v4: buckets(pins, map::ADDRESS)?, v6: buckets(pins, map::ADDRESS6)? })
}

/// How many entries a map has.
///
/// # Errors
/// What the kernel says.
pub fn max_entries(data: &MapData) -> Result<u32, MapError> {
    Ok(data.info()?.max_entries())
}

fn open(pins: &PinDir, name: &str) -> Result<MapData, PinError> {
    pins.open_map(name)
}

fn mapping<T: Pod, I: From<u32> + Into<u32>>(pins: &PinDir, name: &'static str) -> Result<Mapping<T, I>> {
    let data = open(pins, name)?;
    let info = data.info()?;
    if info.value_size() as usize != size_of::<T>() {
        unfit!(
            "{name} holds records of {} bytes, and this program knows them with {}",
            info.value_size(),
            size_of::<T>()
        );
    }
    Mapping::of_map(data.fd().as_fd(), info.max_entries()).context(name)
}

/// Buckets of addresses, entry by entry.
fn buckets<T: Pod>(pins: &PinDir, name: &'static str) -> Result<Mapping<T>> {
    let data = open(pins, name)?;
    let entries = max_entries(&data)? * PER_BUCKET;
    Mapping::of_map(data.fd().as_fd(), entries).context(name)
}

fn array<T: Pod>(pins: &PinDir, name: &'static str) -> Result<Array<MapData, T>> {
    Array::try_from(Map::Array(open(pins, name)?)).context(name)
}

fn per_cpu<T: Pod>(pins: &PinDir, name: &'static str) -> Result<PerCpuArray<MapData, T>> {
    PerCpuArray::try_from(Map::PerCpuArray(open(pins, name)?)).context(name)
}
