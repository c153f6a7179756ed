//! Do the README's recipes do what it says, does `docs/limits.md` say what is true, and is there a way out of what
//! `ip netns exec` hides?

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nix::sys::signal::Signal;
use testbed::{Host, Network, Process, Size, documents, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{certificates::Certificates, script},
    servers,
};

/// The daemon of a document, in a folder with its file and what that names.
struct Site<'a> {
    network: &'a Network,
    program: PathBuf,
    folder: &'a Path,
    daemon: Option<Process>,
}

impl Site<'_> {
    /// Writes the file, for the testbed's interfaces, and has the daemon apply it; the first time, starts that.
    fn apply(&mut self, file: &str) {
        let file = file.replace(r#"["eth0", "eth1"]"#, r#"["front", "back"]"#);
        fs::write(self.folder.join("evenkeel.toml"), file).unwrap();
        if let Some(daemon) = &self.daemon {
            let heard = daemon.log().matches(" applied").count();
            daemon.signal(Signal::SIGHUP).unwrap();
            wait_for("the change", DEADLINE, || daemon.log().matches(" applied").count() > heard).unwrap();
            assert!(!daemon.log().contains(" not applied"), "{}", daemon.log());
            return;
        }
        let mut command = self.command(&self.network.balancer, "evenkeel");
        command.args(["run", "--config", "evenkeel.toml", "--state-dir", "."]);
        command.arg("--pin-dir").arg(self.network.balancer.pins());
        let mut daemon = Process::spawn(command).unwrap();
        daemon.wait_for_output("evenkeel: ready", DEADLINE).unwrap();
        self.daemon = Some(daemon);
    }

    /// A command on a host, in the folder, that finds this tree's programs.
    fn command(&self, host: &Host, program: &str) -> Command {
        let mut command = host.command(program);
        let path = [self.program.parent().unwrap().to_str().unwrap(), &env::var("PATH").unwrap()].join(":");
        command.current_dir(self.folder).env("PATH", path);
        command
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        drop(self.daemon.take());
        let mut unload = self.command(&self.network.balancer, "evenkeel");
        let output = unload.arg("unload").arg("--pin-dir").arg(self.network.balancer.pins()).output();
        if !output.is_ok_and(|output| output.status.success()) {
            eprintln!("{} may stay behind", self.network.balancer.pins().display());
        }
    }
}

#[test]
fn the_readmes_recipes_keep_their_word() {
    let network = Network::new(Size { clients: 1, backends: 2 }).unwrap();
    let certificates = Certificates::new();
    certificates.authority("shop").authority("customers").issue("customers", "customer", "customer.example");
    let folder = PathBuf::from(certificates.path(""));
    let pem = ["crt", "key"].map(|end| fs::read_to_string(folder.join(format!("customer.{end}"))).unwrap());
    fs::write(folder.join("customer.pem"), pem.concat()).unwrap();
    let _servers = servers::nginx_on_each(&network.backends, &folder);
    let program = testbed::binary("evenkeel").unwrap();
    let mut site = Site { network: &network, program, folder: &folder, daemon: None };

    let (mut file, mut run) = (String::new(), 0);
    for block in documents::read("README.md").unwrap().blocks() {
        let host = match block.kind.as_str() {
            "toml" | "toml recipe" => {
                file = match block.kind.as_str() {
                    "toml" => block.text,
                    _ => documents::change(&file, &block.text).unwrap(),
                };
                site.apply(&file);
                continue;
            }
            "sh client" => network.client(),
            "sh balancer" => &network.balancer,
            _ => continue,
        };
        let output = site.command(host, "sh").args(["-uc", &block.text]).output().unwrap();
        let expected = block.text.lines().filter_map(|line| line.strip_prefix("# "));
        let expected: String = expected.map(|line| format!("{line}\n")).collect();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, expected, "{}: {}", block.text, String::from_utf8_lossy(&output.stderr));
        run += 1;
    }
    assert_eq!(run, 4);
}

/// That command mounts another /sys, without the BPF file system that is below the first.
#[test]
fn what_ip_netns_exec_hides_is_said_with_the_way_out() {
    let mut balancer = Balancer::start(Settings::default());
    balancer.end();
    let namespace = balancer.network.balancer.namespace();
    let program = testbed::binary("evenkeel").unwrap();
    let pins = balancer.pins().to_str().unwrap();
    let ask = |way: &[&str]| -> Output {
        let words = [way, &[program.to_str().unwrap(), "status", "--pin-dir", pins]].concat();
        Command::new(words[0]).args(&words[1..]).output().unwrap()
    };
    let hidden = ask(&["ip", "netns", "exec", namespace]);
    let said = String::from_utf8(hidden.stderr).unwrap();
    let way_out = "enter a network namespace with `nsenter --net=/run/netns/NAME evenkeel run --config FILE`";
    assert!(
        !hidden.status.success() && said.contains("`ip netns exec` hides it") && said.contains(way_out),
        "{said}"
    );
    let seen = ask(&["nsenter", &format!("--net=/run/netns/{namespace}")]);
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));

    balancer.unload();
    let file = balancer.settings.file(&balancer.network);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("evenkeel.toml");
    fs::write(&config, file).unwrap();
    let config = config.to_str().unwrap();
    let words = [
        program.to_str().unwrap(),
        "run",
        "--config",
        config,
        "--pin-dir",
        pins,
        "--state-dir",
        folder.path().to_str().unwrap(),
    ];
    let start = |way: &[&str]| {
        let words = [way, &words].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        Process::spawn(command).unwrap()
    };
    let mut refused = start(&["ip", "netns", "exec", namespace]);
    refused.wait_for_output(way_out, DEADLINE).unwrap();
    wait_for("its end", DEADLINE, || refused.status().unwrap().is_some()).unwrap();
    start(&["nsenter", &format!("--net=/run/netns/{namespace}")])
        .wait_for_output("evenkeel: ready", DEADLINE)
        .unwrap();
}

/// What `docs/limits.md` says of the host's own connections.
#[test]
fn the_balancer_itself_reaches_its_http_listeners_only() {
    for (protocol, pool, reached) in [("tcp", "", false), ("http", "protocol = \"http\"", true)] {
        let balancer = Balancer::start(Settings { protocol, pool, ..Settings::default() });
        let folder = tempfile::tempdir().unwrap();
        let _server = servers::nginx(&balancer.network.backends[0], folder.path(), "");
        let get = ["curl", "-s", "--max-time", "5", "http://203.0.113.10/"];
        assert_eq!(balancer.client(&get), "backend1\n");
        assert_eq!(balancer.network.balancer.run(&get).is_ok(), reached, "{protocol}");
    }
}

/// What `docs/limits.md` says of HTTP without TLS.
#[test]
fn plain_http_has_trailers_for_who_asks_and_no_upgrade_to_http_2() {
    let balancer =
        Balancer::start(Settings { protocol: "http", pool: "protocol = \"http\"", ..Settings::default() });
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-late: trailer\r\n\r\n";
    script::serve(&balancer.network.backends[0], |_, _| answer.into());
    let ask = |request: &str| {
        let mut stream = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let asks = ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
    assert!(asks.ends_with("2\r\nok\r\n0\r\nx-late: trailer\r\n\r\n"), "{asks}");
    let plain = ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(plain.ends_with("2\r\nok\r\n0\r\n\r\n"), "{plain}");
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert!(ask(upgrade).starts_with("HTTP/1.1 200"));
    assert!(ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").starts_with("HTTP/1.1 400"));
}
