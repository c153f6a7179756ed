//! What a change costs in the engine, before it reaches a map or a socket: one member's weight among 32,767 members in
//! 1,024 pools behind 8,192 listeners, a thousand of those in a row, and the whole configuration from its file.
//!
//! The data path here only notes what it is to serve, so what is measured is checking, flattening, planning, and what
//! Layer 7 makes ready. `cargo xtask bench change` runs it. It needs no root.
#![allow(clippy::unwrap_used, reason = "in a benchmark as in a test, a panic is the report")]

mod format;

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    net::SocketAddr,
    os::fd::BorrowedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use comfy_table::Table;
use evenkeel::{
    config,
    dataplane::{capacity::capacity, error::Error},
    engine::{
        Drafter, Engine,
        front::{Admission, Steering},
        layers::{DataPath, Frontend},
        standings::{MemberHealth, Standings},
        transition::{Desired, Transition},
    },
    health::checker::Checker,
    l7::listeners::Layer7,
};
use format::Format;
use model::{
    check::{Surroundings, check},
    object::{Objects, PoolId, ServerGroupId},
    plan::Change,
    served::{ListenerKey, Served},
    value::{Number, Weight},
};
use serde::Serialize;

/// As many as there may be.
const POOLS: usize = 1024;
const MEMBERS: usize = 32_767;
const LISTENERS: usize = 8192;
/// Listeners of one load balancer, which has one VIP.
const PORTS: usize = 64;
/// Changes in a row.
const CHANGES: usize = 1000;

#[derive(Parser)]
struct Options {
    /// How the figures are printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was measured, milliseconds each.
#[derive(Serialize)]
struct Figures {
    /// One weight: the least, the median and the longest of a thousand.
    one_weight_least: f64,
    one_weight_median: f64,
    one_weight_longest: f64,
    /// A thousand in a row.
    thousand_weights: f64,
    /// The file: read and checked, then drafted and made.
    file_read: f64,
    file_made: f64,
}

/// A data path that notes what it is to serve.
#[derive(Default)]
struct Noted(Served);

impl Steering for Noted {
    type Error = Error;

    fn steer(&mut self, _key: &ListenerKey, _socket: BorrowedFd<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn unsteer(&mut self, _key: &ListenerKey) -> Result<(), Error> {
        Ok(())
    }

    fn admission(&self, _key: &ListenerKey) -> Option<Arc<dyn Admission>> {
        None
    }
}

impl DataPath for Noted {
    type Reason = Error;

    fn served(&self) -> &Served {
        &self.0
    }

    fn remembered(&self) -> Vec<(PoolId, SocketAddr, MemberHealth)> {
        Vec::new()
    }

    async fn prepare(&mut self, _transition: &Transition, _changes: &[Change]) -> Result<(), Error> {
        Ok(())
    }

    async fn apply(
        &mut self,
        _desired: &Desired,
        changes: &[Change],
        _standings: &Standings,
    ) -> Result<(), Error> {
        for change in changes {
            match change.clone() {
                Change::PutPool(id, pool) => drop(self.0.pools.insert(id, pool)),
                Change::RemoveListener(key) => drop(self.0.listeners.remove(&key)),
                Change::RemoveVip(vip) => drop(self.0.vips.remove(&vip)),
                Change::AddVip(vip) => drop(self.0.vips.insert(vip)),
                Change::PutListener(key, listener) => drop(self.0.listeners.insert(key, listener)),
                Change::RemovePool(id) => drop(self.0.pools.remove(&id)),
            }
        }
        Ok(())
    }

