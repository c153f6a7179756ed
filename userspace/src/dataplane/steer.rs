//! Connections to Layer-7 listeners reach sockets that nothing has bound to a VIP: the program `ek_steer` finds them in
//! `ek_socket`, where this file puts them. `l7/listen` makes the sockets.

use std::{
    fs::{self, File},
    os::fd::{AsFd, AsRawFd},
};

use aya::{
    maps::{MapData, MapError, SockHash},
    programs::{SkLookup, links::FdLink},
};
use model::served::ListenerKey;
use nix::errno::Errno;
use xdp_ebpf::abi::Service;

use super::{pins::PinDir, registry::service, unfinished::Unfinished};
use crate::dataplane::error::{Context, Error, Result};

/// Attaches the program to this network namespace; there is no moment without one, if an earlier process has left one.
///
/// # Errors
/// The kernel refuses.
pub fn attach(program: &mut SkLookup, pins: &PinDir, unfinished: &mut Unfinished) -> Result<()> {
    let namespace = File::open("/proc/self/ns/net").context("cannot open this network namespace")?;
    let id = program.attach(namespace).context("cannot attach the program for sockets")?;
    let link = FdLink::from(program.take_link(id)?);
    let (path, new) = (pins.steering(), pins.next_steering());
    pins.remove_pin(&new)?;
    link.pin(&new).map_err(|error| Error::Unfit(format!("cannot pin {}: {error}", new.display())))?;
    if !path.exists() {
        unfinished.add(path.clone());
    }
    fs::rename(&new, &path).with_context(|| format!("cannot put {} into place", path.display()))
}

/// Lets connections to a listener reach `socket`, which listens, from now on; in place of another, if there is one.
///
/// # Errors
/// The map is full.
pub fn put(sockets: &mut SockHash<MapData, Service>, key: &ListenerKey, socket: impl AsFd) -> Result<()> {
    let socket = socket.as_fd().as_raw_fd();
    sockets.insert(service(key), socket, 0).with_context(|| format!("ek_socket: {} {}", key.vip, key.port))
}

/// Lets no more connections reach the listener's socket.
///
/// # Errors
/// The kernel refuses.
pub fn remove(sockets: &mut SockHash<MapData, Service>, key: &ListenerKey) -> Result<()> {
    match sockets.remove(&service(key)) {
        // The kernel takes sockets out that were closed.
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(call)) if call.io_error.raw_os_error() == Some(Errno::ENOENT as i32) => {
            Ok(())
        }
        removed => removed.with_context(|| format!("ek_socket: {} {}", key.vip, key.port)),
    }
}
