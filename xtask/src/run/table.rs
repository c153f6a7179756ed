//! What the demo shows: `evenkeel status -o json` as a table, redrawn in place on a terminal.

use std::net::{IpAddr, SocketAddr};

use std::io;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use console::{Term, truncate_str};
use serde::Deserialize;

use super::traffic::Tally;

/// The pool that the requests go to.
const POOL: &str = "web";

/// The part of `evenkeel status -o json` that is shown.
#[derive(Debug, Deserialize)]
pub struct Status {
    pools: Vec<Pool>,
}

#[derive(Debug, Deserialize)]
struct Pool {
    name: String,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    address: IpAddr,
    port: u16,
    weight: u16,
    state: String,
    health: String,
    sessions_open: u64,
    sessions_total: u64,
    share: f64,
}

impl Status {
    /// Reads what `evenkeel status -o json` printed.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).context("`evenkeel status -o json` answered something else")
    }

    /// The table, and under it what became of the requests.
    pub fn render(&self, tally: &Tally) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["backend", "weight", "state", "open", "total", "share"]);
        let shown = self.pools.iter().filter(|pool| pool.name == POOL);
        for member in shown.flat_map(|pool| &pool.members) {
            table.add_row([
                SocketAddr::new(member.address, member.port).to_string(),
                member.weight.to_string(),
                if member.health == "down" { member.health.clone() } else { member.state.clone() },
                member.sessions_open.to_string(),
                member.sessions_total.to_string(),
                format!("{:.1} %", member.share * 100.0),
            ]);
        }
        for column in table.column_iter_mut().filter(|column| ![0, 2].contains(&column.index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut lines = vec![table.to_string()];
        lines.push(format!("requests: {} answered, {} failed", tally.answered, tally.failed));
        lines.extend(tally.answer.iter().map(|answer| format!("answer: {answer}")));
        lines.extend(tally.failure.iter().map(|failure| format!("last failure: {failure}")));
        lines.join("\n")
    }
}

/// Where the table is drawn.
#[derive(Debug)]
pub struct Screen {
    terminal: Term,
    /// Lines drawn last time.
    drawn: usize,
}

impl Screen {
    /// Standard output.
    pub fn new() -> Self {
        Self { terminal: Term::stdout(), drawn: 0 }
    }

    /// Draws `text`: over the last one on a terminal, else below it.
    pub fn draw(&mut self, text: &str) {
        // A reader that went away has seen enough.
        let _ = self.redraw(text);
    }

    fn redraw(&mut self, text: &str) -> io::Result<()> {
        if !self.terminal.is_term() {
            return self.terminal.write_line(text);
        }
        self.terminal.clear_last_lines(self.drawn)?;
        // A line that the terminal folds would take two, and spoil the count.
        let width = usize::from(self.terminal.size().1);
        for line in text.lines() {
            self.terminal.write_line(&truncate_str(line, width, "…"))?;
        }
        self.drawn = text.lines().count();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_has_a_row() {
        let json = r#"{"pools":[{"name":"web","members":[
            {"address":"192.0.2.11","port":8080,"weight":3,"state":"active","health":"down","reason":"timeout","sessions_open":2,"sessions_total":30,
             "share":0.5,"packets_in":1,"bytes_in":1,"packets_out":1,"bytes_out":1},
            {"address":"192.0.2.12","port":8080,"weight":0,"state":"draining","health":"up","reason":null,"sessions_open":1,"sessions_total":30,
             "share":0.5,"packets_in":1,"bytes_in":1,"packets_out":1,"bytes_out":1}]}],"listeners":[]}"#;
        let text = Status::parse(json).unwrap().render(&Tally::default());
        let row = text.lines().find(|line| line.contains("192.0.2.12:8080")).unwrap();
        let cells: Vec<_> = row.split(['│', '┆']).map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, ["192.0.2.12:8080", "0", "draining", "1", "30", "50.0 %"]);
        let row = text.lines().find(|line| line.contains("192.0.2.11:8080")).unwrap();
        assert!(row.contains("down") && !row.contains("active"), "{row}");
    }
}
