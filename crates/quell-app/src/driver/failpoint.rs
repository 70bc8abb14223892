//! Dies at a named place, the way a power cut would: SIGKILL to itself. For crash tests; not in release builds.

use quell_core::StepId;

/// Where to die: `<step>:<place>`, place one of `after-intent` (recorded, not begun), `before-call` (begun, nothing
/// sent), `after-effect` (done, not recorded), `before-result`, `after-result`. `*.disable` is that step of whatever
/// secret. With `:stop` at the end it does not die but stands still (SIGSTOP) until somebody wakes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failpoint(String);

impl Failpoint {
    /// Reads a place. `None` in release builds, whatever is asked for.
    pub fn parse(text: &str) -> Option<Self> {
        (cfg!(debug_assertions) && text.contains(':')).then(|| Self(text.to_owned()))
    }

    pub(super) fn hit(&self, step: &StepId, place: &str) {
        let name = step.to_string();
        let any = name.rsplit_once('.').map(|(_, action)| format!("*.{action}:{place}"));
        let (wanted, signal) = match self.0.strip_suffix(":stop") {
            Some(wanted) => (wanted, rustix::process::Signal::STOP),
            None => (self.0.as_str(), rustix::process::Signal::KILL),
        };
        if wanted == format!("{name}:{place}") || any.as_deref() == Some(wanted) {
            let died = rustix::process::kill_process(rustix::process::getpid(), signal);
            debug_assert!(died.is_ok(), "a process may always signal itself");
        }
    }
}
