//! What is seen of a step while it runs: a bar on a terminal, elsewhere a line now and then.

use std::{
    io::{self, IsTerminal},
    sync::{Mutex, PoisonError, mpsc::Receiver, mpsc::RecvTimeoutError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{BARS, count::Count, line, seconds};

/// What ends sooner is not worth a word.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How often a bar is drawn, and how often a line is printed where there is no terminal.
const REDRAW: Duration = Duration::from_millis(120);
const REPRINT: Duration = Duration::from_secs(30);

const BAR: &str = "{prefix:>14}  {msg} [{bar:30}] {pos}/{len} {elapsed}";
const SPINNER: &str = "{prefix:>14}  {msg} {spinner} {elapsed}";

/// Shows a step until the sender of `ended` is gone.
pub fn show(what: &str, message: &str, count: &Mutex<Count>, ended: &Receiver<()>) {
    let start = Instant::now();
    if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let now = || *count.lock().unwrap_or_else(PoisonError::into_inner);
    if !io::stderr().is_terminal() {
        line(what, message);
        while ended.recv_timeout(REPRINT) == Err(RecvTimeoutError::Timeout) {
            let elapsed = seconds(start.elapsed());
            line("", format_args!("{}, {elapsed}", plain(message, now())));
        }
        return;
    }
    let bar = BARS.add(ProgressBar::new_spinner().with_elapsed(start.elapsed()));
    bar.set_prefix(what.to_owned());
    loop {
        draw(&bar, message, now());
        if ended.recv_timeout(REDRAW) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    bar.finish_and_clear();
    BARS.remove(&bar);
}

fn draw(bar: &ProgressBar, message: &str, count: Count) {
    // Tests run when everything is built.
    let is_building = count.units > 0 && count.passed == 0;
    if is_building {
        bar.set_length(count.units);
        bar.set_position(count.built);
    }
    if let Ok(style) = ProgressStyle::with_template(if is_building { BAR } else { SPINNER }) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(if is_building { message.to_owned() } else { plain(message, count) });
    bar.tick();
}

fn plain(message: &str, count: Count) -> String {
    match count {
        Count { passed: 0, units: 0, .. } => message.to_owned(),
        Count { passed: 0, built, units } => format!("{message}: {built} of {units} built"),
        Count { passed, .. } => format!("{message}: {passed} passed"),
    }
}
