//! The demo: a client, the balancer and three backends, requests that never end, and a table that shows where they
//! go.

use std::{
    env, fs,
    io::{IsTerminal, Write},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use testbed::{Host, Interrupt, Network, Process, Size, http::Backend};

use super::{
    certificate,
    conditions::{BPFFS, BpfFs},
    receiver::{self, Receiver},
    table::{Screen, Status},
    traffic::Traffic,
};
use crate::{progress, workspace};

/// `[load_balancer] vip` and its listener's port.
const VIP: ([u8; 4], u16) = ([203, 0, 113, 10], 80);
/// The same listener for IPv6 clients.
const VIP6: &str = "2001:db8:a::10";
const BACKEND_PORT: u16 = 8080;
/// Of the HTTP listener.
const HTTP_PORT: u16 = 8080;
const WEIGHTS: [u16; 3] = [3, 2, 1];
/// Where the balancer's connections to the backends come from.
const LOCAL_ADDRESSES: &str = "100.64.0.0/28";
/// So many of the backends see the client's address.
const WITH_RECEIVER: usize = 2;
/// The demo's directories, of pins and of files: this and its process id.
const OWNED: &str = "evenkeel-demo-";
/// What the balancer prints when it forwards.
const READY: &str = "evenkeel: ready";
/// How long the balancer may take until it forwards.
const START: Duration = Duration::from_secs(30);
/// How often the table is drawn on a terminal, and elsewhere.
const REDRAW: Duration = Duration::from_millis(500);
const REPRINT: Duration = Duration::from_secs(5);

/// Shows the demo until Ctrl-C or SIGTERM.
///
/// # Errors
/// With what went wrong; everything is removed then, too.
pub fn run(program: &Path) -> Result<()> {
    let interrupt = testbed::interrupt();
    progress::line("network", "a client, the balancer and three backends, each in a namespace");
    let mut demo = Demo::start(program)?;
    demo.introduce();
    let traffic = Traffic::start(demo.network.client(), SocketAddr::from(VIP))?;
    let shown = demo.show(&traffic, interrupt);
    let tally = traffic.tally();
    drop(traffic);
    drop(demo);
    shown?;
    if std::io::stderr().is_terminal() {
        // The terminal has left `^C` on this line.
        let _ = writeln!(std::io::stderr());
    }
    progress::line("ended", format_args!("{} requests answered, {} failed", tally.answered, tally.failed));
    progress::line("", "namespaces, pins and files are removed");
    Ok(())
}

/// All that the demo set up, in the order in which it has to go.
struct Demo {
    _receiver: Option<Receiver>,
    balancer: Balancer,
    _backends: Vec<Backend>,
    network: Network,
    _bpffs: BpfFs,
}

impl Demo {
    fn start(program: &Path) -> Result<Self> {
        let bpffs = BpfFs::new()?;
        let network = Network::new(Size { clients: 1, backends: WEIGHTS.len() as u8 })?;
        let receiver = start_receiver(program);
        let (with, without) = network.backends.split_at(if receiver.is_some() { WITH_RECEIVER } else { 0 });
        let start = |hosts: &[Host]| {
            hosts.iter().map(|host| Backend::start(host, BACKEND_PORT)).collect::<Result<Vec<_>>>()
        };
        let mut backends =
            receiver.as_ref().map_or(Ok(Vec::new()), |receiver| receiver.inside(|| start(with)))?;
        backends.extend(start(without)?);
        let balancer = Balancer::start(program, &network)?;
        Ok(Self { _receiver: receiver, balancer, _backends: backends, network, _bpffs: bpffs })
    }

    /// What the user can try.
    fn introduce(&self) {
        let ([a, b, c, d], _) = VIP;
        let client = self.network.client().namespace();
        let curl = format!("ip netns exec {client} curl");
        progress::line("try yourself", format_args!("{curl} http://{a}.{b}.{c}.{d}/  (Layer 4)"));
        progress::line("", format_args!("{curl} http://{a}.{b}.{c}.{d}:{HTTP_PORT}/  (Layer 7)"));
        let trust = certificate::path(&self.balancer.directory);
        let name = certificate::NAME;
        progress::line(
            "",
            format_args!(
                "{curl} --cacert {} --resolve {name}:443:{a}.{b}.{c}.{d} https://{name}/",
                trust.display()
            ),
        );
        progress::line("or over IPv6", format_args!("ip netns exec {client} curl http://[{VIP6}]/"));
        if workspace::program("curl").is_none() {
            progress::line("", "(curl is not installed; `cargo xtask setup` as root installs it)");
        }
        let (program, pins) = (self.balancer.program.display(), self.balancer.pins.display());
        progress::line(
            "look in",
            format_args!("{program} sessions --pin-dir {pins} (or status, or counters)"),
        );
        progress::line("end", "Ctrl-C");
    }

    /// Draws the table until the interrupt comes.
    fn show(&mut self, traffic: &Traffic, interrupt: Interrupt) -> Result<()> {
        let interval = if std::io::stdout().is_terminal() { REDRAW } else { REPRINT };
        let mut screen = Screen::new();
        let mut next = Instant::now();
        while !interrupt.has_come() {
            self.balancer.check()?;
            if Instant::now() >= next {
                let status = Status::parse(&self.balancer.ask(&self.network, "status")?)?;
                screen.draw(&status.render(&traffic.tally()));
                next = Instant::now() + interval;
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The TOA receiver beside the balancer's binary. The demo goes on without if it cannot be attached.
fn start_receiver(program: &Path) -> Option<Receiver> {
    receiver::remove_orphans(is_orphan);
    let name = format!("{OWNED}{}", std::process::id());
    let pins = Path::new(BPFFS).join(&name).join("toa");
    match Receiver::start(program.with_file_name("evenkeel-toa"), &name, pins, LOCAL_ADDRESSES) {
        Ok(receiver) => {
            progress::line(
                "receiver",
                format_args!("evenkeel-toa: backend1 and backend2 see the client, backend3 a local address"),
            );
            Some(receiver)
        }
        Err(error) => {
            progress::line("receiver", format_args!("the backends see local addresses: {error:#}"));
            None
        }
    }
}

/// The balancer's process, its configuration and its pins.
struct Balancer {
    program: PathBuf,
    pins: PathBuf,
    process: Process,
    /// Removes what it leaves in the kernel, from inside its namespace.
    unload: Command,
    directory: PathBuf,
}

impl Balancer {
    fn start(program: &Path, network: &Network) -> Result<Self> {
        let name = format!("{OWNED}{}", std::process::id());
        for place in [Path::new(BPFFS), &env::temp_dir()] {
            remove_orphans(place);
        }
        let directory = env::temp_dir().join(&name);
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let file = directory.join("evenkeel.toml");
        certificate::make(&directory)?;
        fs::write(&file, configuration(network))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let pins = Path::new(BPFFS).join(name);
        let mut command = network.balancer.command(&program.to_string_lossy());
        command.arg("run").arg("--config").arg(&file).arg("--pin-dir").arg(&pins);
        command.arg("--state-dir").arg(&directory);
        let mut unload = network.balancer.command(&program.to_string_lossy());
        unload.arg("unload").arg("--pin-dir").arg(&pins);
        unload.process_group(0);
        let process = Process::spawn(command)?;
        let mut balancer = Self { program: program.to_owned(), pins, process, unload, directory };
        balancer.process.wait_for_output(READY, START)?;
        progress::line("balancer", format_args!("forwards; its configuration is {}", file.display()));
        for line in balancer.process.log().lines().filter(|line| !line.contains(READY)) {
            progress::line("", line);
        }
        Ok(balancer)
    }

    /// That it still runs.
    fn check(&mut self) -> Result<()> {
        if let Some(status) = self.process.status()? {
            bail!("the balancer ended ({status}):\n{}", self.process.log());
        }
        Ok(())
    }

    /// What one of its commands says, as JSON.
    fn ask(&self, network: &Network, what: &str) -> Result<String> {
        let (program, pins) = (self.program.to_string_lossy(), self.pins.to_string_lossy());
        network.balancer.run(&[&program, what, "-o", "json", "--pin-dir", &pins])
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Err(error) = self.process.end() {
            progress::line("balancer", format_args!("does not end: {error:#}"));
        }
        match self.unload.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                progress::line("balancer", format_args!("unload failed: {}", progress::tail(&output, 5)));
            }
            Err(error) => progress::line("balancer", format_args!("cannot unload: {error}")),
        }
        for directory in [&self.pins, &self.directory].into_iter().filter(|directory| directory.exists()) {
            if let Err(error) = fs::remove_dir_all(directory) {
                progress::line("balancer", format_args!("{} stays behind: {error}", directory.display()));
            }
        }
    }
}

/// Removes the directories of demos that were killed.
fn remove_orphans(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_orphan) {
            // What cannot be removed harms nobody.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_orphan(name: &str) -> bool {
    let owner = name.strip_prefix(OWNED).and_then(|pid| pid.parse::<u32>().ok());
    owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// The demo's configuration.
fn configuration(network: &Network) -> String {
    let certificate = certificate::configuration();
    let ([a, b, c, d], port) = VIP;
    let members = network.backends.iter().zip(WEIGHTS).map(|(host, weight)| {
        let address = host.address();
        format!("\n[[pool.member]]\naddress = \"{address}\"\nport = {BACKEND_PORT}\nweight = {weight}\n")
    });
    let members: String = members.collect();
    format!(
        r#"[host]
interfaces = ["front", "back"]
local_addresses = ["{LOCAL_ADDRESSES}"]
max_sessions = 65536

[[load_balancer]]
name = "demo"
vip = ["{a}.{b}.{c}.{d}", "{VIP6}"]

[[load_balancer.listener]]
name = "web"
protocol = "tcp"
port = {port}
pool = "web"

[[load_balancer.listener]]
name = "pages"
protocol = "http"
port = {HTTP_PORT}
pool = "pages"

[[load_balancer.listener]]
name = "secure"
protocol = "https"
port = 443
pool = "pages"
certificates = ["demo"]

{certificate}
[[pool]]
name = "web"
health = {{ protocol = "http", path = "/", interval = "1s", timeout = "1s" }}
{members}
[[pool]]
name = "pages"
protocol = "http"
health = {{ protocol = "http", path = "/", interval = "1s", timeout = "1s" }}
{members}"#
    )
}
