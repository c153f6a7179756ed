//! Waiting for a condition, with a deadline.

use std::{
    env,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// How many times as long as elsewhere everything may take: `TESTBED_PATIENCE`, in a guest whose processor is emulated.
static PATIENCE: LazyLock<u32> = LazyLock::new(|| {
    let patience = env::var("TESTBED_PATIENCE").ok();
    patience.and_then(|patience| patience.parse().ok()).unwrap_or(1)
});

/// Waits until `condition` holds; `what` names it in the error.
///
/// # Errors
/// If it does not hold within `deadline`.
pub fn wait_for(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = deadline * *PATIENCE;
    let end = Instant::now() + deadline;
    while !condition() {
        if Instant::now() >= end {
            bail!("waited {deadline:?} in vain for {what}");
        }
        thread::sleep(INTERVAL);
    }
    Ok(())
}
