//! The checks, in the order in which they are run: quick ones first.

use anyhow::Result;

use super::{Report, arm64, toa_static};
use crate::kernels;

/// What a check may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing.
    Any,
    /// Root.
    Root,
}

/// When a check is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always: in CI too.
    Always,
    /// With `--all` only: what is slow, or needs much that is not there else.
    All,
}

/// One check: all of its commands must succeed, then what is found must be right.
#[derive(Debug)]
pub struct Check {
    /// For people.
    pub title: &'static str,
    /// Who may run it.
    pub rights: Rights,
    /// When it is run.
    pub when: When,
    /// Arguments to cargo.
    pub commands: &'static [&'static [&'static str]],
    /// Environment of the commands.
    pub environment: &'static [(&'static str, &'static str)],
    /// What else must be true then.
    pub then: Option<fn() -> Result<Report>>,
}

/// Its other fields, for those that have nothing special.
const PLAIN: Check =
    Check { title: "", rights: Rights::Any, when: When::Always, commands: &[], environment: &[], then: None };

/// The network tests, which `--repeat` repeats.
pub const NETWORK: Check = Check {
    title: "network tests",
    rights: Rights::Root,
    commands: &[&["test", "--package", "testbed", "--test", "network"]],
    ..PLAIN
};

/// Every check.
pub const CHECKS: &[Check] = &[
    Check { title: "formatting", commands: &[&["fmt", "--all", "--check"]], ..PLAIN },
    Check {
        title: "clippy, warnings denied",
        commands: &[&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]],
        ..PLAIN
    },
    Check {
        title: "documentation, warnings denied",
        commands: &[&["doc", "--workspace", "--no-deps", "--document-private-items"]],
        environment: &[("RUSTDOCFLAGS", "--deny warnings")],
        ..PLAIN
    },
    Check {
        title: "host tests",
        commands: &[
            &["test", "--workspace", "--exclude", "testbed", "--no-fail-fast"],
            &["test", "--package", "testbed", "--lib", "--no-fail-fast"],
        ],
        ..PLAIN
    },
    Check {
        title: "evenkeel-toa as one static file",
        commands: &[toa_static::BUILD],
        environment: &[("RUSTFLAGS", toa_static::RUSTFLAGS)],
        then: Some(toa_static::check),
        ..PLAIN
    },
    // As root, whom setup gives a compiler for the C libraries.
    Check { title: "everything compiles for arm64", rights: Rights::Root, then: Some(arm64::check), ..PLAIN },
    Check {
        title: "kernel tests",
        rights: Rights::Root,
        // Their output says how many instructions the verifier has gone through.
        commands: &[&["test", "--package", "testbed", "--test", "kernel", "--", "--show-output"]],
        ..PLAIN
    },
    NETWORK,
    // Minutes each; as root only because of what has to be installed.
    Check {
        title: "Debian's Linux 6.1, emulated",
        rights: Rights::Root,
        then: Some(|| kernels::check("6.1")),
        ..PLAIN
    },
    Check {
        title: "Debian's Linux 6.12, emulated",
        rights: Rights::Root,
        when: When::All,
        then: Some(|| kernels::check("6.12")),
        ..PLAIN
    },
    Check {
        title: "Autobahn's WebSocket suite",
        rights: Rights::Root,
        when: When::All,
        commands: &[&[
            "test",
            "--package",
            "testbed",
            "--test",
            "network",
            "--",
            "l7::autobahn",
            "--ignored",
        ]],
        ..PLAIN
    },
    // Licences and sources are among the host tests too (`xtask/tests/dependencies.rs`): cargo-deny takes long to build.
    Check {
        title: "dependencies, by cargo-deny",
        when: When::All,
        commands: &[&["deny", "check", "bans", "licenses", "sources"]],
        ..PLAIN
    },
];
