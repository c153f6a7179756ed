//! What listeners have had to do, for the API: Layer 7 says it of its own, the maps of the others.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

use evenkeel::{
    api::stats::{Counted, Stats},
    dataplane::{daemon::Daemon, pins::PinDir, report::pools_and_listeners, tables::Tables},
    engine::Engine,
    l7::{listeners::Layer7, metrics::ListenerRow},
};
use model::{id::ListenerId, served::ListenerKey};
use tokio::{
    sync::{Mutex, oneshot},
    task::spawn_blocking,
};

/// Reads counters, one reader at a time: it walks over all sessions.
pub struct Reader {
    pins: PinDir,
    turn: Arc<Mutex<()>>,
}

impl Reader {
    /// Of the data path that is pinned here.
    pub fn new(pins: PinDir) -> Self {
        Self { pins, turn: Arc::default() }
    }

    /// Has it answered what these listeners have had to do, without the daemon waiting for that.
    pub fn answer(
        &self,
        wanted: &HashSet<ListenerId>,
        reply: oneshot::Sender<Result<Counted, String>>,
        engine: &Engine<Daemon, Layer7>,
    ) {
        let served = engine.served().listeners.iter().filter(|(_, listener)| wanted.contains(&listener.id));
        let keys: Vec<(ListenerKey, ListenerId, bool)> =
            served.map(|(key, listener)| (*key, listener.id, listener.http.is_some())).collect();
        let metrics = engine.frontend.metrics();
        let rows = wanted.iter().filter_map(|id| Some((*id, metrics.row(*id)?)));
        let rows: HashMap<ListenerId, ListenerRow> = rows.collect();
        let (pins, turn) = (self.pins.clone(), self.turn.clone());
        tokio::spawn(async move {
            let _turn = turn.lock().await;
            let counted = spawn_blocking(move || read(&pins, &keys, &rows)).await;
            let _ = reply.send(counted.unwrap_or_else(|error| Err(error.to_string())));
        });
    }
}

fn read(
    pins: &PinDir,
    keys: &[(ListenerKey, ListenerId, bool)],
    rows: &HashMap<ListenerId, ListenerRow>,
) -> Result<Counted, String> {
    let tables = Tables::open(pins).map_err(|error| error.to_string())?;
    let (_, listeners) = pools_and_listeners(&tables).map_err(|error| error.to_string())?;
    let listeners: HashMap<_, _> =
        listeners.iter().map(|row| ((SocketAddr::new(row.vip, row.port), row.protocol), row)).collect();
    let mut counted = Counted::new();
    for (id, row) in rows {
        counted.entry(*id).or_default().add(&Stats {
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            active_connections: row.connections_open,
            total_connections: row.connections,
            request_errors: row.refused.values().sum::<u64>() + row.http_502,
        });
    }
    for (key, id, is_http) in keys {
        let Some(row) = listeners.get(&(key.socket(), key.protocol.name())) else { continue };
        let traffic = &row.traffic;
        let refused = traffic.refused.sessions();
        counted.entry(*id).or_default().add(&if *is_http {
            // Those that came so far Layer 7 has counted.
            Stats { request_errors: refused, ..Stats::default() }
        } else {
            Stats {
                bytes_in: traffic.bytes_in,
                bytes_out: traffic.bytes_out,
                active_connections: traffic.sessions_open,
                total_connections: traffic.sessions_total,
                request_errors: refused,
            }
        });
    }
    Ok(counted)
}
