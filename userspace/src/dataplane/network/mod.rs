//! What the data path needs of the host's own network.
//!
//! ```text
//! owned       the kernel answers ARP and NDP for VIPs and local addresses
//!   → routes    of IPv4, by local routes
//!   → addresses of IPv6, by addresses on the interfaces      (local_table: what it takes for its own)
//!   → announce  and the neighbours hear of them
//! neighbours  the next hops towards the backends stay resolved
//!   → gateways  and the gateways to clients
//! interfaces  what XDP sits on       (interface: one of them)
//!   → vlan      of a VLAN device, the wire's own
//! monitor     word of every change that makes a known next hop wrong
//! ```

pub mod addresses;
pub mod announce;
pub mod gateways;
pub mod interface;
pub mod interfaces;
pub mod local_table;
pub mod monitor;
pub mod neighbours;
pub mod owned;
pub mod routes;
pub mod vlan;

use std::{fs, io::ErrorKind};

use rtnetlink::Handle;

use crate::dataplane::error::{Context, Result};

/// Marks the routes, addresses and neighbours that are ours, so that we can tell them from others' and remove stale
/// ones (`ip route show table local proto 139`). Free in `/etc/iproute2/rt_protos`.
pub const PROTOCOL: u8 = 139;

/// The index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;

/// Opens a netlink connection, on which the kernel lists only what is asked for; its messages are moved by a task of the
/// current tokio runtime.
///
/// # Errors
/// The socket cannot be made.
pub fn connect() -> Result<Handle> {
    let (connection, handle, _) =
        rtnetlink::new_connection_with_strict_check().context("cannot open a netlink socket")?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Lets the data path look up routes as for packets that come from `lo`, so that forwarding stays off on the real
/// interfaces: the kernel's route lookup for XDP answers only for interfaces that forward. Returns the switches that were
/// off, as `sysctl` knows them: turning `net.ipv4.ip_forward` off turns them off, too.
///
/// # Errors
/// A switch cannot be set.
pub fn let_lookups_start_at_lo() -> Result<Vec<&'static str>> {
    let mut were_off = Vec::new();
    for switch in ["net.ipv4.conf.lo.forwarding", "net.ipv6.conf.lo.forwarding"] {
        let path = format!("/proc/sys/{}", switch.replace('.', "/"));
        match fs::read_to_string(&path) {
            Ok(value) if value.trim() != "0" => continue,
            // A kernel without this family.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            _ => {}
        }
        fs::write(&path, "1").with_context(|| {
            format!(
                "new sessions find no route (drop_no_route), and `sysctl -w {switch}=1` is not allowed here"
            )
        })?;
        were_off.push(switch);
    }
    Ok(were_off)
}

/// The kernel's reason, without the rest of a netlink message.
fn reason(error: &rtnetlink::Error) -> String {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().to_string(),
        error => error.to_string(),
    }
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().raw_os_error(),
        _ => None,
    }
}
