//! Does `status` count what went through: by load balancer, listener and member?

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings},
    servers,
};

#[test]
fn listeners_and_load_balancers_add_up_to_their_members() {
    const REQUESTS: u64 = 6;
    let balancer = Balancer::start(Settings {
        weights: vec![1, 1],
        pool: "health = { protocol = \"tcp\", interval = \"1s\", timeout = \"1s\", retries = 1 }",
        ..Settings::default()
    });
    let directory = tempfile::tempdir().unwrap();
    let _server = servers::nginx(&balancer.network.backends[0], directory.path(), "");
    let figure = |row: &str, name: &str| balancer.ask("status")[row][0][name].as_u64().unwrap();
    wait_for("one member up, one down", DEADLINE, || {
        (figure("load_balancers", "members_healthy"), figure("load_balancers", "members_unhealthy")) == (1, 1)
    })
    .unwrap();
    for _ in 0..REQUESTS {
        balancer.client(&["curl", "-sSf", "--max-time", "20", "http://203.0.113.10/"]);
    }
    wait_for("the last segments", DEADLINE, || figure("listeners", "sessions_established") == 0).unwrap();

    let member = balancer.member(0);
    let status = balancer.ask("status");
    for name in ["sessions_total", "packets_in", "bytes_in", "packets_out", "bytes_out"] {
        let of_member = member[name].as_u64().unwrap();
        assert!(of_member > 0, "{name}");
        for row in ["listeners", "load_balancers"] {
            assert_eq!(status[row][0][name], of_member, "{name} of {row}");
        }
    }
    assert_eq!(status["listeners"][0]["sessions_total"], REQUESTS);
    assert!(figure("listeners", "packets_in") >= 4 * REQUESTS);
}
