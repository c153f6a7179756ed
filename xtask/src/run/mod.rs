//! `cargo xtask run`.

use anyhow::Result;
use std::{path::Path, process::ExitCode};
/// demo
pub fn demo() -> Result<ExitCode> {
    crate::setup::require_root("run")?;
    crate::setup::ensure(crate::setup::Need::Run)?;
    Ok(ExitCode::SUCCESS)
}
/// host
pub fn on_this_host(_file: &Path) -> Result<ExitCode> {
    demo()
}
