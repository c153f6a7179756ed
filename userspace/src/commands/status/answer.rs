//! What `evenkeel status` shows, and which part of it.

use clap::Args;
use evenkeel::{dataplane::totals::Status, l7::metrics::ListenerRow};
use serde::Serialize;

/// All that is shown.
#[derive(Serialize)]
pub struct Answer {
    /// What the maps say.
    #[serde(flatten)]
    pub status: Status,
    /// What HTTP listeners have counted; nothing if no daemon runs.
    pub http: Option<Vec<ListenerRow>>,
    /// What keeps the daemon from doing all that it has to; nothing if all is well.
    pub problem: Option<String>,
}

/// What of it is asked for.
#[derive(Args)]
pub struct Filter {
    /// Only this load balancer, its listeners and their pools.
    #[arg(long, value_name = "NAME")]
    pub load_balancer: Option<String>,
    /// Only listeners with this name, and their pools.
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// Only this pool, and listeners that have it.
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
}

impl Filter {
    /// Leaves of it what is asked for.
    pub fn apply(&self, Answer { status, http, .. }: &mut Answer) {
        let is = |wanted: &Option<String>, name: &String| wanted.as_ref().is_none_or(|wanted| wanted == name);
        let (Status { load_balancers, listeners, pools, .. }, mut none) = (status, Vec::new());
        let http = http.as_mut().unwrap_or(&mut none);
        let of_http = |row: &ListenerRow, pool: &String| row.pools.contains(pool);
        let http_pools = |row: &ListenerRow| self.pool.as_ref().is_none_or(|pool| of_http(row, pool));
        http.retain(|row| {
            is(&self.load_balancer, &row.load_balancer) && is(&self.listener, &row.name) && http_pools(row)
        });
        let is_http = |load_balancer: &String, name: &String| {
            http.iter().any(|row| row.load_balancer == *load_balancer && row.name == *name)
        };
        listeners.retain(|row| {
            is(&self.load_balancer, &row.load_balancer)
                && is(&self.listener, &row.name)
                && (is(&self.pool, &row.pool) || is_http(&row.load_balancer, &row.name))
        });
        load_balancers.retain(|row| listeners.iter().any(|listener| listener.load_balancer == row.name));
        if self.load_balancer.is_some() || self.listener.is_some() {
            pools.retain(|pool| {
                listeners.iter().any(|row| row.pool == pool.name)
                    || http.iter().any(|row| of_http(row, &pool.name))
            });
        }
        pools.retain(|pool| is(&self.pool, &pool.name));
    }
}
