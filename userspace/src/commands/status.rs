//! `evenkeel status`.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use comfy_table::Table;
use evenkeel::{
    dataplane::{
        network::{self, interfaces},
        report::{InterfaceRow, MemberHealth, MemberState, Pool, pools_and_listeners},
        sessions::Ports,
        tables::Tables,
        totals::{Status, load_balancers},
        traffic::Traffic,
    },
    l7::metrics::{ListenerRow, MemberRow, Report, endpoint},
};
use serde::Serialize;

use super::output::{self, Format, View, json, table};

pub fn run(options: &View) -> Result<()> {
    let tables = Tables::open(&options.pins.directory())?;
    let (mut pools, listeners) = pools_and_listeners(&tables)?;
    let ports = tables.sessions.ports();
    let counted = endpoint::read(&endpoint::path(options.pins.directory().root()))
        .context("cannot read what the daemon counts")?;
    let http = counted.map(|Report { listeners, members }| {
        pools.iter_mut().for_each(|pool| count_requests(pool, &members));
        listeners
    });
    let rows = http.iter().flatten();
    let more = rows.flat_map(|row| row.pools.iter().map(|pool| (row.load_balancer.as_str(), pool.as_str())));
    let load_balancers = load_balancers(&listeners, &pools, more);
    let status = Status { load_balancers, pools, listeners, interfaces: interfaces(&tables)?, ports };
    match options.output {
        Format::Json => json(&Answer { status, http }),
        Format::Table => {
            let http = http.unwrap_or_default();
            let http = if http.is_empty() { String::new() } else { format!("\n\n{}", http_table(&http)) };
            output::print(format!("{}{http}", text(&status)))
        }
    }
}

/// Layer 7 counts for itself what its pools' members are sent: requests, in the place of sessions.
fn count_requests(pool: &mut Pool, members: &[MemberRow]) {
    for MemberRow { load, .. } in members.iter().filter(|row| row.pool == pool.name) {
        let address = (load.member.ip(), load.member.port());
        if let Some(member) = pool.members.iter_mut().find(|member| (member.address, member.port) == address)
        {
            member.sessions_open += u64::from(load.requests_open);
            member.sessions_total += load.requests;
        }
    }
    pool.share_out();
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    status: Status,
    /// What HTTP listeners have counted; nothing if no daemon runs.
    http: Option<Vec<ListenerRow>>,
}

fn http_table(rows: &[ListenerRow]) -> Table {
    let mut http = table(
        [
            "HTTP LISTENER",
            "REQUESTS",
            "2XX",
            "3XX",
            "4XX",
            "5XX",
            "404",
            "499",
            "502",
            "REFUSED",
            "AVERAGE",
            "LONGEST",
            "CONNECTIONS",
            "OPEN",
            "BYTES IN",
            "BYTES OUT",
            "LOG LOST",
        ],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    );
    for row in rows {
        let ms = |us: u64| format!("{:.1} ms", us as f64 / 1e3);
        http.add_row([
            format!("{}/{}", row.load_balancer, row.name),
            row.requests.to_string(),
            row.answers._2xx.to_string(),
            row.answers._3xx.to_string(),
            row.answers._4xx.to_string(),
            row.answers._5xx.to_string(),
            row.http_404.to_string(),
            row.http_499.to_string(),
            row.http_502.to_string(),
            row.refused.values().sum::<u64>().to_string(),
            ms(row.response_us_sum.checked_div(row.requests).unwrap_or(0)),
            ms(row.response_us_max),
            row.connections.to_string(),
            row.connections_open.to_string(),
            row.bytes_in.to_string(),
            row.bytes_out.to_string(),
            row.log_lines_dropped.to_string(),
        ]);
    }
    http
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
                mode: all.iter().find(|wire| wire.index == record.device).and_then(|wire| wire.xdp),
                index: record.index,
            });
        }
    }
    Ok(rows)
}

fn text(status: &Status) -> String {
    const TRAFFIC: [&str; 8] =
        ["OPEN", "ESTAB", "TOTAL", "REFUSED", "PKTS IN", "BYTES IN", "PKTS OUT", "BYTES OUT"];
    let [open, established, total, refused, packets_in, bytes_in, packets_out, bytes_out] = TRAFFIC;
    let mut load_balancers = table(
        [
            "LOAD BALANCER",
            "BANDWIDTH",
            "OVER IT",
            "UP",
            "DOWN",
            open,
            established,
            total,
            refused,
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
        ],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    );
    for row in &status.load_balancers {
        let mut cells = vec![
            row.name.clone(),
            row.bandwidth_mbit.map_or_else(|| "-".to_owned(), |mbit| format!("{mbit} Mbit/s")),
            row.traffic.refused.bandwidth_packets.to_string(),
            row.members_healthy.to_string(),
            row.members_unhealthy.to_string(),
        ];
        cells.extend(traffic(&row.traffic));
        load_balancers.add_row(cells);
    }
    let mut listeners = table(
        [
            "LISTENER",
            "NAME",
            "POOL",
            "IDLE TIMEOUT",
            "MOST",
            "MOST/S",
            open,
            established,
            total,
            refused,
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
        ],
        &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
    );
    for row in &status.listeners {
        let limit = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let mut cells = vec![
            format!("{} {}", row.protocol, SocketAddr::new(row.vip, row.port)),
            format!("{}/{}", row.load_balancer, row.name),
            row.pool.clone(),
            format!("{} s", row.idle_timeout_s),
            limit(row.max_connections),
            limit(row.max_connections_per_second),
        ];
        cells.extend(traffic(&row.traffic));
        listeners.add_row(cells);
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
    let mut ports = table(["LOCAL PORTS TOWARDS", "FREE", "OF"], &[1, 2]);
    let pools = status.pools.iter().map(|pool| (pool.name.as_str(), pool.ports));
    for (towards, Ports { free, total }) in pools.chain([("all planes", status.ports)]) {
        ports.add_row([towards.to_owned(), free.to_string(), total.to_string()]);
    }
    format!("{load_balancers}\n\n{listeners}\n\n{members}\n\n{ports}\n\nInterfaces: {interfaces}")
}

/// What a table shows of it, in the order of its columns.
fn traffic(traffic: &Traffic) -> [String; 8] {
    [
        traffic.sessions_open,
        traffic.sessions_established,
        traffic.sessions_total,
        traffic.refused.sessions(),
        traffic.packets_in,
        traffic.bytes_in,
        traffic.packets_out,
        traffic.bytes_out,
    ]
    .map(|number| number.to_string())
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
