//! The control plane, driven by clients of Octavia and by plain HTTP.

mod certificates;
mod document;
mod killed;
mod openstack;
mod policies;
mod whitelists;

use serde_json::Value;

use crate::balancer::{Balancer, Settings};

/// Where the API listens, in the balancer's namespace.
const URL: &str = "http://127.0.0.1:9876";

/// A balancer with one backend for each weight, and with an API.
fn with_api(weights: &[u16]) -> Settings {
    let api = "[api]\nlisten = \"127.0.0.1:9876\"\n[[api.vip_pool]]\nname = \"public\"\naddresses = \"203.0.113.64/27\"";
    Settings { api: api.into(), weights: weights.to_vec(), ..Settings::default() }
}

/// What a request is answered: status and body.
fn ask(balancer: &Balancer, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let url = format!("{URL}{path}");
    let mut words = vec!["curl", "-s", "-X", method, "-w", "\n%{http_code}", &url];
    let text = body.map(ToString::to_string);
    if let Some(text) = &text {
        words.extend(["-H", "Content-Type: application/json", "-d", text]);
    }
    let said = balancer.network.balancer.run(&words).unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}
