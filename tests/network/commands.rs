//! Do the commands of `docs/` do what it says? Each block is run as it stands, on a host of the testbed that has processes and
//! mounts of its own: there `pkill evenkeel`, `/etc/evenkeel.toml` and `/sys/fs/bpf` are nobody else's.

use std::{path::Path, process::Command};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use testbed::{Host, Network, Process, Size, documents, wait_for};

use crate::{balancer::DEADLINE, servers};

const FILE: &str = r#"
[host]
interfaces = ["front", "back"]
local_addresses = ["100.64.0.0/28"]

[api]
listen = "127.0.0.1:9876"

[[load_balancer]]
name = "shop"
vip = "203.0.113.10"
access_log = { path = "/var/log/evenkeel/shop.log" }
[[load_balancer.listener]]
name = "web"
port = 80
pool = "web"
[[load_balancer.listener]]
name = "secure"
protocol = "https"
port = 443
certificates = ["shop"]

[[certificate]]
name = "shop"
certificate = "shop.crt"
key = "shop.key"
ocsp = "shop.ocsp"

[[pool]]
name = "web"
member = [{ address = "192.0.2.11", port = 8080 }]
"#;

/// What such a host mounts; `$1` is a folder for it. The BPF file system comes with the documents' command.
const MOUNTS: &str = "
    mount -t tmpfs none $1; mkdir $1/etc $1/work $1/netns
    mount --rbind /run/netns $1/netns
    mount -t proc none /proc
    mount -t overlay none -o lowerdir=/etc,upperdir=$1/etc,workdir=$1/work /etc
    mount -t tmpfs none /run; mkdir /run/netns; mount --rbind $1/netns /run/netns
    for folder in lib log backups; do mkdir -p /var/$folder; mount -t tmpfs none /var/$folder; done
    mkdir /var/lib/evenkeel /var/log/evenkeel
    echo there; exec sleep infinity";

/// A certificate with its issuer's, who answers for it on port 8888 of the host, and a first answer.
const CERTIFICATE: &str = "
    openssl req -x509 -newkey rsa:2048 -nodes -keyout issuer.key -out issuer.crt -subj /CN=issuer -days 30
    openssl req -newkey rsa:2048 -nodes -keyout shop.key -out shop.csr -subj /CN=shop \\
        -addext subjectAltName=DNS:shop.example -addext 'authorityInfoAccess=OCSP;URI:http://127.0.0.1:8888'
    openssl x509 -req -in shop.csr -out own.crt -days 30 -copy_extensions copy \\
        -CA issuer.crt -CAkey issuer.key -CAcreateserial
    cat own.crt issuer.crt >shop.crt
    printf 'V\\t491231000000Z\\t\\t%s\\tunknown\\t/CN=shop\\n' $(openssl x509 -in own.crt -noout -serial | cut -d= -f2) >index
    openssl ocsp -index index -rsigner issuer.crt -rkey issuer.key -CA issuer.crt \\
        -issuer issuer.crt -cert shop.crt -no_nonce -respout shop.ocsp";

/// A host of the testbed with processes and mounts of its own, and its folder `/etc`.
struct Machine<'a> {
    host: &'a Host,
    /// What holds them.
    holder: Process,
    /// Where its files are.
    _folder: TempDir,
}

