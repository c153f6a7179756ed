//! `evenkeel status`.

use anyhow::Result;
use evenkeel::dataplane::{
    network::{self, interfaces},
    report::{InterfaceRow, MemberState, Ports, Status, pools_and_listeners},
    tables::Tables,
};

use super::output::{Format, View, json, table};

pub fn run(options: &View) -> Result<()> {
    let tables = Tables::open(&options.pins.directory())?;
    let (pools, listeners) = pools_and_listeners(&tables)?;
    let ports = Ports { free: tables.sessions.free_ports(), total: tables.sessions.total_ports() };
    let status = Status { pools, listeners, interfaces: interfaces(&tables)?, ports };
    match options.output {
        Format::Json => json(&status),
        Format::Table => {
            print(&status);
            Ok(())
        }
    }
}

fn interfaces(tables: &Tables) -> Result<Vec<InterfaceRow>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let all = runtime.block_on(async { interfaces::all(&network::connect()?).await })?;
    let mut rows = Vec::new();
    for record in tables.interface.iter() {
        let index = record?.index;
        if let Some(interface) = all.iter().find(|interface| interface.index == index) {
            rows.push(InterfaceRow { name: interface.name.clone(), mode: interface.xdp, index });
        }
    }
    Ok(rows)
}

fn print(status: &Status) {
    let mut listeners = table(["LISTENER", "NAME", "POOL", "IDLE TIMEOUT", "OPEN"], &[3, 4]);
    for row in &status.listeners {
        listeners.add_row([
            format!("{} {}:{}", row.protocol, row.vip, row.port),
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
            "OPEN",
            "TOTAL",
            "SHARE",
            "PKTS IN",
            "BYTES IN",
            "PKTS OUT",
            "BYTES OUT",
        ],
        &[2, 4, 5, 6, 7, 8, 9, 10],
    );
    for pool in &status.pools {
        for member in &pool.members {
            members.add_row([
                pool.name.clone(),
                format!("{}:{}", member.address, member.port),
                member.weight.to_string(),
                state(member.state).to_owned(),
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
    println!("{listeners}\n\n{members}\n");
    println!("Interfaces: {}", interfaces.join(", "));
    println!("Local ports: {} of {} free", status.ports.free, status.ports.total);
}

fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Active => "active",
        MemberState::Draining => "draining",
        MemberState::Removed => "removed",
    }
}
