//! Is a WebSocket through the balancer the same as one straight to the backend? Autobahn's client suite says.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use testbed::Host;

use crate::{
    balancer::{BACKEND_PORT, Balancer, Settings, VIP},
    l7::http,
    servers,
};

/// Runs the suite against a server and returns how each case went, and how its connection was closed.
fn suite(from: &Host, directory: &Path, url: &str) -> BTreeMap<String, [String; 2]> {
    fs::create_dir_all(directory).unwrap();
    let spec = directory.join("spec.json");
    let cases = std::env::var("EVENKEEL_AUTOBAHN_CASES").unwrap_or_else(|_| "*".into());
    let cases: Vec<&str> = cases.split(',').collect();
    let text = json!({
        "outdir": directory.to_str(),
        "servers": [{ "agent": "it", "url": url }],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    fs::write(&spec, text.to_string()).unwrap();
    from.run(&[&wstest(), "-m", "fuzzingclient", "-s", spec.to_str().unwrap()]).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
    let cases = report["it"].as_object().unwrap();
    let said = |case: &Value, key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let told = |case: &Value| {
        // Both are good. Which one it is depends, straight at the backend too, on whether an answer still gets out before
        // the connection is failed.
        ["behavior", "behaviorClose"].map(|key| said(case, key).replace("NON-STRICT", "OK"))
    };
    cases.iter().map(|(id, case)| (id.clone(), told(case))).collect()
}

/// Where `cargo xtask setup --all` puts the suite's program.
fn wstest() -> String {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let wstest = target.join("autobahn/bin/wstest");
    assert!(wstest.is_file(), "run `cargo xtask setup --all` for {}", wstest.display());
    wstest.to_str().unwrap().to_owned()
}

/// A minute or two, with `cargo xtask test --all`. EVENKEEL_AUTOBAHN_CASES chooses some of the cases, such as `1.*,7.*`.
#[test]
#[ignore = "needs wstest and so Python 2.7: cargo xtask test --all"]
fn the_suite_through_the_balancer_equals_the_suite_straight_at_the_backend() {
    // Autobahn's server wants its own port in Host.
    let listener =
        "[[load_balancer.listener]]\nname = \"same\"\nprotocol = \"http\"\nport = 8080\npool = \"web\"\n";
    let balancer = Balancer::start(Settings { listener: listener.into(), ..http(1) });
    let backend = &balancer.network.backends[0];
    let listen = format!("ws://{}:{BACKEND_PORT}", backend.address());
    let _server = backend.spawn(&[&wstest(), "-m", "echoserver", "-u", "0", "-w", &listen]).unwrap();
    servers::wait_until_listening(backend);
    let directory = tempfile::tempdir().unwrap();

    let straight = suite(&balancer.network.balancer, &directory.path().join("straight"), &listen);
    let through = suite(
        balancer.network.client(),
        &directory.path().join("through"),
        &format!("ws://{}:{BACKEND_PORT}", VIP.ip()),
    );
    let count = |results: &BTreeMap<String, [String; 2]>| {
        results.values().fold(BTreeMap::<String, usize>::new(), |mut counts, [behavior, _]| {
            *counts.entry(behavior.clone()).or_default() += 1;
            counts
        })
    };
    println!("{} cases; straight {:?}, through {:?}", straight.len(), count(&straight), count(&through));
    assert!(!straight.is_empty());
    let different = straight.iter().filter(|(id, result)| through.get(*id) != Some(result));
    let different: String = different
        .map(|(id, result)| {
            let report =
                directory.path().join("through").join(format!("it_case_{}.json", id.replace('.', "_")));
            let case: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
            let told =
                ["behavior", "result", "received", "wasNotCleanReason", "remoteCloseCode", "resultClose"];
            format!(
                "{id}: straight {result:?}, through {:?}\n",
                told.map(|key| format!("{key}: {}", case[key]))
            )
        })
        .collect();
    assert!(different.is_empty(), "{different}");
    assert_eq!(straight.len(), through.len());
}
