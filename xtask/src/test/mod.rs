//! `cargo xtask test`.

use anyhow::Result;
use std::process::ExitCode;
/// scope
pub enum Scope {
    Host,
    All,
}
/// run
pub fn run(_scope: Scope) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
