//! `evenkeel sessions`. There may be millions: none is kept once it is printed, and of those that are to be sorted only as
//! many as are asked for.

mod filter;

use std::{
    cell::Cell,
    cmp::Ordering,
    io::{self, Write},
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use evenkeel::dataplane::{
    clock::Clock,
    report::{self, Session},
    tables::Tables,
    taken::Taken,
};
use serde::{Serialize, Serializer};

use self::filter::Filter;
use super::output::{Format, GAP, View, json, to_stdout};

/// Rows that are set in columns together.
const PAGE: usize = 1000;
const COLUMNS: usize = 10;
const HEADER: [&str; COLUMNS] =
    ["PROTOCOL", "CLIENT", "VIP", "LOCAL", "BACKEND", "LISTENER", "STATE", "IDLE", "PKTS IN", "PKTS OUT"];
/// From here on columns are numbers.
const FIRST_NUMBER: usize = 7;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    view: View,
    #[command(flatten)]
    filter: Filter,
    /// The most rows.
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// Those first that have rested the longest, or that have had the most packets, both directions added up. Without
    /// it, in no order.
    #[arg(long, value_enum)]
    sort: Option<Sort>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sort {
    Idle,
    Packets,
}

impl Sort {
    /// The first of all is the least.
    fn order(self, one: &Session, other: &Session) -> Ordering {
        let packets = |session: &Session| u64::from(session.packets_in) + u64::from(session.packets_out);
        match self {
            Self::Idle => other.idle_s.total_cmp(&one.idle_s),
            Self::Packets => packets(other).cmp(&packets(one)),
        }
    }
}

pub fn run(options: &Options) -> Result<()> {
    let pins = options.view.pins.directory();
    let tables = Tables::open(&pins)?;
    let taken = Taken::read(&tables.sessions)?;
    let sessions = report::sessions(&tables, &taken, &Clock::open(&pins)?)?;
    let wanted = sessions.filter(|session| options.filter.admits(session));
    let limit = options.limit.unwrap_or(usize::MAX);
    match options.sort {
        Some(sort) => {
            print(options.view.output, first(wanted, limit, |one, other| sort.order(one, other)).into_iter())
        }
        None => print(options.view.output, wanted.take(limit)),
    }
}

fn print(format: Format, sessions: impl Iterator<Item = Session>) -> Result<()> {
    match format {
        Format::Json => json(&Each(Cell::new(Some(sessions)))),
        Format::Table => to_stdout(|out| write_table(out, sessions)),
    }
}

/// The first `limit` of these in this order; never holds more than twice as many.
fn first<T>(all: impl Iterator<Item = T>, limit: usize, order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        kept.push(one);
        if kept.len() >= limit.saturating_mul(2).max(PAGE) {
            kept.sort_by(&order);
            kept.truncate(limit);
        }
    }
    kept.sort_by(&order);
    kept.truncate(limit);
    kept
}

/// In pages, each at least as wide as the one before.
fn write_table(out: &mut dyn Write, mut sessions: impl Iterator<Item = Session>) -> io::Result<()> {
    let mut widths = HEADER.map(str::len);
    let mut header = Some(HEADER.map(str::to_owned));
    loop {
        let page: Vec<_> =
            header.take().into_iter().chain(sessions.by_ref().take(PAGE).map(|s| cells(&s))).collect();
        for row in &page {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &page {
            write_row(out, row, &widths)?;
        }
        if page.len() < PAGE {
            return Ok(());
        }
    }
}

fn write_row(out: &mut dyn Write, row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> io::Result<()> {
    let gap = usize::from(GAP);
    for (column, (cell, &width)) in row.iter().zip(widths).enumerate() {
        match column {
            0 => write!(out, "{cell:width$}")?,
            1..FIRST_NUMBER => write!(out, "{:gap$}{cell:width$}", "")?,
            _ => write!(out, "{:gap$}{cell:>width$}", "")?,
        }
    }
    writeln!(out)
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

    use proptest::{collection, prelude::*};

    use super::*;

    fn session(number: usize, host: &str) -> Session {
        let address: SocketAddr = format!("192.0.2.{host}:{}", number % 10).parse().unwrap();
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
    }

    #[test]
    fn all_pages_are_one_table() {
        let count = 2 * PAGE + PAGE / 2;
        let mut out = Vec::new();
        let host = |number| if number < PAGE { "8" } else { "198" };
        write_table(&mut out, (0..count).map(|number| session(number, host(number)))).unwrap();
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

    #[test]
    fn the_longest_idle_or_the_busiest_come_first() {
        let of = |idle_s, packets_in| Session { idle_s, packets_in, ..session(0, "8") };
        let sessions = [of(1.0, 7), of(9.0, 1), of(0.0, u32::MAX)];
        let sorted = |sort: Sort| {
            let sorted = first(sessions.iter(), 2, |one, other| sort.order(one, other));
            sorted.iter().map(|session| session.idle_s).collect::<Vec<_>>()
        };
        assert_eq!(sorted(Sort::Idle), [9.0, 1.0]);
        assert_eq!(sorted(Sort::Packets), [0.0, 1.0]);
    }

    proptest! {
        #[test]
        fn the_first_are_those_of_all_sorted(numbers in collection::vec(any::<u16>(), 0..4000), limit in 0..50usize) {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.truncate(limit);
            prop_assert_eq!(first(numbers.into_iter(), limit, Ord::cmp), sorted);
        }
    }
}
