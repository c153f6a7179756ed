//! Do L7 policies that OpenStack's client makes say where requests go?

use serde_json::{Value, json};
use testbed::wait_for;

use super::{
    ask,
    openstack::{Client, wait_for_answer},
    with_api,
};
use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE},
    servers,
};

/// What a request is answered, once it is this: the backend that says its name, or the status and where it leads.
fn wait_until_it_is(balancer: &Balancer, words: &[&str], wanted: &str) {
    let mut command = vec!["curl", "-s", "-m", "1", "-w", "%{http_code} %{redirect_url}"];
    command.extend(words);
    let mut last = String::new();
    let told = wait_for("the right answer", DEADLINE, || {
        last = balancer.network.client().run(&command).unwrap_or_default();
        let answer = last.trim();
        answer.lines().last() == Some(wanted) || answer == format!("{wanted}\n200")
    });
    told.unwrap_or_else(|error| panic!("{error}: {words:?}: {wanted:?}, not {last:?}"));
}

#[test]
fn policies_of_openstacks_client_send_requests_where_they_say() {
    let mut balancer = Balancer::start(with_api(&[1, 1]));
    let directory = tempfile::tempdir().unwrap();
    let _servers = servers::nginx_on_each(&balancer.network.backends, directory.path());
    let addresses: Vec<String> =
        balancer.network.backends.iter().map(|host| host.address().to_string()).collect();
    let mut client = Client::start(&balancer);

    let made = client.object("create --name shop --vip-subnet-id public --wait");
    let vip = made["vip_address"].as_str().unwrap().to_owned();
    let url = |path: &str| format!("http://{vip}{path}");
    client.run("listener create --name pages --protocol HTTP --protocol-port 80 shop --wait");
    for (name, address, listener) in [("one", &addresses[0], "--listener pages"), ("two", &addresses[1], "")]
    {
        let place = if listener.is_empty() { "--loadbalancer shop" } else { listener };
        client.run(&format!(
            "pool create --name {name} --protocol HTTP --lb-algorithm ROUND_ROBIN {place} --wait"
        ));
        let member =
            format!("member create --address {address} --protocol-port {BACKEND_PORT} {name} --wait");
        client.run(&member);
    }
    wait_for_answer(&balancer, &url("/"), &["backend1"]);

    // To the other pool, by a header; without a rule nothing is sent there.
    let policy = client
        .object("l7policy create --name stage --action REDIRECT_TO_POOL --redirect-pool two pages --wait");
    assert_eq!((&policy["position"], &policy["operating_status"]), (&json!(1), &json!("OFFLINE")));
    wait_until_it_is(&balancer, &["-H", "x-stage: beta", &url("/")], "backend1");
    let rule = "l7rule create --type HEADER --key X-Stage --compare-type STARTS_WITH --value be stage --wait";
    let rule = client.object(rule);
    wait_until_it_is(&balancer, &["-H", "x-stage: beta", &url("/")], "backend2");
    wait_until_it_is(&balancer, &["-H", "x-stage: alpha", &url("/")], "backend1");
    assert_eq!(client.object("l7policy show stage")["operating_status"], "ONLINE");
    let rule = rule["id"].as_str().unwrap();
    client.run(&format!("l7rule set --invert stage {rule}"));
    wait_until_it_is(&balancer, &["-H", "x-stage: alpha", &url("/")], "backend2");
    wait_until_it_is(&balancer, &["-H", "x-stage: beta", &url("/")], "backend1");
    client.run(&format!(
        "l7rule set --type HOST_NAME --compare-type ENDS_WITH --value .example.com stage {rule}"
    ));
    client.run(&format!("l7rule unset --invert stage {rule}"));
    wait_until_it_is(&balancer, &["-H", "host: a.Example.com:80", &url("/")], "backend2");
    wait_until_it_is(&balancer, &[&url("/")], "backend1");

    // Rejected, and sent elsewhere. What comes first wins.
    client.run("l7policy create --name no --action REJECT pages --wait");
    client.run("l7rule create --type FILE_TYPE --compare-type REGEX --value ^(php|cgi)$ no --wait");
    client
        .run("l7rule create --type COOKIE --key user --compare-type EQUAL_TO --value ann --invert no --wait");
    client.run(
        "l7policy create --name old --action REDIRECT_PREFIX --redirect-prefix https://new.example/x --redirect-http-code 308 pages",
    );
    client.run("l7rule create --type PATH --compare-type CONTAINS --value old old --wait");
    wait_until_it_is(&balancer, &[&url("/a.cgi")], "403");
    wait_until_it_is(&balancer, &[&url("/%61.%63gi?old")], "403");
    wait_until_it_is(&balancer, &[&url("/cgi/a.old?b")], "308 https://new.example/x/cgi/a.old?b");
    wait_until_it_is(
        &balancer,
        &["-b", "user=ann", &url("/old/a.cgi")],
        "308 https://new.example/x/old/a.cgi",
    );
    wait_until_it_is(&balancer, &[&url("/old/a.php")], "403");
    client.run("l7policy set --position 1 old --wait");
    let positions = client.object("l7policy list --sort-column position");
    let names: Vec<&Value> = positions.as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["old", "stage", "no"]);
    wait_until_it_is(&balancer, &[&url("/old/a.php")], "308 https://new.example/x/old/a.php");
    client.run("l7policy set --action REDIRECT_TO_URL --redirect-url https://a.example/ old --wait");
    wait_until_it_is(&balancer, &[&url("/old/a.php")], "308 https://a.example/");
    client.run("l7policy set --disable old --wait");
    wait_until_it_is(&balancer, &[&url("/old/a.php")], "403");

    let in_use = client.refused("pool delete two");
    assert!(in_use.contains("is in use: L7Policy") && in_use.contains("409"), "{in_use}");
    let look = client.refused("l7rule create --type PATH --compare-type REGEX --value (?!a) no");
    assert!(look.contains("is not a regular expression"), "{look}");

    // All of it outlives the process.
    let lists = ["l7policy list", "l7rule list stage", "l7rule list no"];
    let before = lists.map(|list| client.object(list));
    balancer.kill();
    balancer.run();
    assert_eq!(lists.map(|list| client.object(list)), before);
    wait_until_it_is(&balancer, &["-H", "host: a.example.com", &url("/")], "backend2");
    wait_until_it_is(&balancer, &[&url("/a.cgi")], "403");

    client.run("l7policy delete no --wait");
    wait_until_it_is(&balancer, &[&url("/a.cgi")], "404");
    assert_eq!(client.object("l7policy show stage")["position"], 2);
    client.run("delete shop --cascade --wait");
    assert_eq!(client.object("l7policy list"), json!([]));
    let (_, traces) = ask(&balancer, "GET", "/v2.0/lbaas/traces?resource_type=l7rule&limit=1", None);
    assert_eq!(traces["traces"][0]["trace_name"], "create forwarding rule");
}
