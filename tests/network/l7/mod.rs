//! HTTP and HTTPS listeners with real clients and servers.

mod access;
mod answers;
mod autobahn;
mod behind;
mod bodies;
mod calls;
pub mod certificates;
mod changes;
mod differential;
mod drips;
mod dying;
mod echo;
mod failures;
mod families;
mod frames;
mod grpc;
mod guard;
mod h2spec;
mod http2;
mod kept;
mod limits;
mod log;
mod memory;
mod path;
mod policies;
mod readers;
mod relay;
mod requests;
mod routing;
pub mod script;
mod secrets;
mod stay;
mod strict;
mod tls;
mod uploads;

use testbed::Process;

use crate::{
    balancer::{Balancer, Settings},
    servers,
};

/// One HTTP listener in front of so many backends.
fn http(backends: usize) -> Settings {
    Settings {
        weights: vec![1; backends],
        protocol: "http",
        idle_timeout: "60s",
        pool: "protocol = \"http\"",
        ..Settings::default()
    }
}

/// nginx on each backend.
fn nginx(balancer: &Balancer, directory: &std::path::Path) -> Vec<Process> {
    servers::nginx_on_each(&balancer.network.backends, directory)
}
