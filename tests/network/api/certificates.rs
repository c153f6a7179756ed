//! Does OpenStack's client make a listener that ends TLS, and does a certificate that is replaced serve at once?

use std::fs;

use serde_json::{Value, json};
use testbed::wait_for;

use super::{ask, openstack::Client, with_api};
use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE},
    l7::certificates::Certificates,
    servers,
};

/// The body of a server's certificate.
fn server(files: &Certificates, name: &str) -> Value {
    let [certificate, key] =
        ["crt", "key"].map(|end| fs::read_to_string(files.path(&format!("{name}.{end}"))).unwrap());
    json!({ "name": name, "certificate": certificate, "private_key": key })
}

#[test]
fn certificates_serve_listeners_that_end_tls() {
    let mut balancer = Balancer::start(with_api(&[1]));
    let directory = tempfile::tempdir().unwrap();
    let _server = servers::nginx(&balancer.network.backends[0], directory.path(), "");
    let address = balancer.network.backends[0].address().to_string();
    let mut client = Client::start(&balancer);
    let files = Certificates::new();
    files.authority("ca").issue("ca", "first", "a.example").issue("ca", "second", "a.example");
    files.issue("ca", "sni", "b.example").issue("ca", "user", "user.example");
    let make = |body: Value| {
        let (status, made) = ask(&balancer, "POST", "/v2.0/lbaas/certificates", Some(&body));
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    };
    let (own, sni) = (make(server(&files, "first")), make(server(&files, "sni")));
    let ca = fs::read_to_string(files.path("ca.crt")).unwrap();
    let ca = make(json!({ "name": "ca", "type": "client", "certificate": ca }));

    let vip = client.object("create --name shop --vip-subnet-id public --wait");
    let vip = vip["vip_address"].as_str().unwrap().to_owned();
    let made = client.object(&format!(
        "listener create --name safe --protocol TERMINATED_HTTPS --protocol-port 443 --default-tls-container-ref {own} \
         --sni-container-refs {sni} --wait shop"
    ));
    assert_eq!(
        (&made["protocol"], &made["operating_status"]),
        (&json!("TERMINATED_HTTPS"), &json!("ONLINE"))
    );
    client.run("pool create --name safe --protocol HTTP --lb-algorithm ROUND_ROBIN --listener safe --wait");
    client.run(&format!("member create --address {address} --protocol-port {BACKEND_PORT} safe --wait"));

    let [ca_file, cert, key] = ["ca.crt", "user.crt", "user.key"].map(|file| files.path(file));
    let get = |balancer: &Balancer, host: &str, more: &[&str]| {
        let (url, resolve) = (format!("https://{host}/"), format!("{host}:443:{vip}"));
        let mut words = vec!["curl", "-sv", "-m", "2", "--cacert", &ca_file, "--resolve", &resolve];
        words.extend(more);
        words.push(&url);
        let output = balancer.network.client().command(words[0]).args(&words[1..]).output().unwrap();
        let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let subject = said
            .lines()
            .find_map(|line| line.trim_start_matches("* ").trim().strip_prefix("subject: CN="))
            .unwrap_or_default();
        (out.trim().to_owned(), subject.to_owned())
    };
    let wait_for_it = |balancer: &Balancer, host: &str, more: &[&str], wanted: (&str, &str)| {
        let mut last = Default::default();
        let told = wait_for("the right certificate", DEADLINE, || {
            last = get(balancer, host, more);
            (&*last.0, &*last.1) == wanted
        });
        told.unwrap_or_else(|error| panic!("{error}: {host}: {wanted:?}, not {last:?}"));
    };
    wait_for_it(&balancer, "a.example", &[], ("backend1", "first"));
    wait_for_it(&balancer, "b.example", &[], ("backend1", "sni"));

    // Another in its place, from the next handshake on.
    let path = format!("/v2.0/lbaas/certificates/{own}");
    let (status, said) = ask(&balancer, "PUT", &path, Some(&server(&files, "second")));
    assert_eq!(status, 200, "{said}");
    assert_eq!(get(&balancer, "a.example", &[]), ("backend1".into(), "second".into()), "at once");
    let (status, said) = ask(&balancer, "DELETE", &path, None);
    assert!(
        status == 409 && said["faultstring"].as_str().unwrap().contains(made["id"].as_str().unwrap()),
        "{said}"
    );

    // Only clients with a certificate.
    client.run(&format!(
        "listener set --client-ca-tls-container-ref {ca} --client-authentication MANDATORY safe --wait"
    ));
    wait_for_it(&balancer, "a.example", &["--tls-max", "1.2"], ("", ""));
    let with = ["--cert", &cert, "--key", &key];
    wait_for_it(&balancer, "a.example", &with, ("backend1", "second"));
    client.run("listener set --client-authentication NONE --tls-version TLSv1.3 --wait safe");
    wait_for_it(&balancer, "a.example", &[], ("backend1", "second"));
    assert_eq!(get(&balancer, "a.example", &["--tls-max", "1.2"]).0, "");

    // Ciphers of one's own.
    client.run(
        "listener set --tls-version TLSv1.2 --tls-version TLSv1.3 --tls-ciphers ECDHE-ECDSA-AES256-GCM-SHA384 --wait safe",
    );
    let old = |cipher| get(&balancer, "a.example", &["--tls-max", "1.2", "--ciphers", cipher]).0;
    wait_for("the cipher", DEADLINE, || old("ECDHE-ECDSA-AES256-GCM-SHA384") == "backend1").unwrap();
    assert_eq!(old("ECDHE-ECDSA-AES128-GCM-SHA256"), "");
    wait_for_it(&balancer, "a.example", &["--tlsv1.3"], ("backend1", "second"));

    // A plain one sends clients there.
    client.run("listener create --name plain --protocol HTTP --protocol-port 80 shop --wait");
    let (_, found) = ask(&balancer, "GET", "/v2.0/lbaas/listeners?name=plain", None);
    let policy = json!({ "l7policy": {
        "listener_id": found["listeners"][0]["id"], "action": "REDIRECT_TO_LISTENER", "redirect_listener_id": made["id"],
        "rules": [{ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/" }],
    } });
    assert_eq!(ask(&balancer, "POST", "/v2.0/lbaas/l7policies", Some(&policy)).0, 201);
    let url = format!("http://{vip}/x?y");
    let curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", &url];
    let told = balancer.network.client().run(&curl).unwrap();
    assert_eq!(told.trim(), format!("302 https://{vip}/x?y"));

    // The key outlives the process, sealed, and nothing says it.
    balancer.kill();
    balancer.run();
    wait_for_it(&balancer, "a.example", &[], ("backend1", "second"));
    let line = fs::read_to_string(files.path("second.key")).unwrap().lines().nth(1).unwrap().to_owned();
    for path in ["certificates", "traces", "listeners"] {
        let (_, said) = ask(&balancer, "GET", &format!("/v2.0/lbaas/{path}"), None);
        assert!(!said.to_string().contains(&line), "{path}");
    }
    client.run("delete shop --cascade --wait");
    for id in [own, sni, ca] {
        assert_eq!(ask(&balancer, "DELETE", &format!("/v2.0/lbaas/certificates/{id}"), None).0, 204);
    }
}
