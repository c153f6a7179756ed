//! `evenkeel status`.

use std::net::SocketAddr;

use anyhow::Result;
use evenkeel::dataplane::{
    network::{self, interfaces},
    report::{InterfaceRow, MemberHealth, MemberState, Ports, Status, pools_and_listeners},
    tables::Tables,
};

use super::output::{self, Format, View, json, table};

pub fn run(options: &View) -> Result<()> {
    let tables = Tables::open(&options.pins.directory())?;
    let (pools, listeners) = pools_and_listeners(&tables)?;
    let ports = Ports { free: tables.sessions.free_ports(), total: tables.sessions.total_ports() };
    let status = Status { pools, listeners, interfaces: interfaces(&tables)?, ports };
    match options.output {
        Format::Json => json(&status),
        Format::Table => output::print(text(&status)),
    }
}

fn interfaces(tables: &Tables) -> Result<Vec<InterfaceRow>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let all = runtime.block_on(async { interfaces::all(&network::connect()?).await })?;
    let mut rows = Vec::new();
    for record in tables.interface.iter() {
        let record = record?;
        // By its MAC too: seen from another network namespace, the index may be another interface's.
        if let Some(interface) =
            all.iter().find(|there| (there.index, there.mac) == (record.index, record.mac))
        {
            rows.push(InterfaceRow {
                name: interface.name.clone(),
                mode: interface.xdp,
                index: record.index,
            });
        }
    }
    Ok(rows)
}

fn text(status: &Status) -> String {
    let mut listeners = table(["LISTENER", "NAME", "POOL", "IDLE TIMEOUT", "OPEN"], &[3, 4]);
    for row in &status.listeners {
        listeners.add_row([
            format!("{} {}", row.protocol, SocketAddr::new(row.vip, row.port)),
            format!("{}/{}", row.load_balancer, row.name),
            row.pool.clone(),
            format!("{} s", row.idle_timeout_s),
            row.sessions_open.to_string(),
        ]);
    }
    let mut members = table(
        [
            "POOL",
            "MEMBER",
            "WEIGHT",
            "STATE",
            "HEALTH",
            "LAST FAILURE",
            "OPEN",
            "TOTAL",
            "SHARE",
            "PKTS IN",
            "BYTES IN",
            "PKTS OUT",
            "BYTES OUT",
        ],
        &[2, 6, 7, 8, 9, 10, 11, 12],
    );
    for pool in &status.pools {
        for member in &pool.members {
            members.add_row([
                pool.name.clone(),
                SocketAddr::new(member.address, member.port).to_string(),
                member.weight.to_string(),
                state(member.state).to_owned(),
                health(member.health).to_owned(),
                member.reason.clone().unwrap_or_else(|| "-".to_owned()),
                member.sessions_open.to_string(),
                member.sessions_total.to_string(),
                format!("{:.1} %", member.share * 100.0),
                member.packets_in.to_string(),
                member.bytes_in.to_string(),
                member.packets_out.to_string(),
                member.bytes_out.to_string(),
            ]);
        }
    }
    let interfaces: Vec<_> = status
        .interfaces
        .iter()
        .map(|row| format!("{} ({})", row.name, row.mode.map_or("no XDP", |mode| mode.name())))
        .collect();
    let interfaces = match interfaces[..] {
        [] => "none in this network namespace".to_owned(),
        _ => interfaces.join(", "),
    };
    let Ports { free, total } = status.ports;
    format!("{listeners}\n\n{members}\n\nInterfaces: {interfaces}\nLocal ports: {free} of {total} free")
}

fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Active => "active",
        MemberState::Draining => "draining",
        MemberState::Removed => "removed",
    }
}

fn health(health: MemberHealth) -> &'static str {
    match health {
        MemberHealth::Up => "up",
        MemberHealth::Down => "down",
        MemberHealth::Unchecked => "unchecked",
    }
}
