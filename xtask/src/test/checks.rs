//! The checks, in the order in which they are run: quick ones first.

/// What a check may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing.
    Any,
    /// Root.
    Root,
}

/// One check: all of its commands must succeed.
#[derive(Debug)]
pub struct Check {
    /// For people.
    pub title: &'static str,
    /// Who may run it.
    pub rights: Rights,
    /// Arguments to cargo.
    pub commands: &'static [&'static [&'static str]],
}

/// Every check.
pub const CHECKS: &[Check] = &[
    Check { title: "formatting", rights: Rights::Any, commands: &[&["fmt", "--all", "--check"]] },
    Check {
        title: "clippy, warnings denied",
        rights: Rights::Any,
        commands: &[&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]],
    },
    Check {
        title: "host tests",
        rights: Rights::Any,
        commands: &[
            &["test", "--workspace", "--exclude", "testbed", "--no-fail-fast"],
            &["test", "--package", "testbed", "--lib", "--no-fail-fast"],
        ],
    },
    Check {
        title: "kernel tests",
        rights: Rights::Root,
        // Their output says how many instructions the verifier has gone through.
        commands: &[&["test", "--package", "testbed", "--test", "kernel", "--", "--show-output"]],
    },
    Check {
        title: "network tests",
        rights: Rights::Root,
        commands: &[&["test", "--package", "testbed", "--test", "network"]],
    },
];
