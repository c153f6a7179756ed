//! What is known of objects of each kind; what can be done with them is in [`super::resources`].

pub mod certificate;
pub mod health_monitor;
pub mod l7_policy;
pub mod l7_rule;
pub mod listener;
pub mod listener_tls;
pub mod load_balancer;
pub mod member;
pub mod pool;
pub mod quota;
pub mod whitelist;

use self::{
    certificate::Certificate, health_monitor::HealthMonitor, l7_policy::L7Policy, l7_rule::L7Rule,
    listener::Listener, load_balancer::LoadBalancer, member::Member, pool::Pool, quota::Quota,
    whitelist::Whitelist,
};
use super::record::{Kind, kind};

/// Every kind that a store may have.
pub const ALL: [Kind; 10] = [
    kind::<LoadBalancer>(),
    kind::<Listener>(),
    kind::<L7Policy>(),
    kind::<L7Rule>(),
    kind::<Pool>(),
    kind::<Member>(),
    kind::<HealthMonitor>(),
    kind::<Certificate>(),
    kind::<Whitelist>(),
    kind::<Quota>(),
];
