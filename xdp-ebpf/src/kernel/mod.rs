//! The kernel's side of the two traits: packets as the driver hands them over, maps as the kernel keeps them. And
//! `steer`, which has no packets: it finds Layer-7 listeners' sockets. `egress` sees what those send, `out_of_line` has the
//! functions of the stages that are verified apart.

pub mod egress;
pub mod maps;
mod out_of_line;
pub mod packet;
mod route;
pub mod steer;
pub mod tables;
