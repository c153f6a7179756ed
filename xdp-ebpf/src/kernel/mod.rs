//! The kernel's side of the two traits: packets as the driver hands them over, maps as the kernel keeps them. And
//! `steer`, which has no packets: it finds Layer-7 listeners' sockets. `egress` sees what those send, `not_sent` what the kernel could not, `out_of_line` has the
//! functions of the stages that are verified apart.

pub mod egress;
pub mod maps;
pub mod not_sent;
mod out_of_line;
pub mod packet;
mod route;
mod socket;
pub mod steer;
pub mod tables;

/// Linux's number of IPv4 and of IPv6 (`include/linux/socket.h`).
const AF_INET: u32 = 2;
/// See [`AF_INET`].
const AF_INET6: u32 = 10;
