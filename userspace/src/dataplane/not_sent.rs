//! Frames that the kernel could not send after XDP's verdict: puts the program that counts them (`ek_redirect_err`) on the
//! tracepoint `xdp_redirect_err`. Its link is pinned, so it counts also while no daemon runs.

use std::fs;

use aya::programs::{RawTracePoint, links::FdLink};
use evenkeel_loader::refusal::one_line;
use xdp_ebpf::abi::map;

use super::{load::Programs, pins::PinDir, tables::Tables, unfinished::Unfinished};
use crate::dataplane::error::{Context, Error, Result};

const TRACEPOINT: &str = "xdp_redirect_err";

/// Attaches the program. A kernel that refuses it is told of, and all else goes on without.
///
/// # Errors
/// Pins cannot be written.
pub fn attach(
    programs: &mut Programs,
    tables: &Tables,
    pins: &PinDir,
    unfinished: &mut Unfinished,
) -> Result<()> {
    tables.config()?.device_map().set(pins.map_info(map::DEVICE)?.id());
    let link = match put(programs.not_sent()?) {
        Ok(link) => link,
        Err(error) => {
            tracing::warn!(
                "frames that this kernel cannot send are not counted, since it takes no program at {TRACEPOINT}: {}",
                one_line(&error)
            );
            return Ok(());
        }
    };
    let (path, new) = (pins.not_sent(), pins.next_not_sent());
    pins.remove_pin(&new)?;
    link.pin(&new).map_err(|error| Error::Unfit(format!("cannot pin {}: {error}", new.display())))?;
    if !path.exists() {
        unfinished.add(path.clone());
    }
    fs::rename(&new, &path).with_context(|| format!("cannot put {} into place", path.display()))
}

fn put(program: &mut RawTracePoint) -> Result<FdLink> {
    program.load()?;
    let id = program.attach(TRACEPOINT)?;
    Ok(program.take_link(id)?.into())
}
