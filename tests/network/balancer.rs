//! The daemon in a network of namespaces.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testbed::{Host, Network, Process, Size, wait_for};

pub const DEADLINE: Duration = Duration::from_secs(30);
pub const VIP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)), 80);
pub const VIP6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0xA, 0, 0, 0, 0, 0x10)), 80);
pub const BACKEND_PORT: u16 = 8080;

/// What clients speak, or backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The host's address of this family.
    pub fn address_of(self, host: &Host) -> IpAddr {
        match self {
            Family::V4 => host.address().into(),
            Family::V6 => host.address6().into(),
        }
    }
}

/// What a test says about its balancer; the rest is the same for all.
pub struct Settings {
    /// What the clients speak.
    pub clients: Family,
    /// What the backends speak.
    pub backends: Family,
    /// One backend for each.
    pub weights: Vec<u16>,
    /// Of `[host]`.
    pub interfaces: &'static [&'static str],
    /// Lines of `[host]` beside the interfaces.
    pub host: &'static str,
    /// The table `[api]`, if there is one.
    pub api: String,
    /// Lines of `[timeouts]`.
    pub timeouts: &'static str,
    /// Lines of the load balancer.
    pub load_balancer: String,
    /// Of the listener.
    pub protocol: &'static str,
    /// Of the listener.
    pub idle_timeout: &'static str,
    /// Lines of the listener.
    pub listener: String,
    /// Lines of the pool.
    pub pool: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clients: Family::V4,
            backends: Family::V4,
            weights: vec![1],
            interfaces: &["front", "back"],
            host: "local_addresses = [\"100.64.0.0/28\"]\nmax_sessions = 65536",
            api: String::new(),
            timeouts: "",
            load_balancer: String::new(),
            protocol: "tcp",
            idle_timeout: "300s",
            listener: String::new(),
            pool: "",
        }
    }
}

impl Settings {
    /// With local addresses of both families.
    pub fn between(clients: Family, backends: Family) -> Self {
        let host = "local_addresses = [\"100.64.0.0/28\", \"2001:db8:64::/124\"]\nmax_sessions = 65536";
        Self { clients, backends, host, ..Self::default() }
    }

    /// The listener's address.
    pub fn vip(&self) -> SocketAddr {
        match self.clients {
            Family::V4 => VIP,
            Family::V6 => VIP6,
        }
    }

    /// As a configuration file.
    pub fn file(&self, network: &Network) -> String {
        let members: String = network
            .backends
            .iter()
            .zip(&self.weights)
            .map(|(host, weight)| {
                let address = self.backends.address_of(host);
                format!(
                    "[[pool.member]]\naddress = \"{address}\"\nport = {BACKEND_PORT}\nweight = {weight}\n"
                )
            })
            .collect();
        let Self {
            interfaces,
            host,
            api,
            timeouts,
            load_balancer,
            protocol,
            idle_timeout,
            listener,
            pool,
            ..
        } = self;
        format!(
            "[host]\ninterfaces = {interfaces:?}\n{host}\n{api}\n[timeouts]\n{timeouts}\n\
             [[load_balancer]]\nname = \"test\"\nvip = \"{}\"\n{load_balancer}\n\
             [[load_balancer.listener]]\nname = \"web\"\nprotocol = \"{protocol}\"\nport = {}\npool = \"web\"\nidle_timeout = \"{idle_timeout}\"\n{listener}\n\
             [[pool]]\nname = \"web\"\n{pool}\n{members}",
            self.vip().ip(),
            self.vip().port(),
        )
    }
}

/// A network with the daemon running in its balancer.
pub struct Balancer {
    process: Option<Process>,
    program: PathBuf,
    pins: PathBuf,
    directory: TempDir,
    pub settings: Settings,
    pub network: Network,
}

impl Balancer {
    pub fn start(settings: Settings) -> Self {
        let network = Network::new(Size { clients: 1, backends: settings.weights.len() as u8 }).unwrap();
        Self::start_in(network, settings)
    }

    pub fn start_in(network: Network, settings: Settings) -> Self {
        let pins = network.balancer.pins();
        Self::start_at(pins, network, settings)
    }

