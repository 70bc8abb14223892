//! How servers are started.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::bail;

/// Starts that are tried: another process may take the port between the look and the start.
const STARTS: u32 = 3;

const PAUSE: Duration = Duration::from_millis(20);
/// 60 seconds of [`PAUSE`]s: a loaded machine with two cores is slow to start a server.
const LOOKS: u32 = 3000;

/// Tries a start again on a port of its own.
pub(crate) fn again<T>(start: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    for _ in 1..STARTS {
        if let Ok(server) = start() {
            return Ok(server);
        }
    }
    start()
}

/// Waits until a server answers. One that ended says why in its log.
pub(crate) fn wait<S>(
    server: &mut S,
    (name, log): (&str, &Path),
    child: impl Fn(&mut S) -> &mut Child,
    answers: impl Fn(&S) -> bool,
) -> anyhow::Result<()> {
    for _ in 0..LOOKS {
        if let Some(status) = child(server).try_wait()? {
            bail!("{name} ended with {status}: {}", std::fs::read_to_string(log).unwrap_or_default());
        }
        if answers(server) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    bail!("{name} does not answer after {} s", (PAUSE * LOOKS).as_secs())
}
