//! Do connections land in proportion to the weights?

use crate::{
    balancer::{Balancer, Settings},
    servers,
};

#[test]
fn six_hundred_short_connections_land_exactly_three_two_one() {
    let balancer = Balancer::start(Settings { weights: vec![3, 2, 1], ..Settings::default() });
    let directory = tempfile::tempdir().unwrap();
    let _servers = servers::nginx_on_each(&balancer.network.backends, directory.path());

    let url = "http://203.0.113.10/?[1-600]";
    let answers = balancer.client(&["curl", "-sS", "--max-time", "60", "-H", "Connection: close", url]);
    let of = |name: &str| answers.lines().filter(|line| *line == name).count();
    assert_eq!(["backend1", "backend2", "backend3"].map(of), [300, 200, 100]);
    assert_eq!([0, 1, 2].map(|n| balancer.sessions_of(n)), [300, 200, 100]);
    for (n, share) in [0.5, 1.0 / 3.0, 1.0 / 6.0].into_iter().enumerate() {
        assert!((balancer.member(n)["share"].as_f64().unwrap() - share).abs() < 0.001);
    }
    assert_eq!(balancer.counter("session_opened"), 600);
}
