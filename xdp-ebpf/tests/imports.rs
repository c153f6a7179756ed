//! The crate's layers, held by what its files import: what every stage may know knows no stage, and no file imports itself
//! by way of others.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::path::Path;

use testbed::imports::Imports;

/// The library and the programs: each is a crate of its own.
const ROOTS: [&str; 4] = ["lib.rs", "main.rs", "bench/main.rs", "toa_receiver/main.rs"];

/// What [`xdp_ebpf::packet::Packet`] and [`xdp_ebpf::tables::Tables`] may know, as files and folders.
const BELOW_THE_STAGES: [&str; 8] =
    ["abi/", "address.rs", "checksum.rs", "family.rs", "packet.rs", "shared.rs", "verdict.rs", "wire/"];

fn imports(root: &str) -> Imports {
    Imports::of_crate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(root)).unwrap()
}

#[test]
fn packet_and_tables_know_no_stage() {
    let imports = imports("lib.rs");
    for file in ["packet.rs", "tables.rs"] {
        for known in imports.reached_from(file) {
            let may = BELOW_THE_STAGES
                .iter()
                .any(|below| known == *below || (below.ends_with('/') && known.starts_with(below)));
            assert!(may, "{file} knows {known}, by what it imports: let {known} know {file} instead");
        }
    }
    // The test sees something at all.
    assert!(imports.reached_from("pipeline.rs").contains("tables.rs"));
    assert!(imports.reached_from("tables.rs").contains("abi/mod.rs"));
}

#[test]
fn no_file_imports_itself() {
    for root in ROOTS {
        let circles: Vec<_> = imports(root).circles().iter().map(|circle| circle.join("\n")).collect();
        assert!(
            circles.is_empty(),
            "files of {root} import each other in a circle:\n{}",
            circles.join("\n\n")
        );
    }
}
