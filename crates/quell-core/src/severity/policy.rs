//! The severity policy as one table of rules.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::Severity;
use crate::exposure::{Audience, Channel, Exposure, Leaked};

/// Which ladder people use. All map to one internal scale.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// SEV-1..4 with 15 min, 1 h, 24 h, investigate.
    #[default]
    Sev,
    /// P0..P3 with 15 min, 1 h, 4 h, 24 h.
    P,
    /// Every secret leak is SEV-1.
    Runbook,
}

/// A fact that changes the assessment. Absent means not known; the strictest reading is taken.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// It could be seen by anybody, whatever the channel said.
    Public,
    /// The credential works.
    Live,
    /// The credential is proven dead already. A downgrade: it needs a name and a reason.
    NotLive,
    /// Somebody unknown used it.
    UsedByUnknown,
    /// Logs for the window have a gap.
    LogGap,
    /// A node of the secret store is compromised.
    StoreNodeCompromised,
    /// A key-management key is compromised.
    KmsKeyCompromised,
    /// Repeated failed authentication from an unknown source.
    RepeatedFailedAuth,
    /// Nobody is sure that it is a secret at all. A downgrade: it needs a name and a reason.
    Unconfirmed,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 9] = [
        Self::Public,
        Self::Live,
        Self::NotLive,
        Self::UsedByUnknown,
        Self::LogGap,
        Self::StoreNodeCompromised,
        Self::KmsKeyCompromised,
        Self::RepeatedFailedAuth,
        Self::Unconfirmed,
    ];

    /// The word used on the command line and in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Live => "live",
            Self::NotLive => "not-live",
            Self::UsedByUnknown => "used-by-unknown",
            Self::LogGap => "log-gap",
            Self::StoreNodeCompromised => "store-node-compromised",
            Self::KmsKeyCompromised => "kms-key-compromised",
            Self::RepeatedFailedAuth => "repeated-failed-auth",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// True for the signals that can only lower a severity.
    pub fn lowers(self) -> bool {
        matches!(self, Self::NotLive | Self::Unconfirmed)
    }
}

impl std::str::FromStr for Signal {
    type Err = crate::id::BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|s| s.word() == text).ok_or_else(|| crate::id::BadId {
            text: text.to_owned(),
            expected: "a signal: public, live, not-live, used-by-unknown, log-gap, store-node-compromised, \
                       kms-key-compromised, repeated-failed-auth or unconfirmed",
        })
    }
}

/// What is known when severity is computed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Evidence {
    /// Where and to whom.
    pub exposures: Vec<Exposure>,
    /// True unless every affected secret is known not to be production.
    pub production: bool,
    /// Signals recorded so far.
    pub signals: Vec<Signal>,
    /// Secrets that an exposed secret opens in turn.
    pub opens_others: usize,
}

/// One rule that spoke.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reason {
    /// What the rule asks for.
    pub severity: Severity,
    /// Why, in words.
    pub because: String,
    /// Where the rule comes from.
    pub source: String,
}

/// The result: the strictest reason wins; all are kept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Assessment {
    /// What holds now.
    pub severity: Severity,
    /// What people of the profile call it.
    pub label: String,
    /// Strictest first.
    pub reasons: Vec<Reason>,
}

/// First response and update interval for a severity, in this profile: the strictest of the sources
/// (`S0` 15 min / 1 h / 24 h, `S2` 15 min / 1 h / 4 h / 24 h; updates every 15 and 30 min, then daily).
pub fn limits(severity: Severity, profile: Profile) -> (SignedDuration, SignedDuration) {
    let minutes = |m: i64| SignedDuration::from_mins(m);
    match (severity, profile) {
        (Severity::Sev1, _) => (minutes(15), minutes(15)),
        (Severity::Sev2, _) => (minutes(60), minutes(30)),
        (Severity::Sev3, Profile::P) => (minutes(4 * 60), minutes(24 * 60)),
        (Severity::Sev3 | Severity::Sev4, _) => (minutes(24 * 60), minutes(24 * 60)),
    }
}

