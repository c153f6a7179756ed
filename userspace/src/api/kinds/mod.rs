//! What is known of objects of each kind; what can be done with them is in [`super::resources`].

pub mod health_monitor;
pub mod listener;
pub mod load_balancer;
pub mod member;
pub mod pool;

use self::{
    health_monitor::HealthMonitor, listener::Listener, load_balancer::LoadBalancer, member::Member,
    pool::Pool,
};
use super::record::{Kind, kind};

/// Every kind that a store may have.
pub const ALL: [Kind; 5] =
    [kind::<LoadBalancer>(), kind::<Listener>(), kind::<Pool>(), kind::<Member>(), kind::<HealthMonitor>()];
