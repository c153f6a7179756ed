//! `evenkeel status`.

mod answer;
mod text;

use anyhow::{Context, Result};
use clap::Args;
use evenkeel::{
    dataplane::{
        network::{self, interfaces},
        report::{InterfaceRow, ListenerRow, Pool, pools_and_listeners},
        tables::Tables,
        totals::{Status, load_balancers},
    },
    l7::{
        self,
        metrics::{MemberRow, Report, endpoint},
    },
};

use self::answer::{Answer, Filter};
use super::output::{self, Format, View, json};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    view: View,
    #[command(flatten)]
    filter: Filter,
}

pub fn run(Options { view: options, filter }: &Options) -> Result<()> {
    let tables = Tables::open(&options.pins.directory())?;
    let (mut pools, mut listeners) = pools_and_listeners(&tables)?;
    let ports = tables.sessions.ports();
    let counted = endpoint::read(&endpoint::path(options.pins.directory().root()))
        .context("cannot read what the daemon counts")?;
    let mut problem = None;
    let http = counted.map(|Report { listeners: http, members, problem: told }| {
        problem = told;
        http.iter().for_each(|row| count_backends(&mut listeners, row));
        pools.iter_mut().for_each(|pool| count_requests(pool, &members));
        http
    });
    let rows = http.iter().flatten();
    let more = rows.flat_map(|row| row.pools.iter().map(|pool| (row.load_balancer.as_str(), pool.as_str())));
    let load_balancers = load_balancers(&listeners, &pools, more);
    let status = Status { load_balancers, pools, listeners, interfaces: interfaces(&tables)?, ports };
    let mut answer = Answer { status, http, problem };
    filter.apply(&mut answer);
    match options.output {
        Format::Json => json(&answer),
        Format::Table => output::print(text::of(&answer)),
    }
}

/// Layer 7 counts its connections to members for all VIPs of a listener together: they stand with the first.
fn count_backends(listeners: &mut [ListenerRow], counted: &l7::metrics::ListenerRow) {
    let is_it =
        |row: &&mut ListenerRow| (&row.load_balancer, &row.name) == (&counted.load_balancer, &counted.name);
    if let Some(row) = listeners.iter_mut().find(is_it) {
        row.traffic.backend_connections_open += counted.backend_connections_open;
        row.traffic.backend_connections_established += counted.backend_connections_open;
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

fn interfaces(tables: &Tables) -> Result<Vec<InterfaceRow>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let all = runtime.block_on(async { interfaces::all(&network::connect()?).await })?;
    let mut rows = Vec::new();
    for (slot, record) in (0..).zip(tables.interface.iter()) {
        let record = record?;
        // By its MAC too: seen from another network namespace, the index may be another interface's.
        if let Some(interface) =
            all.iter().find(|there| (there.index, there.mac) == (record.index, record.mac))
        {
            rows.push(InterfaceRow {
                name: interface.name.clone(),
                mode: all.iter().find(|wire| wire.index == record.device).and_then(|wire| wire.xdp),
                index: record.index,
                not_sent: tables.not_sent(slot)?,
            });
        }
    }
    Ok(rows)
}
