//! The kernel's side of the two traits: packets as the driver hands them over, maps as the kernel keeps them.

pub mod maps;
pub mod packet;
mod route;
pub mod tables;
