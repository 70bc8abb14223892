//! `use-after-revocation`: whether the kill works.
//!
//! * Looks at: uses later than the kill, from wherever.
//! * Speaks from: any. Success is as bad as it gets: the kill did not work, or something that was derived lives on. A refusal
//!   proves that the kill works, and that somebody or some program of the owner's still tries.
//! * Idea: own; tested on OpenBao 2.7.2, whose log of a dead token has `permission denied` and the token's HMAC.
//!
//! Clocks of log and killer differ, and a kill takes its time to reach every server: look at the minutes.

use super::Weight;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::times;
use crate::record::Outcome;

pub(super) const DETECTOR: Detector = Detector { id: "use-after-revocation", soft: Soft::Never, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let trail = scene.trail;
    let late = scene.uses.iter().filter(|it| it.is_after(trail.revoked));
    let (mut done, mut unclear) = (Vec::new(), Vec::new());
    for it in late {
        match it.access.outcome {
            Outcome::Allowed => done.push(*it),
            // What failed for another reason may have got past the check of the credential.
            Outcome::Failed(_) | Outcome::Unknown => unclear.push(*it),
            Outcome::Denied(_) => {}
        }
    }
    let lives = !done.is_empty();
    let tells = |list: &[Use<'_>], kind: &str, weight, title: String| {
        let records = list.iter().map(|it| it.index).collect();
        (!list.is_empty()).then(|| Finding { kind: kind.to_owned(), weight, title, records })
    };
    let refused = format!("It was refused {} after it was revoked", times(trail.dead.len()));
    let found = [
        tells(
            &done,
            "done",
            Weight::High,
            format!("It was used with success {} after it was revoked", times(done.len())),
        ),
        tells(
            &unclear,
            "unclear",
            Weight::Medium,
            format!(
                "It was used {} after it was revoked, and the log does not say that it was refused",
                times(unclear.len())
            ),
        ),
        tells(
            &trail.dead,
            "refused",
            Weight::Info,
            if lives { refused } else { format!("{refused}: the kill works") },
        ),
    ];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use crate::detect::planted::{self, AWAY, HOME, denied, ordinary, said, used};
    use crate::detect::{Anomaly, Context, Weight};
    use crate::record::{Access, Outcome};

    fn after(more: &[Access]) -> Vec<Anomaly> {
        let revoked = planted::exposed() + SignedDuration::from_hours(50);
        let context = Context { revoked: Some(revoked), known: &[HOME.to_owned()], ..planted::context() };
        said("use-after-revocation", &ordinary(more), &context)
    }

    #[test]
    fn success_after_the_kill_weighs_most_wherever_it_came_from() {
        let late = 60 * 3_600;
        let all = after(&[used(late, "s3:GetObject", HOME), denied(used(late + 5, "s3:GetObject", AWAY))]);
        let told: Vec<_> = all.iter().map(|it| (it.weight, it.title.as_str())).collect();
        insta::assert_debug_snapshot!(told, @r#"
        [
            (
                High,
                "It was used with success once after it was revoked",
            ),
            (
                Info,
                "It was refused once after it was revoked",
            ),
        ]
        "#);
        let mut failed = used(late, "s3:GetObject", AWAY);
        failed.outcome = Outcome::Failed("NoSuchKey".to_owned());
        assert_eq!(after(&[failed])[0].weight, Weight::Medium);
    }

    #[test]
    fn refusals_prove_the_kill_and_are_no_burst() {
        let late: Vec<_> = (0..50).map(|n| denied(used(60 * 3_600 + n, "s3:GetObject", AWAY))).collect();
        let all = after(&late);
        insta::assert_snapshot!(all[0].title, @"It was refused 50 times after it was revoked: the kill works");
        assert_eq!((all.len(), all[0].weight), (1, Weight::Info));
        let revoked = Some(planted::exposed() + SignedDuration::from_hours(50));
        let context = Context { revoked, ..planted::context() };
        assert_eq!(said("denied-burst", &ordinary(&late), &context), []);
    }

    #[test]
    fn uses_until_the_kill_are_none() {
        assert_eq!(after(&[used(50 * 3_600, "s3:GetObject", AWAY)]), []);
        assert_eq!(said("use-after-revocation", &ordinary(&[]), &planted::context()), []);
    }
}
