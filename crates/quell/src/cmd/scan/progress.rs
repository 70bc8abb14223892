//! One line on a terminal that says how far the scan is.

use std::io::IsTerminal as _;

use jiff::Timestamp;
use quell_app::clock;
use quell_scan::Progress;

use crate::output::{Out, duration};

/// Redraws at most this often, in milliseconds.
const PACE_MS: i64 = 100;

/// Draws nothing unless stderr is a terminal.
pub(super) struct Meter<'a> {
    out: &'a Out,
    shown: bool,
    start: Timestamp,
    last_ms: i64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(out: &'a Out, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { out, shown, start: clock::now(), last_ms: 0 }
    }

    pub(super) fn show(&mut self, state: Progress) {
        if !self.shown {
            return;
        }
        let elapsed = clock::now().as_millisecond().saturating_sub(self.start.as_millisecond());
        if elapsed >= self.last_ms.saturating_add(PACE_MS) {
            self.last_ms = elapsed;
            self.out.redraw(&line(state, u64::try_from(elapsed).unwrap_or(0)));
        }
    }

    pub(super) fn clear(&self) {
        if self.shown && self.last_ms > 0 {
            self.out.redraw("");
        }
    }
}

/// `312 MB, 145 MB/s, 12345 of 58584 (21 %), about 12.00 s left`.
fn line(state: Progress, elapsed_ms: u64) -> String {
    let megabytes = state.bytes / 1_000_000;
    let rate = state.bytes.saturating_mul(1000).checked_div(elapsed_ms).unwrap_or(0) / 1_000_000;
    let mut text = format!("{megabytes} MB, {rate} MB/s");
    let Some(total) = state.total.filter(|total| *total > 0) else { return text };
    let done = state.done.min(total);
    text = format!("{text}, {done} of {total} ({} %)", done.saturating_mul(100) / total);
    // Before this the guess would be a wild one.
    if elapsed_ms >= 1000 && done.saturating_mul(50) >= total {
        let left = elapsed_ms.saturating_mul(total - done).checked_div(done).unwrap_or(0);
        text = format!("{text}, about {} left", duration(left));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_speed_share_and_rest() {
        let state = |done, total| Progress { bytes: 300_000_000, done, total };
        assert_eq!(line(state(7, None), 2000), "300 MB, 150 MB/s");
        assert_eq!(line(state(25, Some(100)), 500), "300 MB, 600 MB/s, 25 of 100 (25 %)");
        assert_eq!(line(state(25, Some(100)), 2000), "300 MB, 150 MB/s, 25 of 100 (25 %), about 6.00 s left");
        assert_eq!(line(state(1, Some(100)), 2000), "300 MB, 150 MB/s, 1 of 100 (1 %)");
        assert_eq!(line(state(9, Some(0)), 0), "300 MB, 0 MB/s");
        assert_eq!(
            line(state(200, Some(100)), 2000),
            "300 MB, 150 MB/s, 100 of 100 (100 %), about 0.00 s left"
        );
    }
}
