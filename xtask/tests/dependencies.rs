//! What this workspace depends on: no more than it uses, and of everything only what `deny.toml` allows.
//!
//! The second is what `cargo deny check licenses sources` says too, which `cargo xtask test --all` asks; here it costs a second.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What cargo says of a graph of packages for one target.
fn metadata(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--locked"]).args(arguments).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn rules() -> toml::Table {
    fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

fn words<'a>(rules: &'a toml::Table, table: &str, key: &str) -> Vec<&'a str> {
    rules[table][key].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Every package that is built for a target of `deny.toml`.
fn packages(rules: &toml::Table) -> Vec<Value> {
    let targets = words(rules, "graph", "targets");
    let each =
        targets.iter().flat_map(|target| match metadata(&["--filter-platform", target])["packages"].take() {
            Value::Array(packages) => packages,
            other => panic!("{other}"),
        });
    each.collect()
}

#[test]
fn licences_and_sources_are_allowed() {
    let rules = rules();
    let (licences, registries) =
        (words(&rules, "licenses", "allow"), words(&rules, "sources", "allow-registry"));
    let mut wrong = Vec::new();
    for package in packages(&rules) {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        if !allows(licence, &licences) {
            wrong.push(format!("{name} is under `{licence}`"));
        }
        // Of the workspace, if none.
        let source = package["source"].as_str().map(|source| source.trim_start_matches("registry+"));
        if source.is_some_and(|source| !registries.contains(&source)) {
            wrong.push(format!("{name} comes from {source:?}"));
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_allowed_licence_is_superfluous() {
    let rules = rules();
    let allowed = words(&rules, "licenses", "allow");
    let packages = packages(&rules);
    for licence in &allowed {
        let others: Vec<&str> = allowed.iter().filter(|other| *other != licence).copied().collect();
        let needed =
            packages.iter().any(|package| !allows(package["license"].as_str().unwrap_or_default(), &others));
        assert!(needed, "nothing needs {licence}; take it out of deny.toml");
    }
}

/// Whether an SPDX expression can be met: `OR` binds weaker than `AND`; an old `/` is an `OR`.
fn allows(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens = spaced.split_whitespace().peekable();
    let met = any(&mut tokens, allowed);
    met && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    let mut met = all(tokens, allowed);
    while tokens.next_if_eq(&"OR").is_some() {
        met |= all(tokens, allowed);
    }
    met
}

fn all(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    let mut met = one(tokens, allowed);
    while tokens.next_if_eq(&"AND").is_some() {
        met &= one(tokens, allowed);
    }
    met
}

fn one(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    let Some(token) = tokens.next() else { return false };
    if token == "(" {
        let met = any(tokens, allowed);
        return tokens.next() == Some(")") && met;
    }
    let exception = tokens.next_if_eq(&"WITH").and_then(|_| tokens.next());
    // A licence with an exception allows more than without.
    let _ = exception;
    allowed.contains(&token)
}

#[test]
fn an_expression_is_met_by_one_of_its_ways() {
    let allowed = ["MIT", "Zlib"];
    for met in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "MIT AND Zlib",
        "(GPL-3.0 OR Zlib) AND MIT",
        "MIT WITH x OR BSL",
    ] {
        assert!(allows(met, &allowed), "{met}");
    }
    for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR Zlib AND BSL", "(MIT", "MIT Zlib"] {
        assert!(!allows(unmet, &allowed), "{unmet}");
    }
}

/// The Rust files below a folder or the file itself, but not those of a package inside.
fn rust_files(path: PathBuf) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![path];
    while let Some(path) = open.pop() {
        if path.is_dir() && !path.join("Cargo.toml").exists() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Whether a crate's name stands in code as a path's beginning, an import, a macro's or an attribute's crate.
fn names(text: &str, name: &str) -> bool {
    let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    code.into_iter().any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + name.len()..];
            before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '"'))
                && !line[..at].ends_with("crate::")
                && !line[..at].ends_with("super::")
                && !line[..at].ends_with("self::")
                && (after.starts_with("::") || (line.starts_with("use ") && after.starts_with([';', ' '])))
        })
    })
}

/// A dependency is named in the code that it is for: `src` or the build script, with `dev-dependencies` the tests too.
#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for package in metadata(&["--no-deps"])["packages"].as_array().unwrap() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap();
        let own = |kind: Option<&str>| -> String {
            let places = package["targets"].as_array().unwrap().iter().filter_map(|target| {
                let path = Path::new(target["src_path"].as_str().unwrap());
                let is = |word: &str| target["kind"].as_array().unwrap().iter().any(|kind| kind == word);
                let build = is("custom-build");
                let wanted = match kind {
                    None => !build && !is("test") && !is("bench"),
                    Some("build") => build,
                    _ => !build,
                };
                let folder_of_it = if build { path } else { path.parent().unwrap() };
                wanted.then(|| folder_of_it.to_path_buf())
            });
            let files = places.flat_map(|place| {
                // A package's root that is its own source folder is told apart by its manifest.
                assert_ne!(place, folder, "{}", manifest.display());
                rust_files(place)
            });
            files.map(|file| fs::read_to_string(file).unwrap()).collect::<Vec<_>>().join("\n")
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let name =
                dependency["rename"].as_str().or(dependency["name"].as_str()).unwrap().replace('-', "_");
            // The name of a workspace's library may be another than its package's.
            let name = if name == "evenkeel_model" { "model".to_owned() } else { name };
            let kind = dependency["kind"].as_str();
            if !names(&own(kind), &name) {
                unused.push(format!("{}: {name} ({})", manifest.display(), kind.unwrap_or("normal")));
            }
        }
    }
    assert!(unused.is_empty(), "\n{}", unused.join("\n"));
}
