//! One host of a network: a namespace, and what runs in it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    enter,
    namespace::{Namespace, PINS, output},
    process::Process,
};

/// A host. It is removed with all of its processes when it is dropped.
#[derive(Debug)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
    address6: Ipv6Addr,
    namespace: Namespace,
}

impl Host {
    /// Makes a host whose namespace is `PREFIX-NAME`; the addresses are those that it is known by. Whatever address it
    /// is given counts at once: it does not look first whether another host has it.
    pub(crate) fn new(prefix: &str, name: &str, (address, address6): (Ipv4Addr, Ipv6Addr)) -> Result<Self> {
        let namespace = Namespace::new(format!("{prefix}-{name}"))?;
        let host = Self { name: name.to_owned(), address, address6, namespace };
        host.run(&["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"])?;
        host.run(&["ip", "link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// Its name in the network, as `backend1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The IPv4 address that it is known by: a client's or backend's only one, the balancer's in front.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The same of IPv6.
    pub fn address6(&self) -> Ipv6Addr {
        self.address6
    }

    /// The name of its namespace, as in `ip netns exec NAME`.
    pub fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// A directory for what its programs pin. It is removed with the host, and so is one whose name goes on with `-…`.
    pub fn pins(&self) -> PathBuf {
        Path::new(PINS).join(self.namespace())
    }

    /// A command that will run on this host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        enter::command(&mut command, self.namespace.file().clone());
        command
    }

    /// Runs a command to its end and returns its stdout.
    ///
    /// # Errors
    /// If it cannot be started, or with its stderr if it fails.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let (program, arguments) = words.split_first().context("an empty command")?;
        let mut command = self.command(program);
        command.args(arguments);
        output(command).with_context(|| format!("on {}", self.name))
    }

    /// Starts a command that goes on until the guard is dropped.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self, words: &[&str]) -> Result<Process> {
        let (program, arguments) = words.split_first().context("an empty command")?;
        let mut command = self.command(program);
        command.args(arguments);
        Process::spawn(command)
    }

    /// Runs `work` on a thread of this process that is on this host: sockets that it opens belong there.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        enter::thread(self.namespace.file(), work)
            .with_context(|| format!("cannot enter {}", self.namespace()))
    }
}
