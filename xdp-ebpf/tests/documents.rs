//! `docs/operations.md` against the counters of the data path.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use testbed::documents;
use xdp_ebpf::verdict::{Class, Event};

#[test]
fn every_counter_is_told_with_its_meaning() {
    let rows = documents::read("docs/operations.md").unwrap().rows().into_iter();
    let there: Vec<_> =
        rows.filter(|row| row.heading == "Counters").map(|row| row.cells.join(" | ")).collect();
    let counted = Event::ALL.iter().map(|event| {
        let class = match event.class() {
            Class::Pass => "pass",
            Class::Drop => "drop",
            Class::Note => "note",
        };
        format!("`{}` | {class} | {}", event.name(), event.meaning())
    });
    let counted: Vec<_> = counted.collect();
    // So that the way out is to copy the left list.
    assert_eq!(counted.join("\n"), there.join("\n"));
}