impl<'a> Machine<'a> {
    /// With the project's programs, `target/release` as after a build, and nobody who has to become root.
    fn new(host: &'a Host) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = host.command("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", MOUNTS, "sh"])
            .arg(folder.path());
        let mut holder = Process::spawn(command).unwrap();
        holder.wait_for_output("there", DEADLINE).unwrap();
        let machine = Self { host, holder, _folder: folder };
        let program = testbed::binary("evenkeel").unwrap();
        let built = program.parent().unwrap().display();
        machine.ok(&format!(
            "mkdir bin target; ln -s {built} target/release; ln -s {built}/evenkeel bin
             printf '#!/bin/sh\\nexec \"$@\"\\n' >bin/sudo; printf '#!/bin/sh\\n' >bin/cargo; chmod +x bin/*"
        ));
        machine
    }

    /// A shell there.
    fn shell(&self, script: &str) -> Command {
        let of = |what: &str| format!("/proc/{}/ns/{what}", self.holder.id());
        let mut command = self.host.command("nsenter");
        command.args([format!("--mount={}", of("mnt")), format!("--pid={}", of("pid_for_children"))]);
        command.args(["sh", "-euc", &format!("cd /etc; PATH=/etc/bin:$PATH\n{script}")]);
        command
    }

    /// What a script prints, which must succeed.
    fn ok(&self, script: &str) -> String {
        let output = self.shell(script).output().unwrap();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        // SIGTERM would wait for its child, which nobody ends.
        let _ = self.holder.signal(Signal::SIGKILL);
    }
}

/// The block of a document that begins like this.
fn block(document: &str, beginning: &str) -> String {
    let blocks = documents::read(Path::new("docs").join(document)).unwrap().blocks();
    let found = blocks.into_iter().find(|block| block.kind == "sh" && block.text.starts_with(beginning));
    found.unwrap_or_else(|| panic!("{document} has no {beginning:?}")).text
}

#[test]
fn what_the_documents_say_can_be_typed() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let machine = Machine::new(&network.balancer);
    let folder = tempfile::tempdir().unwrap();
    let _server = servers::nginx(&network.backends[0], folder.path(), "");
    machine.ok(&format!("cat >evenkeel.toml <<'END'\n{FILE}\nEND\n{CERTIFICATE}"));
    let answer =
        "exec openssl ocsp -index index -rsigner issuer.crt -rkey issuer.key -CA issuer.crt -port 8888";
    let _issuer = Process::spawn(machine.shell(answer)).unwrap();

    let mut daemon = Process::spawn(machine.shell(&block("operations.md", "cargo build --release"))).unwrap();
    daemon.wait_for_output("evenkeel: ready", DEADLINE).unwrap();
    let applied = |daemon: &Process| daemon.log().matches(" applied").count();
    let applies = |script: &str| {
        let before = applied(&daemon);
        let printed = machine.ok(script);
        wait_for("the change", DEADLINE, || applied(&daemon) > before).unwrap();
        printed
    };
    assert!(applies(&block("configuration.md", "evenkeel check")).contains("good: "));

    let url = "http://203.0.113.10/";
    network.client().run(&["curl", "-s", "--max-time", "5", url]).unwrap();
    let shown = machine.ok(&block("operations.md", "evenkeel status  "));
    for word in ["shop/web", "192.0.2.11:8080", "session_opened"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let shown = machine.ok(&block("operations.md", "evenkeel status --"));
    assert!(shown.contains("shop/web") && shown.contains("203.0.113.10:80"), "{shown}");

    let ask = ["curl", "-sk", "--max-time", "5", "https://203.0.113.10/"];
    network.client().run(&ask).unwrap();
    let lines = |file: &str| machine.ok(&format!("cat /var/log/evenkeel/{file} || true")).lines().count();
    wait_for("a line", DEADLINE, || lines("shop.log") == 1).unwrap();
    machine.ok(&block("http.md", "mv "));
    wait_for("a line in a new file", DEADLINE, || {
        network.client().run(&ask).unwrap();
        lines("shop.log") > 0
    })
    .unwrap();
    assert!(lines("shop.log.1") > 0);

    machine.ok("cp shop.ocsp before");
    // Until the issuer listens.
    wait_for("an answer", DEADLINE, || {
        machine
            .shell("openssl ocsp -issuer issuer.crt -cert shop.crt -url http://127.0.0.1:8888")
            .status()
            .unwrap()
            .success()
    })
    .unwrap();
    applies(&block("tls.md", "url="));
    machine.ok("! cmp -s before shop.ocsp");

    let printed = machine.ok(&block("api.md", "evenkeel store backup"));
    assert_eq!(printed.matches(": good: revision 0\n").count(), 2, "{printed}");
    let restore = block("api.md", "evenkeel store restore");
    assert!(!machine.shell(&restore).status().unwrap().success());
    machine.ok("pkill -x evenkeel");
    wait_for("its end", DEADLINE, || daemon.status().unwrap().is_some()).unwrap();
    assert_eq!(machine.ok(&restore), "/var/lib/evenkeel: good: revision 0\n");
    let inside = block("operations.md", "nsenter").replace("NAME", network.balancer.namespace());
    let mut daemon = Process::spawn(machine.shell(&inside)).unwrap();
    daemon.wait_for_output("evenkeel: ready", DEADLINE).unwrap();
}
