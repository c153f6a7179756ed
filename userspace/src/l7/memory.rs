//! Memory that requests have had goes back to the kernel soon after them. What a thread frees its allocator keeps for that
//! thread's next request, and looks at what it could give back only while it is asked for more: after a rush it would keep
//! nearly all of it, for as long as it is quiet.
#![allow(unsafe_code, reason = "tells both allocators to collect")]

use std::time::Duration;

use tokio::{runtime::Handle, time::sleep};

/// How often it is looked at whether there is less to do.
const STEP: Duration = Duration::from_secs(1);

/// How often it is done then: some of what went takes a while to end.
const TIMES: u32 = 4;
/// Fewer tasks than this are worth nothing, unless they are half of all.
const FEW: usize = 16;

/// Gives back what the thread of this runtime has freed, each time when an eighth of its tasks have gone: connections,
/// streams, and those that watch the connections to members that are kept, which may be more than all others. While as
/// many come as go, nothing is done.
pub(super) async fn give_back() {
    let runtime = Handle::current();
    let (mut most, mut times) = (0, 0);
    loop {
        sleep(STEP).await;
        let now = runtime.metrics().num_alive_tasks();
        most = most.max(now);
        if now < most.div_ceil(2) || most - now > FEW.max(most / 8) {
            (most, times) = (now, TIMES);
        }
        if times > 0 {
            times -= 1;
            // SAFETY: it concerns what was freed, which nobody may use any more.
            unsafe {
                libmimalloc_sys::mi_collect(true);
                // That of OpenSSL.
                libc::malloc_trim(0);
            }
        }
    }
}
