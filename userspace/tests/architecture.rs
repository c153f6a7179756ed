//! The house's invariants, held by what its files import and by what its crates depend on. `docs/architecture.md` says what
//! each is good for.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{fs, path::PathBuf};

use testbed::imports::Imports;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Folder, and what no file in it may reach by what it imports, and so on.
const STRANGERS: [(&str, &[&str]); 9] = [
    ("dataplane/", &["l7/", "config/", "api/", "store/"]),
    ("l7/", &["dataplane/", "config/", "api/", "store/"]),
    ("engine/", &["dataplane/", "l7/", "config/", "api/", "store/", "pki/certificate.rs"]),
    ("config/", &["dataplane/", "l7/", "engine/", "health/", "api/", "store/"]),
    ("api/", &["dataplane/", "l7/", "config/", "store/sqlite.rs"]),
    ("store/", &["dataplane/", "l7/", "config/", "engine/", "health/", "api/", "pki/"]),
    ("health/", &["dataplane/", "l7/", "engine/", "config/", "api/", "store/"]),
    ("pki/", &["dataplane/", "l7/", "engine/", "config/", "health/", "api/", "store/"]),
    ("lib.rs", &[]),
];

#[test]
fn who_does_not_know_whom() {
    let imports = Imports::of_crate(&folder().join("src/lib.rs")).unwrap();
    let mut broken = Vec::new();
    for (inside, strangers) in STRANGERS {
        let mut files = imports.files().filter(|file| file.starts_with(inside)).peekable();
        assert!(files.peek().is_some(), "{inside} is empty");
        for file in files {
            let known = imports.reached_from(file);
            let stranger = known.iter().find(|known| strangers.iter().any(|s| known.starts_with(s)));
            broken.extend(stranger.map(|stranger| format!("{file} reaches {stranger}")));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    // The test sees something at all.
    assert!(imports.reached_from("dataplane/daemon.rs").contains("engine/layers.rs"));
    assert!(imports.reached_from("l7/listeners.rs").contains("engine/layers.rs"));
}

#[test]
fn no_file_imports_itself() {
    let roots = ["src/lib.rs", "src/main.rs", "model/src/lib.rs", "loader/src/lib.rs", "toa/src/lib.rs"];
    for root in roots {
        let imports = Imports::of_crate(&folder().join(root)).unwrap();
        let circles: Vec<_> = imports.circles().iter().map(|circle| circle.join("\n")).collect();
        assert!(circles.is_empty(), "files of {root} import each other:\n{}", circles.join("\n\n"));
    }
}

/// A crate or module of others, and the only places that may name it.
const ONLY: [(&str, &[&str]); 9] = [
    ("aya", &["src/dataplane/", "loader/", "toa/"]),
    ("anyhow", &["src/commands/", "src/main.rs", "toa/src/commands/", "toa/src/main.rs", "build.rs"]),
    ("pingora", &["src/l7/", "src/health/tls.rs"]),
    ("toml", &["src/config/", "loader/build.rs"]),
    ("axum", &["src/api/"]),
    ("hyper", &["src/api/server.rs"]),
    ("rusqlite", &["src/store/"]),
    ("chacha20poly1305", &["src/store/key.rs"]),
    ("openssl", &["src/l7/", "src/pki/", "src/health/tls.rs"]),
];

#[test]
fn who_alone_speaks_to_what() {
    let mut files = Vec::new();
    let mut open = ["src", "model/src", "loader", "toa"].map(|at| folder().join(at)).to_vec();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    let mut broken = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(folder()).unwrap().display().to_string();
        let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let code: Vec<&str> = code.take_while(|line| *line != "#[cfg(test)]").collect();
        for (name, places) in ONLY {
            let names = |line: &&&str| {
                line.match_indices(&format!("{name}::")).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '-')
                })
            };
            let is_test = file.contains("/tests");
            if !is_test && !places.iter().any(|place| file.contains(place)) && code.iter().any(|l| names(&l))
            {
                broken.push(format!("{file} names {name}; only {} may", places.join(", ")));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Wire formats, the kernel and TLS stay outside of the model by its list of dependencies.
#[test]
fn the_model_depends_on_no_wire_kernel_or_tls() {
    let manifest = fs::read_to_string(folder().join("model/Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("[dependencies]").unwrap();
    let dependencies = rest.split("\n[").next().unwrap();
    for stranger in ["serde", "toml", "aya", "pingora", "openssl", "rtnetlink", "tokio", "xdp-ebpf", "anyhow"]
    {
        assert!(!dependencies.contains(stranger), "the model depends on {stranger}");
    }
}
