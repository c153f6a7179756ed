//! `evenkeel-toa lookup`: who is behind open connections.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Result;
use clap::Args;
use evenkeel_toa::connections;

use super::output::{self, Format, View, say};

#[derive(Args)]
pub struct Options {
    /// Where the connection's segments come from, as the program saw it without TOA.
    #[arg(value_parser = end)]
    balancer: Option<SocketAddr>,
    /// This host's end, where the same balancer's port is connected to several.
    #[arg(value_parser = end)]
    local: Option<SocketAddr>,
    #[command(flatten)]
    view: View,
}

/// An end of a connection.
fn end(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "not an address and port such as 100.64.0.1:1024 or [2001:db8::1]:1024".to_owned())
}

/// Fails, without a word, if a connection was asked for that is not there.
pub fn run(options: &Options) -> Result<ExitCode> {
    let connections::Listing { connections: mut found, unseen } =
        connections::list(&options.view.pins.directory())?;
    output::warn_of_unseen(unseen);
    if let Some(balancer) = options.balancer {
        found.retain(|connection| connection.has_ends(balancer, options.local));
    }
    if options.view.output == Format::Json {
        output::json(&found)?;
    } else {
        let mut lines = found.iter();
        lines.try_for_each(|found| {
            say(format_args!("{} via {} to {}", found.client, found.balancer, found.local))
        })?;
    }
    let asked_in_vain = options.balancer.is_some() && found.is_empty();
    Ok(if asked_in_vain { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
