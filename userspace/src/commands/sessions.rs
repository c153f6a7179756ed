//! `evenkeel sessions`. There may be millions: none is kept once it is printed.

use std::{
    cell::Cell,
    io::{self, Write},
};

use anyhow::Result;
use comfy_table::{ColumnConstraint, Table, Width};
use evenkeel::dataplane::{
    clock::Clock,
    report::{self, Session},
    tables::Tables,
    taken::Taken,
};
use serde::{Serialize, Serializer};

use super::output::{Format, GAP, View, json, table, to_stdout};

/// Rows that are set in columns together.
const PAGE: usize = 1000;
const COLUMNS: usize = 10;
const HEADER: [&str; COLUMNS] =
    ["PROTOCOL", "CLIENT", "VIP", "LOCAL", "BACKEND", "LISTENER", "STATE", "IDLE", "PKTS IN", "PKTS OUT"];

pub fn run(options: &View) -> Result<()> {
    let pins = options.pins.directory();
    let tables = Tables::open(&pins)?;
    let taken = Taken::read(&tables.sessions)?;
    let sessions = report::sessions(&tables, &taken, &Clock::open(&pins)?)?;
    if options.output == Format::Json {
        return json(&Each(Cell::new(Some(sessions))));
    }
    to_stdout(|out| write_table(out, sessions))
}

/// In pages, each at least as wide as the one before.
fn write_table(out: &mut dyn Write, sessions: impl Iterator<Item = Session>) -> io::Result<()> {
    let mut sessions = sessions.peekable();
    let mut before: Option<Table> = None;
    loop {
        let mut page = table(HEADER, &[7, 8, 9]);
        page.add_rows(sessions.by_ref().take(PAGE).map(|session| cells(&session)));
        for (column, width) in page.column_iter_mut().zip(before.iter().flat_map(widths)) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
        for line in page.lines().skip(usize::from(before.is_some())) {
            writeln!(out, "{line}")?;
        }
        before = Some(page);
        if sessions.peek().is_none() {
            return Ok(());
        }
    }
}

fn cells(session: &Session) -> [String; COLUMNS] {
    [
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
    ]
}

/// How wide a page's columns were, with the space behind them.
fn widths(page: &Table) -> Vec<u16> {
    page.column_max_content_widths().into_iter().map(|width| width + GAP).collect()
}

/// An array of what this gives; once.
struct Each<I>(Cell<Option<I>>);

impl<I: Iterator<Item: Serialize>> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn all_pages_are_one_table() {
        let session = |number: usize| {
            let last = if number < PAGE { "8" } else { "198" };
            let address: SocketAddr = format!("192.0.2.{last}:{}", number % 10).parse().unwrap();
            Session {
                client: address,
                vip: address,
                local: address,
                backend: address,
                listener: "shop/web".into(),
                protocol: "tcp",
                state: "ESTABLISHED",
                idle_s: 1.0,
                packets_in: number as u32,
                packets_out: 0,
            }
        };
        let count = 2 * PAGE + PAGE / 2;
        let mut out = Vec::new();
        write_table(&mut out, (0..count).map(session)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1 + count);
        assert!(lines[0].starts_with("PROTOCOL"));
        for (page, width) in [(&lines[..=PAGE], 11), (&lines[PAGE + 1..], 13)] {
            for line in page {
                // Columns begin where those of the widest line so far do.
                let at = "PROTOCOL  ".len() + width + 2;
                assert!(line[..at].ends_with("  ") && !line[at..].starts_with(' '), "{line}");
            }
        }
        let numbers = lines[1..].iter().map(|line| line.split_whitespace().nth(9).unwrap());
        assert!(numbers.eq((0..count).map(|number| number.to_string()).collect::<Vec<_>>()));
        let mut none = Vec::new();
        write_table(&mut none, std::iter::empty()).unwrap();
        assert_eq!(String::from_utf8(none).unwrap().lines().count(), 1);
    }
}
