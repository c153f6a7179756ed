//! Host and kernel agree: the program does to every packet what the same code does on the host, where properties
//! and etherparse have proved it right.

use std::{cell::RefCell, net::IpAddr};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use testbed::cases::{Case, Cast, Side, Step, cases};
use xdp_ebpf::{
    host::{HostPacket, HostTables},
    pipeline,
    verdict::{Action, Event, Outcome},
};

use crate::kernel::{Fate, Kernel};

fn on_host(tables: &HostTables, step: &Step) -> Fate {
    let ingress = tables.interfaces[step.side as usize].index;
    let mut packet = HostPacket::new(&step.frame, 224, ingress);
    let action = match pipeline::process(&mut packet, tables) {
        Outcome::Tx => Action::Tx,
        Outcome::Redirect(_) => Action::Redirect,
        Outcome::Tag(_) | Outcome::Reply => panic!("not yet at its end"),
        Outcome::Stop(event) => event.action(),
    };
    (action as u32, packet.frame().to_vec())
}

/// The table by all casts.
fn all_cases() -> Vec<Case> {
    Cast::ALL.into_iter().flat_map(cases).collect()
}

/// Runs the steps in both worlds and compares fates, frames and counters.
fn assert_agreement(kernel: &mut Kernel, what: &str, steps: &[Step]) {
    let host = kernel.reset();
    let before = kernel.counters();
    for (n, step) in steps.iter().enumerate() {
        assert_eq!(kernel.run(step.side, &step.frame), on_host(&host, step), "{what}, step {n}");
    }
    let after = kernel.counters();
    for (event, (before, after)) in Event::ALL.iter().zip(before.into_iter().zip(after)) {
        // The interfaces are real, and the hosts behind them talk ARP, IPv6 and IGMP whenever they like.
        if matches!(event, Event::PassNotIp | Event::PassNotOurs) {
            continue;
        }
        assert_eq!(after - before, host.counted(*event), "{what}: {}", event.name());
    }
}

#[test]
fn every_case_of_the_table() {
    let mut kernel = Kernel::new();
    for case in all_cases() {
        assert_agreement(&mut kernel, case.what, &case.steps);
    }
}

#[test]
fn truncated_frames() {
    let mut kernel = Kernel::new();
    for case in all_cases().into_iter().step_by(5) {
        let last = case.steps.last().unwrap();
        // A test run takes no frame that is shorter than an Ethernet header.
        for length in 14..last.frame.len().min(120) {
            let mut steps = case.steps.clone();
            steps.last_mut().unwrap().frame.truncate(length);
            assert_agreement(&mut kernel, &format!("{} cut to {length}", case.what), &steps);
        }
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn rubbish() {
    let kernel = RefCell::new(Kernel::new());
    let bytes = (
        prop::collection::vec(any::<u8>(), 54..200),
        prop::sample::select(Cast::ALL.to_vec()),
        0..3u8,
        prop::sample::select(vec![6, 17, 1, 58, 0, 43, 44, 60]),
        prop_oneof![Just(Side::Front), Just(Side::Back)],
    );
    let outcome = runner(2000).run(&bytes, |(mut frame, cast, aim, protocol, side)| {
        let destination = if aim == 1 { cast.local.ip() } else { cast.vip.ip() };
        let length = frame.len() as u16 - 14;
        match destination {
            IpAddr::V4(destination) => {
                frame[12..14].copy_from_slice(&[8, 0]);
                if aim > 0 {
                    frame[14] = 0x45;
                    frame[16..18].copy_from_slice(&length.to_be_bytes());
                    frame[20..22].copy_from_slice(&[0, 0]);
                    frame[23] = protocol;
                    frame[30..34].copy_from_slice(&destination.octets());
                }
            }
            IpAddr::V6(destination) => {
                frame[12..14].copy_from_slice(&[0x86, 0xDD]);
                if aim > 0 {
                    frame[14] = 0x60;
                    frame[18..20].copy_from_slice(&(length - 40).to_be_bytes());
                    frame[20] = protocol;
                    frame[38..54].copy_from_slice(&destination.octets());
                }
            }
        }
        assert_agreement(&mut kernel.borrow_mut(), "rubbish", &[Step { side, frame, verdict: "any" }]);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn flipped_bytes() {
    let kernel = RefCell::new(Kernel::new());
    let flips = (
        prop::sample::select(all_cases()),
        prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()),
            1..6,
        ),
    );
    let outcome = runner(4000).run(&flips, |(case, flips)| {
        let mut steps = case.steps;
        for (step, at, value) in flips {
            let frame = &mut step.get_mut(&mut steps).frame;
            let at = at.index(frame.len());
            // The kernel's routes know a whole network of clients, the host's one client.
            let is_tag = |word: &&[u8]| matches!(word[..], [0x81, 0, ..] | [0x88, 0xA8, ..]);
            let ip = 14 + 4 * frame[12..].chunks(4).take_while(is_tag).count();
            let source = if frame.get(ip - 2) == Some(&8) { ip + 12..ip + 16 } else { ip + 8..ip + 24 };
            if !source.contains(&at) {
                frame[at] = value;
            }
        }
        assert_agreement(&mut kernel.borrow_mut(), case.what, &steps);
        Ok(())
    });
    outcome.unwrap();
}
