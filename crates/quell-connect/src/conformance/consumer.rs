//! The contracts of what reloads, observes and notifies.

use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;

use super::{Canaries, Violation, applied, require};
use crate::connector::{Check, Notice, Notify, Observe, Reload, Repeat};

/// Reloads twice. `values` are what the consumer handles; none may be repeated to us.
pub async fn reload(reload: &dyn Reload, values: &[&SecretValue]) -> Result<(), Violation> {
    let canaries = Canaries::of(values);
    canaries.absent("target", &reload.target())?;
    checks(&canaries, &reload.check().await)?;
    for rule in ["`reload` is applied", "`reload` repeated is applied"] {
        let outcome = reload.reload().await;
        canaries.absent_in("reload", &outcome)?;
        applied(rule, &outcome)?;
    }
    checks(&canaries, &reload.check().await)
}

/// Asks twice; a consumer that nobody touched says the same.
pub async fn observe(observe: &dyn Observe, values: &[&SecretValue]) -> Result<(), Violation> {
    let canaries = Canaries::of(values);
    canaries.absent("target", &observe.target())?;
    checks(&canaries, &observe.check().await)?;
    let mut before = None;
    for _ in 0..2 {
        let seen = observe.see().await;
        canaries.absent_in("see", &seen)?;
        let seen =
            seen.map_err(|error| Violation::new("`see` of a working consumer succeeds", error.to_string()))?;
        require("a working consumer is healthy", seen.healthy, String::new)?;
        if let Some(before) = &before {
            require("`see` changes nothing", before == &seen, || "another answer".to_owned())?;
        }
        before = Some(seen);
    }
    Ok(())
}

/// Sends one notice twice. `values` are credentials of the channel.
pub async fn notify(notify: &dyn Notify, values: &[&SecretValue]) -> Result<(), Violation> {
    let canaries = Canaries::of(values);
    canaries.absent("target", &notify.target())?;
    checks(&canaries, &notify.check().await)?;
    let notice = Notice::sample("conformance-1");
    let looks = notify.repeat() == Repeat::Seen;
    if looks {
        let seen = notify.seen(&notice).await;
        canaries.absent_in("seen", &seen)?;
        let not_there = matches!(seen, Outcome::NotApplied { .. });
        require("`seen` of what was not sent is not applied", not_there, || format!("{seen:?}"))?;
    }
    for rule in ["`send` is applied", "`send` repeated is applied"] {
        let outcome = notify.send(&notice).await;
        canaries.absent_in("send", &outcome)?;
        applied(rule, &outcome)?;
        if looks {
            let seen = notify.seen(&notice).await;
            canaries.absent_in("seen", &seen)?;
            require("`seen` gives what `send` gave", seen == outcome, || {
                format!("{seen:?}, not {outcome:?}")
            })?;
        }
    }
    Ok(())
}

fn checks(canaries: &Canaries, checks: &[Check]) -> Result<(), Violation> {
    canaries.absent_in("check", &checks)?;
    match checks.iter().find(|check| !check.ok) {
        None => Ok(()),
        Some(check) => Err(Violation::new(
            "`check` of a working system holds",
            format!("{}: {}", check.what, check.detail),
        )),
    }
}
