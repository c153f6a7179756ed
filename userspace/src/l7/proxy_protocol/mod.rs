//! The PROXY protocol, versions 1 and 2: a header before everything else on a connection that says who the client is.
//! `receive` takes it from other balancers in front, `send` gives it to members.

#[cfg(test)]
mod fuzz;
mod receive;
mod send;
#[cfg(test)]
mod tests;

pub use self::{receive::receive, send::introduce};
