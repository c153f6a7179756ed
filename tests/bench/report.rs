//! What was measured, for people and for programs, alone or beside an earlier run.

use std::{fs, path::Path};

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::{format::Format, harness::Measured, rows::Target};

/// A row as it is printed; times in nanoseconds per packet above the empty program.
#[derive(Serialize, Deserialize)]
struct Line {
    what: String,
    flows: u32,
    /// Least of all runs.
    least: i64,
    /// Median of all runs.
    median: i64,
    /// Median of the floor, where there is one.
    floor: Option<i64>,
    /// In nanoseconds; of a row with a floor, what that allows in this run.
    target: Option<f64>,
    /// `median` over `target`.
    ratio: Option<f64>,
    /// What the empty program takes, the packet's restoring included: the median.
    empty: u64,
    /// `median` over that of an earlier run.
    #[serde(skip_deserializing)]
    against: Option<f64>,
}

impl From<&Measured> for Line {
    fn from(measured: &Measured) -> Self {
        let Measured { what, flows, target, empty, floor, subject } = measured;
        let middle = |times: &[u64]| times.get(times.len() / 2).map(|&time| time as i64);
        let above = |times: &[u64]| Some(middle(times)? - middle(empty)?);
        let (median, floor) = (above(subject).unwrap_or_default(), above(floor));
        let target = match target {
            Some(Target::Nanoseconds(target)) => Some(*target),
            Some(Target::OfFloor(times)) => floor.map(|floor| floor as f64 * times),
            None => None,
        };
        Self {
            what: what.clone(),
            flows: *flows,
            least: subject[0] as i64 - empty[0] as i64,
            median,
            floor,
            target,
            ratio: target.map(|target| median as f64 / target),
            empty: empty[empty.len() / 2],
            against: None,
        }
    }
}

/// Prints all rows, each beside the same one of the run whose JSON is in the file `against`.
pub fn print(format: Format, measured: &[Measured], against: Option<&Path>) {
    let mut lines: Vec<Line> = measured.iter().map(Line::from).collect();
    if let Some(path) = against {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let earlier: Vec<Line> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: no output of `-o json`: {error}", path.display()));
        for line in &mut lines {
            let same = earlier.iter().find(|other| (&other.what, other.flows) == (&line.what, line.flows));
            line.against = same.map(|other| line.median as f64 / other.median as f64);
        }
    }
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&lines).unwrap()),
        Format::Table => println!("{}\n\nns per packet above an empty program", table(&lines)),
    }
}

fn table(lines: &[Line]) -> Table {
    let has_earlier = lines.iter().any(|line| line.against.is_some());
    let mut table = Table::new();
    let mut header = vec!["packet", "flows", "least", "median", "floor", "target", "ratio"];
    if has_earlier {
        header.push("against");
    }
    table.load_style(presets::NOTHING).set_header(header);
    let or_dash = |value: Option<f64>, digits| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    for line in lines {
        let mut cells = vec![
            line.what.clone(),
            line.flows.to_string(),
            line.least.to_string(),
            line.median.to_string(),
            or_dash(line.floor.map(|floor| floor as f64), 0),
            or_dash(line.target, 0),
            or_dash(line.ratio, 2),
        ];
        if has_earlier {
            cells.push(or_dash(line.against, 2));
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