/// Computes the severity. Pure; call it again whenever evidence changes.
pub fn assess(evidence: &Evidence, profile: Profile) -> Assessment {
    let mut reasons = Vec::new();
    let mut say = |severity, because: &str, source: &str| {
        reasons.push(Reason { severity, because: because.to_owned(), source: source.to_owned() });
    };
    let has = |signal| evidence.signals.contains(&signal);

    if profile == Profile::Runbook {
        say(Severity::Sev1, "this profile treats every secret leak as SEV-1", "S1 triage");
    }
    let dead = has(Signal::NotLive) && !has(Signal::Live);
    for exposure in &evidence.exposures {
        ladder(exposure, evidence.production, has(Signal::Public), dead, has(Signal::Unconfirmed), &mut say);
    }
    if evidence.exposures.is_empty() && evidence.production {
        say(Severity::Sev1, "the surface is not known: treated as public", "S0 default on doubt");
    }
    matrix(&has, evidence, &mut say);
    if evidence.opens_others > 0 && evidence.production && !dead {
        let words = format!("it opens {} other secret(s), which count as exposed too", evidence.opens_others);
        say(Severity::Sev2, &words, "S2 adjacent credentials");
    }
    if reasons.is_empty() {
        reasons.push(Reason {
            severity: Severity::Sev4,
            because: "nothing is known that asks for more; investigate first".to_owned(),
            source: "S0 ladder".to_owned(),
        });
    }
    reasons.sort_by_key(|r| std::cmp::Reverse(r.severity));
    let severity = reasons.first().map_or(Severity::Sev4, |r| r.severity);
    Assessment { severity, label: severity.label(profile).to_owned(), reasons }
}

#[expect(clippy::fn_params_excessive_bools, reason = "each is one fact of the table")]
fn ladder(
    exposure: &Exposure,
    production: bool,
    seen_public: bool,
    dead: bool,
    unconfirmed: bool,
    say: &mut impl FnMut(Severity, &str, &str),
) {
    let (leaked, row) = exposure.channel.verdict();
    let public = seen_public || exposure.audience == Audience::Public;
    if dead {
        return say(Severity::Sev4, "the credential is proven dead already", "S2 ladder P3");
    }
    if unconfirmed {
        return say(
            Severity::Sev4,
            "low-confidence suspicion: investigate, rotate if confirmed",
            "S0 ladder SEV-4",
        );
    }
    if leaked == Leaked::NoButRotate && !public {
        return say(Severity::Sev4, row, "S0 channel table");
    }
    match (production, public) {
        (true, true) => {
            say(
                Severity::Sev1,
                &format!("a production secret is exposed publicly ({row})"),
                "S0 ladder SEV-1, S2 ladder P0",
            );
            if exposure.channel == Channel::PublicRepo {
                say(
                    Severity::Sev2,
                    "public repository without evidence of use",
                    "S2 matrix (P1; the ladder's P0 wins)",
                );
            }
        }
        (true, false) => say(
            Severity::Sev2,
            &format!("a production secret is exposed to a limited audience ({row})"),
            "S0 ladder SEV-2, S2 ladder P1",
        ),
        (false, _) => say(
            Severity::Sev3,
            &format!("no production secret is exposed ({row})"),
            "S0 ladder SEV-3, S2 ladder P2",
        ),
    }
    if matches!(exposure.channel, Channel::CiLog | Channel::SupportLog) {
        say(Severity::Sev3, "found in an internal log: rotate and mask", "S2 matrix");
    }
}

