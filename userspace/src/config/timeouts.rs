//! `[timeouts]`: how long a session may rest in each state.

use model::host::Timeouts;

use super::{
    document::{Shape, Table},
    scalar::set,
};

pub(super) const TIMEOUTS: Shape = Shape {
    path: "timeouts",
    keys: &["syn_recv", "fin_wait", "time_wait", "close", "close_wait", "last_ack", "udp_one_way"],
};

pub(super) fn read(file: &Table<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let Some(table) = file.table("timeouts", &TIMEOUTS) else { return timeouts };
    set(&table, "syn_recv", &mut timeouts.syn_recv);
    set(&table, "fin_wait", &mut timeouts.fin_wait);
    set(&table, "time_wait", &mut timeouts.time_wait);
    set(&table, "close", &mut timeouts.close);
    set(&table, "close_wait", &mut timeouts.close_wait);
    set(&table, "last_ack", &mut timeouts.last_ack);
    set(&table, "udp_one_way", &mut timeouts.udp_one_way);
    timeouts
}