    fn note(&mut self, _members: &[(PoolId, SocketAddr)], _standings: &Standings) -> Result<(), Error> {
        Ok(())
    }
}

/// A file as large as may be.
fn file() -> String {
    let mut file = String::from("[host]\ninterfaces = [\"eth0\"]\nlocal_addresses = [\"100.64.0.0/28\"]\n");
    for pool in 0..POOLS {
        writeln!(file, "[[pool]]\nname = \"pool{pool}\"").unwrap();
        for member in (pool..MEMBERS).step_by(POOLS) {
            let [_, _, high, low] = u32::try_from(member).unwrap().to_be_bytes();
            writeln!(file, "[[pool.member]]\naddress = \"10.1.{high}.{low}\"\nport = 80").unwrap();
        }
    }
    for balancer in 0..LISTENERS / PORTS {
        writeln!(file, "[[load_balancer]]\nname = \"lb{balancer}\"\nvip = \"203.0.113.{balancer}\"").unwrap();
        for port in 0..PORTS {
            let pool = (balancer * PORTS + port) % POOLS;
            writeln!(
                file,
                "[[load_balancer.listener]]\nname = \"l{port}\"\nport = {}\npool = \"pool{pool}\"",
                port + 1
            )
            .unwrap();
        }
    }
    file
}

/// The objects with another weight of one member.
fn with_another_weight(objects: &Objects, number: usize) -> Objects {
    let mut objects = objects.clone();
    let group = ServerGroupId::of_names(&[&format!("pool{}", number % POOLS)]);
    let group = objects.server_groups.get_mut(&group).unwrap();
    let member = Arc::make_mut(group).members.values_mut().next().unwrap();
    let weight = Weight::new((u32::from(member.weight.get()) + 1) % 100 + 1).unwrap();
    Arc::make_mut(member).weight = weight;
    objects
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let figures = runtime.block_on(measure());
    match options.output {
        Format::Json => println!("{}", serde_json::to_string_pretty(&figures).unwrap()),
        Format::Table => println!("{}", table(&figures)),
    }
}

async fn measure() -> Figures {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (text, capacity) = (file(), capacity());
    let began = Instant::now();
    let read = config::parse("evenkeel.toml", &text, &capacity).unwrap();
    let file_read = ms(began.elapsed());
    let locals = read.host.local_addresses.clone();
    let desired = Desired { host: read.host, timeouts: read.timeouts, objects: Arc::new(read.objects) };
    let nothing = Desired { objects: Arc::default(), ..desired.clone() };
    let state = tempfile::tempdir().unwrap();
    let layer7 = Layer7::new(state.path().into()).unwrap();
    let (checker, _news) = Checker::new().unwrap();

    let began = Instant::now();
    let draft = Drafter::first(nothing.clone(), layer7.preparer()).draft(desired).unwrap();
    let mut engine = Engine::new(Noted::default(), layer7, nothing, checker);
    engine.change(draft).await.unwrap();
    let file_made = ms(began.elapsed());

    let mut times = Vec::new();
    let (unread, order) = (HashSet::new(), HashMap::new());
    for number in 0..CHANGES {
        let began = Instant::now();
        let now = engine.desired().clone();
        let objects = with_another_weight(&now.objects, number);
        let surroundings = Surroundings {
            local_addresses: &locals,
            capacity: &capacity,
            unread: &unread,
            order: &order,
            before: Some(&now.objects),
        };
        assert_eq!(check(&objects, &surroundings), []);
        let draft = engine.drafter().draft(Desired { objects: Arc::new(objects), ..now }).unwrap();
        assert_eq!(engine.change(draft).await.unwrap(), 1);
        times.push(ms(began.elapsed()));
    }
    let thousand_weights = times.iter().sum();
    times.sort_by(f64::total_cmp);
    Figures {
        one_weight_least: times[0],
        one_weight_median: times[CHANGES / 2],
        one_weight_longest: times[CHANGES - 1],
        thousand_weights,
        file_read,
        file_made,
    }
}

fn table(figures: &Figures) -> Table {
    let mut table = Table::new();
    table.set_header(["change", "ms"]);
    let mut row = |what: &str, ms: f64| {
        table.add_row([what.to_owned(), format!("{ms:.2}")]);
    };
    row("one weight of 32,767, least", figures.one_weight_least);
    row("one weight of 32,767, median", figures.one_weight_median);
    row("one weight of 32,767, longest", figures.one_weight_longest);
    row("a thousand of them in a row", figures.thousand_weights);
    row("the whole file, read and checked", figures.file_read);
    row("the whole file, flattened, planned, made", figures.file_made);
    table
}
