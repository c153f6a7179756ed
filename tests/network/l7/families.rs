//! Do clients and members of either address family come together at an HTTP and an HTTPS listener?

use crate::{
    balancer::{Balancer, Family, Settings},
    l7::{certificates::Certificates, echo::Echo, http},
};

#[test]
fn every_family_reaches_every_family() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let secure = format!(
        "[[load_balancer.listener]]\nname = \"secure\"\nprotocol = \"https\"\nport = 443\npool = \"web\"\n\
         certificates = [\"shop\"]\nforwarded = {{ proto = true, port = true }}\n{}",
        certificates.server("shop")
    );
    let ca = certificates.path("ca.crt");
    for (clients, members) in [(Family::V6, Family::V6), (Family::V6, Family::V4), (Family::V4, Family::V6)] {
        let Settings { host, .. } = Settings::between(clients, members);
        let settings = Settings { clients, backends: members, host, listener: secure.clone(), ..http(2) };
        let balancer = Balancer::start(settings);
        let _echos: Vec<_> =
            balancer.network.backends.iter().map(|host| Echo::start_at(host, members)).collect();
        let client = clients.address_of(balancer.network.client());
        let vip = balancer.settings.vip().ip();
        let curl = ["curl", "-sSf", "--globoff", "--max-time", "20"];

        let url = format!("http://{}/", balancer.settings.vip());
        let answers = [&url; 2].map(|url| balancer.client(&[&curl[..], &[url]].concat()));
        for name in ["backend1\n", "backend2\n"] {
            assert!(answers.iter().any(|answer| answer.starts_with(name)), "{answers:?}");
        }
        let answer = answers[0].to_lowercase();
        assert!(answer.contains(&format!("\nx-forwarded-for: {client}\r\n")), "{answer}");
        assert!(
            answer
                .contains(&format!("\nhost: {}\r\n", url[7..].trim_end_matches('/').trim_end_matches(":80"))),
            "{answer}"
        );

        let resolve = format!("shop.example:443:{vip}");
        let words = ["--resolve", &resolve, "--cacert", &ca, "https://shop.example/?[1-2]"];
        let curl = ["curl", "-sSf", "--max-time", "20"];
        let answer = balancer.client(&[&curl[..], &words].concat()).to_lowercase();
        for line in
            [&format!("x-forwarded-for: {client}"), "x-forwarded-proto: https", "x-forwarded-port: 443"]
        {
            assert_eq!(answer.matches(&format!("\n{line}\r\n")).count(), 2, "{answer}");
        }
        for name in ["backend1\n", "backend2\n"] {
            assert_eq!(answer.matches(name).count(), 1, "{answer}");
        }
        let up = balancer.ask("status")["http"].as_array().unwrap().len();
        assert_eq!(up, 2);
    }
}