fn matrix(has: &impl Fn(Signal) -> bool, evidence: &Evidence, say: &mut impl FnMut(Severity, &str, &str)) {
    if has(Signal::UsedByUnknown) {
        say(Severity::Sev1, "somebody unknown used it: full response and legal", "S2 matrix");
    }
    if has(Signal::StoreNodeCompromised) {
        say(Severity::Sev1, "a secret-store node is compromised: rotate everything reachable", "S2 matrix");
    }
    if has(Signal::KmsKeyCompromised) {
        say(Severity::Sev1, "a key-management key is compromised: re-encrypt and rotate all", "S2 matrix");
    }
    if has(Signal::LogGap) {
        say(Severity::Sev2, "logs have a gap: the worst is assumed for it", "S2 matrix");
        if evidence.production && evidence.exposures.iter().any(|e| e.audience == Audience::Public) {
            say(Severity::Sev1, "public exposure that logs cannot clear", "rule 7: a gap raises severity");
        }
    }
    if has(Signal::RepeatedFailedAuth) {
        say(
            Severity::Sev3,
            "repeated failed authentication from an unknown source: block it, rotate what it targets",
            "S2 matrix",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn exposure(channel: Channel, audience: Audience) -> Exposure {
        Exposure {
            channel,
            audience,
            first_exposed: None,
            discovered: "2026-11-22T03:00:00Z".parse().unwrap(),
            still_visible: None,
            place: String::new(),
            fingerprint: None,
            sealed: None,
            finding: None,
            channel_name: None,
        }
    }

    fn evidence(channel: Channel, production: bool, signals: &[Signal]) -> Evidence {
        Evidence {
            exposures: vec![exposure(channel, channel.default_audience())],
            production,
            signals: signals.to_vec(),
            opens_others: 0,
        }
    }

    #[test]
    fn every_channel_times_environment() {
        let mut table = String::new();
        for channel in Channel::ALL {
            let prod = assess(&evidence(channel, true, &[]), Profile::Sev).severity;
            let test = assess(&evidence(channel, false, &[]), Profile::Sev).severity;
            writeln!(table, "{:<13} {prod} {test}", channel.word()).unwrap();
        }
        insta::assert_snapshot!(table, @r"
        public-repo   SEV-1 SEV-3
        private-repo  SEV-2 SEV-3
        ci-log        SEV-2 SEV-3
        chat          SEV-2 SEV-3
        error-page    SEV-1 SEV-3
        support-log   SEV-2 SEV-3
        local-commit  SEV-4 SEV-4
        unknown       SEV-1 SEV-3
        ");
    }

    #[test]
    fn the_seven_signals_and_the_strictest_wins() {
        let of = |signal| assess(&evidence(Channel::CiLog, false, &[signal]), Profile::Sev).severity;
        assert_eq!(of(Signal::UsedByUnknown), Severity::Sev1);
        assert_eq!(of(Signal::StoreNodeCompromised), Severity::Sev1);
        assert_eq!(of(Signal::KmsKeyCompromised), Severity::Sev1);
        assert_eq!(of(Signal::LogGap), Severity::Sev2);
        assert_eq!(of(Signal::RepeatedFailedAuth), Severity::Sev3);
        let public = assess(&evidence(Channel::PublicRepo, true, &[]), Profile::P);
        assert_eq!((public.severity, public.label.as_str()), (Severity::Sev1, "P0"));
        assert!(public.reasons.iter().any(|r| r.severity == Severity::Sev2), "the weaker rule is kept");
    }

    #[test]
    fn a_downgrade_never_outweighs_use_and_the_runbook_profile_is_always_one() {
        let used = assess(
            &evidence(Channel::PublicRepo, true, &[Signal::NotLive, Signal::UsedByUnknown]),
            Profile::Sev,
        );
        assert_eq!(used.severity, Severity::Sev1);
        let dead = assess(&evidence(Channel::PublicRepo, true, &[Signal::NotLive]), Profile::Sev);
        assert_eq!(dead.severity, Severity::Sev4);
        let live_again =
            assess(&evidence(Channel::PublicRepo, true, &[Signal::NotLive, Signal::Live]), Profile::Sev);
        assert_eq!(live_again.severity, Severity::Sev1);
        let any = assess(&evidence(Channel::LocalCommit, false, &[]), Profile::Runbook);
        assert_eq!(any.severity, Severity::Sev1);
    }

    #[test]
    fn unknown_surface_is_public() {
        let nothing = Evidence { production: true, ..Evidence::default() };
        assert_eq!(assess(&nothing, Profile::Sev).severity, Severity::Sev1);
    }
}
