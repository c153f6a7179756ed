//! Does OpenStack's own client drive the balancer, unchanged?

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde_json::{Value, json};
use testbed::wait_for;

use super::{URL, ask, with_api};
use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE},
    servers,
};

/// Where `cargo xtask setup` puts the client's programs.
pub fn bin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let bin = test.ancestors().nth(3).unwrap().join("openstack/bin");
    assert!(bin.join("openstack").is_file(), "run `cargo xtask setup` for {}", bin.display());
    bin
}

/// The client, in the balancer's namespace.
pub struct Client {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    pub fn start(balancer: &Balancer) -> Self {
        let python = bin().join("python");
        let mut command = balancer.network.balancer.command(python.to_str().unwrap());
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/network/api/client.py"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, input, output: BufReader::new(output) }
    }

    /// What a command says: whether it succeeds, and its output or what is wrong.
    fn say(&mut self, words: &str) -> (bool, String) {
        writeln!(self.input, "--os-auth-type none --os-endpoint {URL} {words}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        let is_good = answer["code"] == 0 || answer["code"].is_null();
        let text = if is_good { &answer["out"] } else { &answer["err"] };
        (is_good, text.as_str().unwrap().to_owned())
    }

    /// What a command of load balancing prints, which must succeed.
    pub fn run(&mut self, words: &str) -> String {
        let (is_good, said) = self.say(&format!("loadbalancer {words}"));
        assert!(is_good, "{words}: {said}");
        said
    }

    /// The object that a command shows.
    pub fn object(&mut self, words: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{words} -f json"))).unwrap()
    }

    /// Why a command does not succeed.
    pub fn refused(&mut self, words: &str) -> String {
        let (is_good, said) = self.say(&format!("loadbalancer {words}"));
        assert!(!is_good, "{words} succeeds");
        said
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the VIP answers, once it is this.
pub fn wait_for_answer(balancer: &Balancer, url: &str, wanted: &[&str]) {
    let curl = |_| {
        let words = ["curl", "-s", "-m", "1", url];
        balancer.network.client().run(&words).unwrap_or_default().trim().to_owned()
    };
    let mut last = Vec::new();
    let answered = wait_for("the right backends", DEADLINE, || {
        last = (0..8).map(curl).collect::<Vec<_>>();
        let is_one = last.iter().all(|answer| wanted.contains(&answer.as_str()));
        is_one && wanted.iter().all(|backend| last.iter().any(|answer| answer == backend))
    });
    answered.unwrap_or_else(|error| panic!("{error}: {wanted:?}, not {last:?}"));
}

#[test]
fn openstacks_client_builds_a_load_balancer_and_traffic_follows() {
    let mut balancer = Balancer::start(with_api(&[1, 1]));
    let directory = tempfile::tempdir().unwrap();
    let _servers = servers::nginx_on_each(&balancer.network.backends, directory.path());
    let addresses: Vec<String> =
        balancer.network.backends.iter().map(|host| host.address().to_string()).collect();
    let mut client = Client::start(&balancer);

    let made = client.object("create --name shop --vip-subnet-id public --wait");
    assert_eq!((&made["name"], &made["provisioning_status"]), (&json!("shop"), &json!("ACTIVE")));
    let vip = made["vip_address"].as_str().unwrap().to_owned();
    for (name, protocol, port) in [("four", "TCP", 80), ("seven", "HTTP", 81)] {
        let listener =
            format!("listener create --name {name} --protocol {protocol} --protocol-port {port} shop --wait");
        assert_eq!(client.object(&listener)["protocol_port"], port);
        let pool = format!(
            "pool create --name {name} --protocol {protocol} --lb-algorithm ROUND_ROBIN --listener {name} --wait"
        );
        assert_eq!(client.object(&pool)["protocol"], protocol);
        let monitor = format!(
            "healthmonitor create --name {name} --type HTTP --url-path / --delay 1 --timeout 1 --max-retries 1 {name}"
        );
        assert_eq!(client.object(&monitor)["type"], "HTTP");
        for (number, address) in addresses.iter().enumerate() {
            let member = format!(
                "member create --name m{number} --address {address} --protocol-port {BACKEND_PORT} {name} --wait"
            );
            assert_eq!(&client.object(&member)["address"], address);
        }
        let url = format!("http://{vip}:{port}/");
        wait_for_answer(&balancer, &url, &["backend1", "backend2"]);
        client.run(&format!("member set --weight 0 {name} m0"));
        wait_for_answer(&balancer, &url, &["backend2"]);
        client.run(&format!("member set --weight 3 {name} m0"));
        client.run(&format!("member set --disable {name} m1"));
        wait_for_answer(&balancer, &url, &["backend1"]);
        client.run(&format!("member set --enable {name} m1"));
        wait_for_answer(&balancer, &url, &["backend1", "backend2"]);
    }
    let tree: Value = serde_json::from_str(&client.run("status show shop")).unwrap();
    let listeners = tree["loadbalancer"]["listeners"].as_array().unwrap();
    let statuses: Vec<&Value> = listeners
        .iter()
        .flat_map(|it| it["pools"][0]["members"].as_array().unwrap())
        .map(|it| &it["operating_status"])
        .collect();
    assert_eq!(statuses, [&json!("ONLINE"); 4]);
    assert_eq!(client.object("show shop")["operating_status"], "ONLINE");

    // What is refused says why, and changes nothing.
    let before = client.run("listener list -f json");
    let clash = client.refused("listener create --name again --protocol TCP --protocol-port 80 shop");
    assert!(clash.contains("already using protocol_port 80") && clash.contains("409"), "{clash}");
    let ports = client.refused("pool set --lb-algorithm SOURCE_IP_PORT four");
    assert!(ports.contains("use SOURCE_IP, which leaves ports out") && ports.contains("400"), "{ports}");
    let own = client.refused("member create --address 100.64.0.1 --protocol-port 80 four");
    assert!(own.contains("100.64.0.1 is a local address"), "{own}");
    assert_eq!(client.run("listener list -f json"), before);
    let file = client.refused("set --name mine test");
    assert!(file.contains("is in the configuration file and is changed there"), "{file}");

    // All of it outlives the process, whatever kills it.
    let lists = ["list", "listener list", "pool list", "member list four", "healthmonitor list"];
    let before = lists.map(|list| client.object(list));
    balancer.kill();
    balancer.run();
    assert_eq!(lists.map(|list| client.object(list)), before);
    wait_for_answer(&balancer, &format!("http://{vip}:81/"), &["backend1", "backend2"]);
    // And the file's reload leaves it alone.
    balancer.reload();
    assert_eq!(lists.map(|list| client.object(list)), before);

    client.run("pool delete seven --wait");
    assert!(client.refused("delete shop").contains("has children"));
    client.run("delete shop --cascade --wait");
    assert_eq!(client.object("listener list").as_array().unwrap().len(), 1, "the file's");
    wait_for("nobody at the VIP", DEADLINE, || {
        balancer.network.client().run(&["curl", "-s", "-m", "1", &format!("http://{vip}/")]).is_err()
    })
    .unwrap();

    let (_, traces) = ask(&balancer, "GET", "/v2.0/lbaas/traces?trace_name=delete+loadbalancer", None);
    let codes: Vec<&Value> =
        traces["traces"].as_array().unwrap().iter().map(|trace| &trace["code"]).collect();
    assert_eq!(codes, ["204", "400"], "the newest first");
}
