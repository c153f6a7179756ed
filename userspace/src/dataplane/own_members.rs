//! Members that are this host itself. A Layer-4 listener's packets are sent out of an interface, so they never get to a
//! socket of this host, while a health check does, and says "up". An HTTP pool's members are spoken to by the host's own
//! stack, which reaches itself.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use model::{plan::Change, served::Pool, value::Name};

use super::error::{Result, unfit};

/// Looks whether members that come are other hosts; `own` are this host's addresses.
///
/// # Errors
/// One is not.
pub fn refuse(changes: &[Change], own: &BTreeSet<IpAddr>) -> Result<()> {
    let pools = changes.iter().filter_map(|change| match change {
        Change::PutPool(_, pool) => Some(&**pool),
        _ => None,
    });
    match pools.flat_map(|pool| of(pool, own)).next() {
        Some((pool, member)) => unfit!("{}", line(pool, member)),
        None => Ok(()),
    }
}

/// Those that are known.
#[derive(Default)]
pub struct OwnMembers(BTreeSet<SocketAddr>);

impl OwnMembers {
    /// Warns of members that have become this host.
    pub fn look<'a>(&mut self, pools: impl Iterator<Item = &'a Pool>, own: &BTreeSet<IpAddr>) {
        let mut now = BTreeSet::new();
        for (pool, member) in pools.flat_map(|pool| of(pool, own)) {
            if now.insert(member) && !self.0.contains(&member) {
                tracing::warn!("{}", line(pool, member));
            }
        }
        self.0 = now;
    }
}

fn of<'a>(pool: &'a Pool, own: &BTreeSet<IpAddr>) -> impl Iterator<Item = (&'a Name, SocketAddr)> {
    let members = pool.members.keys().filter(|member| pool.http.is_none() && own.contains(&member.ip()));
    members.map(|member| (&pool.name, *member))
}

fn line(pool: &Name, member: SocketAddr) -> String {
    format!(
        "pool {:?}: member {member} is an address of this host (`ip address show to {}`), which a TCP or UDP listener's packets do not reach: use another host's, or serve it by an HTTP listener",
        pool.as_str(),
        member.ip()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{
        object::PoolId,
        served::{HttpPool, Member},
        value::Weight,
    };

    use super::*;

    #[test]
    fn only_layer_4_cannot_reach_its_own_host() {
        let address: SocketAddr = "192.0.2.1:8080".parse().unwrap();
        let member = Member { weight: Weight::literal(1), backup: false, checked_at: address };
        let pool = |http| Pool { members: [(address, member)].into(), http, ..Pool::default() };
        let put = |http| [Change::PutPool(PoolId::of_names(&["web"]), Arc::new(pool(http)))];
        let own = |text: &str| BTreeSet::from([text.parse().unwrap()]);
        let refusal = refuse(&put(None), &own("192.0.2.1")).unwrap_err().to_string();
        assert!(refusal.contains("member 192.0.2.1:8080 is an address of this host"), "{refusal}");
        assert!(refuse(&put(None), &own("192.0.2.2")).is_ok());
        assert!(refuse(&put(Some(HttpPool::default())), &own("192.0.2.1")).is_ok());
    }
}