    /// Pinned in a place of its own.
    pub fn start_at(pins: PathBuf, network: Network, settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if !Path::new("/sys/fs/bpf/ip").exists() && fs::read_dir("/sys/fs/bpf").unwrap().next().is_none() {
            // Mounting a second time is refused or does no harm.
            let _ = std::process::Command::new("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"]).status();
        }
        let program = testbed::binary("evenkeel").unwrap();
        let mut balancer = Self { process: None, program, pins, directory, settings, network };
        balancer.write();
        balancer.run();
        balancer
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("evenkeel.toml")
    }

    /// Writes the settings into the file, which only a start or a reload reads.
    pub fn write(&self) {
        fs::write(self.config(), self.settings.file(&self.network)).unwrap();
    }

    /// Starts the daemon and waits until it forwards.
    pub fn run(&mut self) {
        self.run_as(&[], &[]);
    }

    /// The same, by way of another program, which is what the first words begin with, and with more options.
    pub fn run_as(&mut self, way: &[&str], options: &[&str]) {
        let config = self.config();
        let words = [self.program.as_path(), "run".as_ref(), "--config".as_ref(), &config];
        let mut words: Vec<&str> =
            way.iter().copied().chain(words.iter().map(|word| word.to_str().unwrap())).collect();
        words.extend(["--pin-dir", self.pins.to_str().unwrap()]);
        words.extend(["--state-dir", self.directory.path().to_str().unwrap()]);
        words.extend(options);
        let mut process = self.network.balancer.spawn(&words).unwrap();
        process.wait_for_output("evenkeel: ready", DEADLINE).unwrap();
        self.process = Some(process);
    }

    /// Starts a second daemon with these settings, or the first one again, and returns the line with which it
    /// refuses.
    pub fn refusal(&self, settings: &Settings, pins: &Path) -> String {
        let config = self.directory.path().join("refused.toml");
        fs::write(&config, settings.file(&self.network)).unwrap();
        let mut command = self.network.balancer.command(self.program.to_str().unwrap());
        command.arg("run").arg("--config").arg(config).arg("--pin-dir").arg(pins);
        command.arg("--state-dir").arg(self.directory.path());
        let mut process = Process::spawn(command).unwrap();
        let ended = wait_for("a refusal", DEADLINE, || process.status().unwrap().is_some());
        ended.unwrap_or_else(|error| panic!("{error}, it said:\n{}", process.log()));
        assert!(!process.status().unwrap().unwrap().success());
        process.wait_for_output("evenkeel: ", DEADLINE).unwrap();
        let text = process.log();
        let refusal = text.lines().last().unwrap_or_default().strip_prefix("evenkeel: ");
        refusal.unwrap_or_else(|| panic!("it said:\n{text}")).to_owned()
    }

    /// Ends the daemon in good order.
    pub fn end(&mut self) {
        assert!(self.process.take().unwrap().end().unwrap().success());
    }

    /// Where it is pinned.
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// Takes it out of the kernel and returns what that says.
    pub fn unload(&self) -> String {
        self.unload_from(&self.pins)
    }

    /// Takes what is pinned in another place out of the kernel.
    pub fn unload_from(&self, pins: &Path) -> String {
        let mut command = self.network.balancer.command(self.program.to_str().unwrap());
        command.arg("unload").arg("--pin-dir").arg(pins);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    }

    /// Kills the daemon without a word.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal(Signal::SIGKILL).unwrap();
        wait_for("the daemon's end", DEADLINE, || process.status().unwrap().is_some()).unwrap();
    }

    /// Writes the settings again and tells the daemon.
    pub fn reload(&self) {
        self.reload_with(&self.settings);
    }

    /// Writes other settings and tells the daemon.
    pub fn reload_with(&self, settings: &Settings) {
        fs::write(self.config(), settings.file(&self.network)).unwrap();
        self.hang_up(" applied, ");
    }

    /// Writes another file and tells the daemon.
    pub fn reload_text(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
        self.hang_up(" applied, ");
    }

    /// Puts something else into the file and tells the daemon, who must refuse it.
    pub fn reload_nonsense(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
        self.hang_up(" not applied: ");
    }

    /// Tells the daemon to open its access logs again.
    pub fn reopen_logs(&self) {
        self.process.as_ref().unwrap().signal(Signal::SIGUSR1).unwrap();
    }

    /// Tells the daemon to read its file again, and waits for this in what it prints.
    pub fn hang_up(&self, answer: &str) {
        let process = self.process.as_ref().unwrap();
        let heard = process.log().matches(answer).count();
        process.signal(Signal::SIGHUP).unwrap();
        wait_for(answer, DEADLINE, || process.log().matches(answer).count() > heard)
            .unwrap_or_else(|error| panic!("{error}:\n{}", process.log()));
    }

    /// The daemon's process id.
    pub fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// The daemon's memory in KB: what only it has, without the tables that it shares with the kernel.
    #[allow(dead_code, reason = "tests ask, no benchmark does")]
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What the daemon printed.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// What a command says.
    pub fn ask(&self, command: &str) -> Value {
        self.ask_for(command, &[])
    }

    /// What a command says with these options.
    pub fn ask_for(&self, command: &str, options: &[&str]) -> Value {
        let pins = self.pins.to_str().unwrap();
        let words = [self.program.to_str().unwrap(), command, "-o", "json", "--pin-dir", pins];
        serde_json::from_str(&self.network.balancer.run(&[&words, options].concat()).unwrap()).unwrap()
    }

    /// A member's entry in `status`, by the backend's number from 0.
    pub fn member(&self, number: usize) -> Value {
        let address = self.settings.backends.address_of(&self.network.backends[number]).to_string();
        let status = self.ask("status");
        let members = status["pools"][0]["members"].as_array().unwrap();
        members.iter().find(|member| member["address"] == address.as_str()).unwrap().clone()
    }

    /// Sessions that a member was given since it is there.
    pub fn sessions_of(&self, number: usize) -> u64 {
        self.member(number)["sessions_total"].as_u64().unwrap()
    }

    /// Sessions now.
    pub fn open_sessions(&self) -> usize {
        self.ask("sessions").as_array().unwrap().len()
    }

    /// A counter.
    pub fn counter(&self, name: &str) -> u64 {
        let counters = self.ask("counters");
        let mut counters = counters.as_array().unwrap().iter();
        counters.find(|counter| counter["name"] == name).unwrap()["count"].as_u64().unwrap()
    }

    /// Local ports: free ones, all.
    pub fn ports(&self) -> (u64, u64) {
        let ports = &self.ask("status")["ports"];
        (ports["free"].as_u64().unwrap(), ports["total"].as_u64().unwrap())
    }

    /// Runs a command on the client.
    pub fn client(&self, words: &[&str]) -> String {
        self.network.client().run(words).unwrap()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.process.take());
        let words = [self.program.to_str().unwrap(), "unload", "--pin-dir", self.pins.to_str().unwrap()];
        if let Err(error) = self.network.balancer.run(&words) {
            eprintln!("{} may stay behind: {error:#}", self.pins.display());
        }
    }
}
