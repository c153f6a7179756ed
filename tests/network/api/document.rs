//! Do the recipes of `docs/api.md` do what it says?

use serde_json::Value;
use testbed::{documents, wait_for};

use super::{ask, openstack::bin, with_api};
use crate::{
    balancer::{Balancer, DEADLINE, Settings},
    servers,
};

#[test]
fn the_recipes_of_the_api_keep_their_word() {
    let blocks = documents::read("docs/api.md").unwrap().blocks();
    let file = &blocks.iter().find(|block| block.kind == "toml").unwrap().text;
    let api = file[file.find("[api]").unwrap()..].to_owned();
    let balancer = Balancer::start(Settings { api, ..with_api(&[1, 1]) });
    let directory = tempfile::tempdir().unwrap();
    let _servers = servers::nginx_on_each(&balancer.network.backends, directory.path());
    let mut run = 0;
    for block in blocks {
        let host = match block.kind.as_str() {
            "sh api" => &balancer.network.balancer,
            "sh client" => {
                wait_for("the first checks", DEADLINE, || {
                    let (_, found) = ask(&balancer, "GET", "/v2.0/lbaas/pools?name=pages", None);
                    let pool = found["pools"][0]["id"].as_str().unwrap();
                    let path = format!("/v2.0/lbaas/pools/{pool}/members");
                    let (_, found) = ask(&balancer, "GET", &path, None);
                    let is_up = |member: &Value| member["operating_status"] == "ONLINE";
                    found["members"].as_array().unwrap().iter().all(is_up)
                })
                .unwrap();
                balancer.network.client()
            }
            _ => continue,
        };
        let mut command = host.command("sh");
        let path = [bin().to_str().unwrap(), &std::env::var("PATH").unwrap()].join(":");
        let output = command.env("PATH", path).args(["-uc", &block.text]).output().unwrap();
        let expected = block.text.lines().filter_map(|line| line.strip_prefix("# "));
        let expected: String = expected.map(|line| format!("{line}\n")).collect();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, expected, "{}: {}", block.text, String::from_utf8_lossy(&output.stderr));
        run += 1;
    }
    assert_eq!(run, 3);
}
