//! `docs/operations.md` against the counters of the data path, `docs/architecture.md` against its records.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::mem::offset_of;

use testbed::documents;
use xdp_ebpf::{
    abi::{Common, Half},
    family::{V4, V6},
    verdict::{Class, Event},
};

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

#[test]
fn every_byte_of_a_half_is_told() {
    macro_rules! common {
        ($($field:ident)+) => {{
            let whole = Common::default();
            [$((offset_of!(Common, $field), stringify!($field), size_of_val(&whole.$field)),)+]
        }};
    }
    let common = common!(state protocol ip_delta generation tcp flags l4_delta next_hop sport dport new_sport new_dport
        last_seen ack packets peer backend listener interface reserved prefix);
    let mut told: Vec<_> =
        common.iter().map(|(at, field, bytes)| format!("{at} | {at} | `{field}` | {bytes}")).collect();
    macro_rules! addresses {
        ($($field:ident)+) => {
            $(told.push(format!("{} | {} | `{}` | 4, 16",
                offset_of!(Half<V4>, $field), offset_of!(Half<V6>, $field), stringify!($field)));)+
        };
    }
    addresses!(src dst new_src new_dst);
    let padding = offset_of!(Half<V6>, reserved);
    told.push(format!("– | {padding} | `reserved` | {}", size_of::<Half<V6>>() - padding));
    let rows = documents::read("docs/architecture.md").unwrap().rows().into_iter();
    let there: Vec<_> = rows
        .filter(|row| row.heading == "The bytes of a half")
        .map(|row| row.cells[..4].join(" | "))
        .collect();
    assert_eq!(told.join("\n"), there.join("\n"));
}
