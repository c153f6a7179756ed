//! `evenkeel sessions`.

use anyhow::Result;
use evenkeel::dataplane::{clock::Clock, report, tables::Tables};

use super::output::{Format, View, json, table};

pub fn run(options: &View) -> Result<()> {
    let pins = options.pins.directory();
    let sessions = report::sessions(&Tables::open(&pins)?, &Clock::open(&pins)?)?;
    if options.output == Format::Json {
        return json(&sessions);
    }
    let mut rows = table(
        ["PROTOCOL", "CLIENT", "VIP", "LOCAL", "BACKEND", "LISTENER", "STATE", "IDLE", "PKTS IN", "PKTS OUT"],
        &[7, 8, 9],
    );
    for session in &sessions {
        rows.add_row([
            session.protocol.to_owned(),
            session.client.to_string(),
            session.vip.to_string(),
            session.local.to_string(),
            session.backend.to_string(),
            session.listener.clone(),
            session.state.to_owned(),
            format!("{:.1} s", session.idle_s),
            session.packets_in.to_string(),
            session.packets_out.to_string(),
        ]);
    }
    println!("{rows}");
    Ok(())
}
