//! The configuration file: TOML, read and checked, becomes host settings, timeouts and objects.
//!
//! ```text
//! document   the file as tables and values that know their key and line   (problem: what is wrong with them; hints: what was meant)
//!   → scalar   one value: a name, a time, an address, a word
//!   → names, places   what objects are called, and where they stand
//!   → draft    what has been read so far
//!   → host, api, timeouts, certificate, server_group, pool, load_balancer   one kind of table each, in this order: none
//!     refers to a later one   (meta, health, tls, http, edge, access, picking, rule, policy, listener: parts of them)
//! ```
//!
//! Every problem goes into a `problem::Report` and reading goes on, so that one run finds all of them: what cannot be read
//! has a stand-in, and what follows from that is not told. Then [`model::check`] finds what is wrong between objects. What
//! was read is thrown away if there was any problem.

mod access;
mod api;
mod certificate;
mod document;
mod draft;
mod edge;
mod health;
mod hints;
mod host;
mod http;
mod listener;
mod load_balancer;
mod meta;
mod names;
mod picking;
mod places;
mod policy;
mod pool;
mod problem;
mod rule;
mod scalar;
mod server_group;
#[cfg(test)]
mod tests;
mod timeouts;
mod tls;

use std::{collections::HashSet, fs, ops::Range, path::Path};

use model::{
    capacity::Capacity,
    check::{Surroundings, check},
    control::Control,
    host::{Host, Timeouts},
    object::Objects,
};
use toml::de::DeTable;

pub use self::problem::{ConfigErrors, Problem};
use self::{
    document::{Shape, Table},
    draft::Draft,
    problem::Report,
};

/// All that one file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// `[host]`.
    pub host: Host,
    /// `[api]`; none if there is to be no API.
    pub api: Option<Control>,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// The load balancers, pools and all that they refer to.
    pub objects: Objects,
}

/// Characters that are shown of what is not TOML.
const SHOWN: usize = 40;

const FILE: Shape = Shape {
    path: "",
    keys: &["host", "api", "timeouts", "certificate", "load_balancer", "server_group", "pool"],
};

/// Every kind of table that a file may have: its path, empty for the file itself, and its keys.
pub fn tables() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    const ALL: [Shape; 27] = [
        FILE,
        host::HOST,
        api::API,
        api::VIP_POOL,
        timeouts::TIMEOUTS,
        certificate::CERTIFICATE,
        load_balancer::LOAD_BALANCER,
        edge::ACCESS_LOG,
        listener::LISTENER,
        edge::LIMITS,
        edge::FORWARDED,
        policy::LISTENER_REDIRECT,
        policy::POLICY,
        policy::PATH,
        policy::POLICY_REDIRECT,
        rule::HEADER,
        rule::COOKIE,
        pool::POOL,
        picking::STICKY,
        picking::EJECTION,
        tls::POOL,
        health::POOL,
        server_group::POOL_MEMBER,
        server_group::SERVER_GROUP,
        health::SERVER_GROUP,
        tls::CHECK,
        server_group::MEMBER,
    ];
    ALL.into_iter().map(|Shape { path, keys }| (path, keys))
}

/// Reads and checks a file, for a host that has room for so much.
///
/// # Errors
/// The file cannot be read or is not UTF-8, or what [`parse`] finds.
pub fn load(path: &Path, capacity: &Capacity) -> Result<Configuration, ConfigErrors> {
    let name = path.display().to_string();
    let bytes = fs::read(path)
        .map_err(|error| ConfigErrors::whole_file(&name, format!("cannot be read: {error}")))?;
    match str::from_utf8(&bytes) {
        Ok(text) => parse_in(path.parent().unwrap_or(Path::new("")), &name, text, capacity),
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
pub fn parse(file_name: &str, text: &str, capacity: &Capacity) -> Result<Configuration, ConfigErrors> {
    parse_in(Path::new(""), file_name, text, capacity)
}

fn parse_in(
    directory: &Path,
    file_name: &str,
    text: &str,
    capacity: &Capacity,
) -> Result<Configuration, ConfigErrors> {
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
    let configuration = read(&Table::new(&FILE, document.get_ref(), 0, &report), directory, capacity);
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
fn read(file: &Table<'_>, directory: &Path, capacity: &Capacity) -> Configuration {
    let mut draft = Draft::new(*file);
    let host = host::read(file, &mut draft, capacity.interfaces);
    let api = api::read(file, &host);
    let timeouts = timeouts::read(file);
    certificate::read(file, &mut draft, directory);
    server_group::read(file, &mut draft);
    pool::read(file, &mut draft);
    load_balancer::read(file, &mut draft);
    let surroundings = Surroundings {
        local_addresses: &host.local_addresses,
        capacity,
        unread: &draft.unread(),
        order: &draft.places.order(),
        before: None,
    };
    draft.places.report(&check(&draft.objects, &surroundings));
    Configuration { host, api, timeouts, objects: draft.objects }
}
