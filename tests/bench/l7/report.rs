//! What was measured, for people and for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::{format::Format, subjects::Subject};

/// Which figures are good.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    More,
    Less,
}

/// A row: what was measured of each balancer in each round.
#[derive(Debug, Serialize)]
pub struct Row {
    what: String,
    unit: &'static str,
    better: Better,
    balancers: Vec<Balancer>,
}

#[derive(Debug, Serialize)]
struct Balancer {
    name: &'static str,
    rounds: Vec<f64>,
}

impl Row {
    /// Without figures; the last of `subjects` is the one that the others are compared with.
    pub fn new(what: &str, unit: &'static str, better: Better, subjects: &[Subject]) -> Self {
        let balancers = subjects.iter().map(|subject| Balancer { name: subject.name, rounds: Vec::new() });
        Self { what: what.to_owned(), unit, better, balancers: balancers.collect() }
    }

    /// Adds a round: a figure of each balancer.
    pub fn note(&mut self, figures: Vec<f64>) {
        for (balancer, figure) in self.balancers.iter_mut().zip(figures) {
            balancer.rounds.push(figure);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.balancers.iter().all(|balancer| balancer.rounds.is_empty())
    }

    /// How many times as good ours was as another one, round by round, sorted.
    fn ratios(&self, other: &Balancer) -> Vec<f64> {
        let ours = self.balancers.last().into_iter().flat_map(|balancer| &balancer.rounds);
        sorted(ours.zip(&other.rounds).map(|(ours, others)| match self.better {
            Better::More => ours / others,
            Better::Less => others / ours,
        }))
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Prints all rows.
pub fn print(format: Format, rows: &[Row]) {
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(rows).unwrap()),
        Format::Table => println!(
            "{}\n\nmedians of all rounds; beside them how many times as good ours was within a round, and the least of \
             those",
            table(rows)
        ),
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let Some(first) = rows.first() else { return table };
    let names = first.balancers.iter().map(|balancer| balancer.name.to_owned());
    let others = first.balancers.iter().take(first.balancers.len() - 1);
    let against = others.flat_map(|other| [format!("to {}", other.name), "least".to_owned()]);
    let header = [String::new(), String::new()].into_iter().chain(names).chain(against);
    table.set_header(header);
    for row in rows {
        let mut cells = vec![row.what.clone(), row.unit.to_owned()];
        for balancer in &row.balancers {
            let median = sorted(balancer.rounds.iter().copied())[(balancer.rounds.len() - 1) / 2];
            let digits = if median < 100.0 { 2 } else { 0 };
            cells.push(format!("{median:.digits$}"));
        }
        for other in row.balancers.iter().take(row.balancers.len() - 1) {
            let ratios = row.ratios(other);
            cells.extend([ratios[(ratios.len() - 1) / 2], ratios[0]].map(|ratio| format!("{ratio:.2}")));
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
