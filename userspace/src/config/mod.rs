//! The configuration file: TOML, read and checked, becomes host settings, timeouts and a model.
//!
//! ```text
//! document   the file as tables and values that know their key and line
//!   → scalar   one value: a name, a port, an address, a duration
//!   → host, timeouts, certificate, pool, health, load_balancer, limits, http, tls, policy, rule, picking   one kind
//!     of table each
//!   → collision   no address has two roles
//!   → room        the maps can take it, and changes of it
//! ```
//!
//! Every problem goes into a `problem::Report` and reading goes on, so that one run finds all of them. What was
//! read is thrown away if there was any. Next: `model`, then `plan`.

mod certificate;
mod collision;
mod document;
mod edge;
mod health;
mod host;
mod http;
mod limits;
mod load_balancer;
mod picking;
mod policy;
mod pool;
mod problem;
mod room;
mod rule;
mod scalar;
#[cfg(test)]
mod tests;
mod timeouts;
mod tls;

use std::{collections::HashSet, fs, ops::Range, path::Path};

use toml::de::DeTable;

pub use self::problem::{ConfigErrors, Problem};
use self::{
    document::{Shape, Table},
    problem::Report,
};
use crate::{
    host::{Host, Timeouts},
    model::Model,
};

/// All that one file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// `[host]`.
    pub host: Host,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// The load balancers and pools.
    pub model: Model,
}

/// Characters that are shown of what is not TOML.
const SHOWN: usize = 40;

const FILE: Shape = Shape { path: "", keys: &["host", "timeouts", "certificate", "load_balancer", "pool"] };

/// Reads and checks a file.
///
/// # Errors
/// The file cannot be read or is not UTF-8, or what [`parse`] finds.
pub fn load(path: &Path) -> Result<Configuration, ConfigErrors> {
    let name = path.display().to_string();
    let bytes = fs::read(path)
        .map_err(|error| ConfigErrors::whole_file(&name, format!("cannot be read: {error}")))?;
    match str::from_utf8(&bytes) {
        Ok(text) => parse_in(path.parent().unwrap_or(Path::new("")), &name, text),
        Err(error) => {
            let report = Report::new(&bytes);
            report.add(error.valid_up_to(), String::new(), "not UTF-8; save the file in that encoding");
            Err(report.into_errors(&name))
        }
    }
}

/// Checks a file's text; `file_name` stands in the errors. The files that it names are read, relative to the working
/// directory; [`load`] takes those that are relative to the file.
///
/// # Errors
/// All problems, by line; if the text is not TOML, the lines on which it is not.
pub fn parse(file_name: &str, text: &str) -> Result<Configuration, ConfigErrors> {
    parse_in(Path::new(""), file_name, text)
}

fn parse_in(directory: &Path, file_name: &str, text: &str) -> Result<Configuration, ConfigErrors> {
    let report = Report::new(text.as_bytes());
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut lines = HashSet::new();
        for error in errors {
            let span = error.span().unwrap_or_default();
            // What follows on the same line is the parser's confusion.
            if lines.insert(report.line(span.start)) {
                report.add(span.start, String::new(), format!("{}{}", error.message(), at(text, span)));
            }
        }
        return Err(report.into_errors(file_name));
    }
    let configuration = read(&Table::new(&FILE, document.get_ref(), 0, &report), directory);
    if report.is_empty() { Ok(configuration) } else { Err(report.into_errors(file_name)) }
}

/// What stands in the text where it is not TOML, if that is something to show.
fn at(text: &str, span: Range<usize>) -> String {
    let line = text.get(span).unwrap_or_default().lines().next().unwrap_or_default().trim();
    let shown: String = line
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if shown.is_empty() { shown } else { format!(", at `{shown}`") }
}

/// What could be read; complete if nothing was reported.
fn read(file: &Table<'_>, directory: &Path) -> Configuration {
    let (host, locals) = host::read(file);
    let timeouts = timeouts::read(file);
    let certificates = certificate::read(file, directory);
    let pools = pool::read(file, &certificates);
    let balancers = load_balancer::read(file, &pools, &certificates, &locals);
    collision::check(&locals, &balancers.vips, &pools.member_addresses);
    let vips = balancers.vips.keys().copied().collect();
    Configuration {
        host,
        timeouts,
        model: Model { vips, listeners: balancers.listeners, pools: pools.pools },
    }
}
