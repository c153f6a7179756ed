//! `[timeouts]`: how long a session may rest in each state.

use std::time::Duration;

use super::{
    document::{Shape, Table},
    scalar,
};
use crate::host::Timeouts;

const TIMEOUTS: Shape = Shape {
    path: "timeouts",
    keys: &["syn_recv", "fin_wait", "time_wait", "close", "close_wait", "last_ack", "udp_one_way"],
};

pub(super) fn read(file: &Table<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let Some(table) = file.table("timeouts", &TIMEOUTS) else { return timeouts };
    let set = |timeout: &mut Duration, key| {
        if let Some(duration) = table.get(key).and_then(scalar::duration) {
            *timeout = duration;
        }
    };
    set(&mut timeouts.syn_recv, "syn_recv");
    set(&mut timeouts.fin_wait, "fin_wait");
    set(&mut timeouts.time_wait, "time_wait");
    set(&mut timeouts.close, "close");
    set(&mut timeouts.close_wait, "close_wait");
    set(&mut timeouts.last_ack, "last_ack");
    set(&mut timeouts.udp_one_way, "udp_one_way");
    timeouts
}
