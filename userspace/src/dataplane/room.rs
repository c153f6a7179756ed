//! What a map has no room for, in words; and how much room a pool takes. `prepare` looks for it, `apply` takes it.

use model::{schedule, served::Pool};
use xdp_ebpf::abi::map;

use super::error::{Error, Result};

/// What to do about a change that finds none.
const LATER: &str = "what was removed earlier is there until its last session has ended: try again later";

/// A map has no room for this many more.
pub fn no_room(map: &'static str, wanted: usize, what: impl Into<String>) -> Error {
    Error::NoRoom { map, what: what.into(), wanted: wanted as u64, remedy: LATER }
}

/// `ek_slot` has no room for the block of a pool.
pub fn no_slots(pool: &Pool, count: u32) -> Error {
    Error::NoRoom {
        map: map::SLOT,
        what: format!("slots, as many as the weights of pool {:?} take", pool.name.as_str()),
        wanted: count.into(),
        remedy: "others rest that were changed a moment ago: try again in some seconds",
    }
}

/// The length of a pool's block while all its members are up.
///
/// # Errors
/// It is more than a number of 32 bits; the model lets no such pool through.
pub fn slots(pool: &Pool) -> Result<u32> {
    let weights: Vec<u16> = pool.members.values().map(|member| member.weight.get()).collect();
    Ok(u32::try_from(schedule::slots(&pool.algorithm, &weights))?)
}
