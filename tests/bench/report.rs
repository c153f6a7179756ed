//! What was measured, for people and for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::{format::Format, harness::Measured};

/// A row as it is printed; times in nanoseconds per packet above the empty program.
#[derive(Serialize)]
struct Line<'a> {
    what: &'a str,
    flows: u32,
    /// Least of all runs.
    least: i64,
    /// Median of all runs.
    median: i64,
    target: Option<f64>,
    /// `least` over `target`.
    ratio: Option<f64>,
    /// What the empty program takes, the packet's restoring included.
    empty: u64,
}

impl<'a> From<&'a Measured> for Line<'a> {
    fn from(measured: &'a Measured) -> Self {
        let Measured { what, flows, target, empty, subject } = measured;
        let above = |n: usize| subject[n] as i64 - empty[n] as i64;
        let least = above(0);
        Self {
            what,
            flows: *flows,
            least,
            median: above(subject.len() / 2),
            target: *target,
            ratio: target.map(|target| least as f64 / target),
            empty: empty[0],
        }
    }
}

/// Prints all rows.
pub fn print(format: Format, measured: &[Measured]) {
    let lines: Vec<Line<'_>> = measured.iter().map(Line::from).collect();
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&lines).unwrap()),
        Format::Table => println!("{}\n\nns per packet above an empty program", table(&lines)),
    }
}

fn table(lines: &[Line<'_>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["packet", "flows", "least", "median", "target", "ratio"]);
    let or_dash = |value: Option<f64>, digits| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    for line in lines {
        table.add_row([
            line.what.to_owned(),
            line.flows.to_string(),
            line.least.to_string(),
            line.median.to_string(),
            or_dash(line.target, 0),
            or_dash(line.ratio, 2),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
