//! Changes that are made ready, made and taken back.

use std::{net::Ipv4Addr, os::fd::BorrowedFd};

use model::{
    edge::{AccessLog, LogFormat},
    host::{Host, Timeouts},
    plan::plan,
    value::{LogPath, Name, Port},
};

use super::*;
use crate::{
    engine::{front::Admission, transition::Desired},
    l7::fixture::{EdgeSettings, Settings, served},
};

/// From nothing to this.
fn first(after: Served) -> Transition {
    let before = Arc::<Served>::default();
    Transition {
        desired: Desired { host: Host::default(), timeouts: Timeouts::default(), objects: Arc::default() },
        changes: plan(&before, &after),
        before,
        after: Arc::new(after),
    }
}

/// Has nothing steered anywhere.
struct Nowhere;

impl Steering for Nowhere {
    type Error = std::io::Error;

    fn steer(&mut self, _: &ListenerKey, _: BorrowedFd<'_>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn unsteer(&mut self, _: &ListenerKey) -> Result<(), Self::Error> {
        Ok(())
    }

    fn admission(&self, _: &ListenerKey) -> Option<Arc<dyn Admission>> {
        None
    }
}

#[tokio::test]
async fn a_listener_has_its_new_name_when_the_change_is_made_and_not_if_it_is_taken_back() {
    let state = tempfile::tempdir().unwrap();
    let mut layer7 = Layer7::new(state.path().into()).unwrap();
    let named = |name: &str| {
        let mut served = served((Ipv4Addr::LOCALHOST, 1).into(), &Settings::default());
        for listener in served.listeners.values_mut() {
            Arc::make_mut(listener).name = Name::new(name).unwrap();
        }
        served
    };
    let name = |layer7: &Layer7| layer7.metrics().rows().remove(0).name;
    let prepared = layer7.preparer().prepare(&first(named("old"))).unwrap();
    let applied = layer7.apply(prepared, &mut Nowhere).unwrap();
    layer7.commit(applied, &Standings::default(), &mut Nowhere);
    let prepared = layer7.preparer().prepare(&first(named("new"))).unwrap();
    assert_eq!(name(&layer7), "old");
    let applied = layer7.apply(prepared, &mut Nowhere).unwrap();
    assert_eq!(name(&layer7), "new");
    layer7.undo(applied, &mut Nowhere);
    assert_eq!(name(&layer7), "old");
}

/// Makes a change as the engine does.
fn make(layer7: &mut Layer7, transition: &Transition) {
    let prepared = layer7.preparer().prepare(transition).unwrap();
    let applied = layer7.apply(prepared, &mut Nowhere).unwrap();
    layer7.commit(applied, &Standings::default(), &mut Nowhere);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_was_removed_twice_has_drained_when_both_have() {
    let state = tempfile::tempdir().unwrap();
    let mut layer7 = Layer7::new(state.path().into()).unwrap();
    let there = first(served((Ipv4Addr::LOCALHOST, 1).into(), &Settings::default()));
    let key = *there.after.listeners.keys().next().unwrap();
    let gone = Transition { changes: vec![Change::RemoveListener(key)], ..there.clone() };
    make(&mut layer7, &there);
    make(&mut layer7, &gone);
    while !layer7.draining[0].task.is_finished() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    make(&mut layer7, &there);
    make(&mut layer7, &gone);
    assert_eq!(layer7.drained(), [], "the second one still drains");
    while !layer7.draining[0].task.is_finished() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(layer7.drained(), [key]);
    assert_eq!(layer7.drained(), []);
}

/// Refuses to steer to one of the listeners.
struct Refusing(ListenerKey, BTreeSet<ListenerKey>);

impl Steering for Refusing {
    type Error = std::io::Error;

    fn steer(&mut self, key: &ListenerKey, _: BorrowedFd<'_>) -> Result<(), Self::Error> {
        if *key == self.0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.1.insert(*key);
        Ok(())
    }

    fn unsteer(&mut self, key: &ListenerKey) -> Result<(), Self::Error> {
        self.1.remove(key);
        Ok(())
    }

    fn admission(&self, _: &ListenerKey) -> Option<Arc<dyn Admission>> {
        None
    }
}

#[tokio::test]
async fn a_listener_that_cannot_be_steered_to_takes_the_whole_change_back() {
    let state = tempfile::tempdir().unwrap();
    let mut layer7 = Layer7::new(state.path().into()).unwrap();
    let mut all = served((Ipv4Addr::LOCALHOST, 1).into(), &Settings::default());
    let (first_key, listener) = all.listeners.pop_first().unwrap();
    let keys = [1, 2, 3].map(|port| ListenerKey { port: Port::literal(port), ..first_key });
    let with = |keys: &[ListenerKey]| {
        let mut served = all.clone();
        served.listeners.extend(keys.iter().map(|key| (*key, listener.clone())));
        served
    };
    make(&mut layer7, &first(with(&keys[..1])));
    let pools = layer7.pools.load_full();
    let mut refusing = Refusing(keys[2], BTreeSet::from([keys[0]]));
    let before = Arc::new(with(&keys[..1]));
    let after = with(&keys);
    let more = Transition {
        changes: plan(&before, &after),
        before,
        after: Arc::new(after),
        ..first(Served::default())
    };
    let prepared = layer7.preparer().prepare(&more).unwrap();
    let Err(Error::Steering { key, .. }) = layer7.apply(prepared, &mut refusing) else {
        panic!("nothing was refused")
    };
    assert_eq!(key, keys[2]);
    assert_eq!(refusing.1, BTreeSet::from([keys[0]]), "only the one from before is steered to");
    assert!(layer7.listeners.keys().eq(&keys[..1]));
    assert!(Arc::ptr_eq(&pools, &layer7.pools.load_full()));
    // What was refused can be asked for again.
    make(&mut layer7, &more);
    assert!(layer7.listeners.keys().eq(&keys));
}

#[test]
fn a_change_that_cannot_be_made_leaves_no_counters() {
    let state = tempfile::tempdir().unwrap();
    let layer7 = Layer7::new(state.path().into()).unwrap();
    let rows = || layer7.metrics().rows().len();
    let with_log = |directory: &Path| {
        let path = LogPath::new(directory.join("log").to_str().unwrap()).unwrap();
        let log = Some(AccessLog { path, format: LogFormat::Line });
        let edge = EdgeSettings { log, ..EdgeSettings::default() };
        served((Ipv4Addr::LOCALHOST, 1).into(), &Settings { edge, ..Settings::default() })
    };
    let good = with_log(state.path());
    let prepared = layer7.preparer().prepare(&first(good.clone())).unwrap();
    assert_eq!(rows(), 1);
    drop(prepared);
    // The good one comes first.
    let mut both = good;
    let bad = with_log(&state.path().join("none")).listeners;
    let elsewhere = |(key, listener)| (ListenerKey { port: Port::literal(81), ..key }, listener);
    both.listeners.extend(bad.into_iter().map(elsewhere));
    assert!(layer7.preparer().prepare(&first(both)).is_err());
    assert_eq!(rows(), 0);
}
