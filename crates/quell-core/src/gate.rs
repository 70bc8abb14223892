//! Gates: checks that would have stopped a leak, and which of them fits where a secret leaked.
//!
//! Source of the map: the seed's vector → gate table ("pick the specific vector, ship the specific gate"). Nothing here
//! runs a gate; `quell_app::gate` does.

use serde::{Deserialize, Serialize};

use crate::exposure::Channel;

/// A gate that `quell gate prove` can show to work.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The hook before a commit, on the author's machine.
    PreCommit,
    /// The hook before a push, on the author's machine.
    PrePush,
    /// The hook that takes a push, on the server: nobody who pushes can skip it.
    PreReceive,
    /// The filter that takes secrets out of logs.
    Redact,
    /// `.env` files are ignored, not tracked, and private.
    Env,
}

impl Gate {
    /// Every gate.
    pub const ALL: [Self; 5] = [Self::PreCommit, Self::PrePush, Self::PreReceive, Self::Redact, Self::Env];

    /// The word used on the command line and in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::PreCommit => "pre-commit",
            Self::PrePush => "pre-push",
            Self::PreReceive => "pre-receive",
            Self::Redact => "redact",
            Self::Env => "env",
        }
    }
}

impl std::str::FromStr for Gate {
    type Err = crate::id::BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|gate| gate.word() == text).ok_or_else(|| crate::id::BadId {
            text: text.to_owned(),
            expected: "a gate: pre-commit, pre-push, pre-receive, redact or env",
        })
    }
}

/// One piece of advice: what to put in the way of the next leak of this kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Advice {
    /// What to do, in a sentence without a full stop.
    pub what: &'static str,
    /// The command that does it, when Quell does.
    pub command: Option<&'static str>,
    /// The gate that `quell gate prove` can show, if it is one.
    pub gate: Option<Gate>,
    /// Where the advice comes from: numbers of the requirements in the seed's catalogue, and what is ours.
    pub source: &'static str,
}

const PRE_COMMIT: Advice = Advice {
    what: "refuse the commit on the author's machine; quick to tell, but `--no-verify` skips it",
    command: Some("quell gate install pre-commit"),
    gate: Some(Gate::PreCommit),
    source: "seed 157",
};
const PRE_RECEIVE: Advice = Advice {
    what: "refuse the push on the server; who pushes cannot skip it",
    command: Some("quell gate install pre-receive --repository BARE"),
    gate: Some(Gate::PreReceive),
    source: "seed 157; on the server since hooks of a clone can be skipped",
};
const CI: Advice = Advice {
    what: "scan in CI, as a required check",
    command: Some("quell gate install ci --for github"),
    gate: None,
    source: "seed 149, 158",
};
const REDACT: Advice = Advice {
    what: "filter the log where it is written",
    command: Some("PROGRAM 2>&1 | quell redact"),
    gate: Some(Gate::Redact),
    source: "seed 159",
};
const MASK: Advice = Advice {
    what: "let the runner mask the value, and verify that it does before it is added to the job's environment",
    command: None,
    gate: None,
    source: "seed 160",
};
const FILTER_JOB: Advice = Advice {
    what: "filter the output of steps that print what they get",
    command: Some("STEP 2>&1 | quell redact --strict"),
    gate: Some(Gate::Redact),
    source: "seed 159, 160",
};
const DLP: Advice = Advice {
    what: "scan chat and tickets automatically (DLP), and train people; Quell cannot stand in that way",
    command: None,
    gate: None,
    source: "seed 161",
};
const SCREEN: Advice = Advice {
    what: "mask sensitive parts of the user interface, for screenshots",
    command: None,
    gate: None,
    source: "seed 162",
};
const SERIALIZER: Advice = Advice {
    what: "let the error serializer give code, message and request id only, with a test that a planted value stays out",
    command: None,
    gate: None,
    source: "seed 163",
};
const ENV: Advice = Advice {
    what: "keep `.env` files ignored, untracked and private",
    command: Some("quell gate env"),
    gate: Some(Gate::Env),
    source: "seed 158",
};

/// What fits a leak through this channel, at this path if it was a file. The best first.
pub fn advice(channel: Channel, path: Option<&str>) -> Vec<Advice> {
    let mut all = if path.is_some_and(is_env_file) { vec![ENV] } else { Vec::new() };
    all.extend_from_slice(match channel {
        Channel::PublicRepo | Channel::PrivateRepo | Channel::Unknown => &[PRE_COMMIT, PRE_RECEIVE, CI],
        Channel::LocalCommit => &[PRE_COMMIT],
        Channel::CiLog => &[MASK, FILTER_JOB],
        Channel::Chat => &[DLP, SCREEN],
        Channel::ErrorPage => &[SERIALIZER, REDACT],
        Channel::SupportLog => &[REDACT],
    });
    all
}

/// `.env`, `.env.production`, `.envrc`, … that is meant to hold values: not an example, sample, template or `dist` file.
pub fn is_env_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let env = name == ".env" || name.starts_with(".env.") || name.starts_with(".env-") || name == ".envrc";
    let example = name
        .split(['.', '-', '_'])
        .any(|part| matches!(part, "example" | "sample" | "template" | "tpl" | "dist" | "defaults"));
    env && !example
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_advice_and_every_word_reads_back() {
        for channel in Channel::ALL {
            assert!(!advice(channel, None).is_empty(), "{channel:?}");
            assert_eq!(advice(channel, Some("app/.env"))[0].gate, Some(Gate::Env), "{channel:?}");
        }
        for gate in Gate::ALL {
            assert_eq!(gate.word().parse(), Ok(gate));
            assert_eq!(serde_json::to_value(gate).unwrap(), gate.word());
        }
        assert!("ci".parse::<Gate>().is_err(), "a CI job runs elsewhere: it cannot be proven here");
    }

    #[test]
    fn the_map_is_the_seeds() {
        let rows: Vec<String> = Channel::ALL
            .iter()
            .map(|channel| {
                let sources: Vec<&str> = advice(*channel, None).iter().map(|advice| advice.source).collect();
                format!("{}: {}", channel.word(), sources.join("; "))
            })
            .collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
        public-repo: seed 157; seed 157; on the server since hooks of a clone can be skipped; seed 149, 158
        private-repo: seed 157; seed 157; on the server since hooks of a clone can be skipped; seed 149, 158
        ci-log: seed 160; seed 159, 160
        chat: seed 161; seed 162
        error-page: seed 163; seed 159
        support-log: seed 159
        local-commit: seed 157
        unknown: seed 157; seed 157; on the server since hooks of a clone can be skipped; seed 149, 158
        ");
    }

    #[test]
    fn examples_of_env_files_are_no_env_files() {
        for yes in [".env", "a/b/.env", ".env.production", ".env.local", ".ENV", ".envrc", ".env-staging"] {
            assert!(is_env_file(yes), "{yes}");
        }
        for no in [
            ".env.example",
            ".env.sample",
            ".env.local.template",
            ".env-dist",
            "environment",
            ".environ",
            "env",
            "x.envy",
        ] {
            assert!(!is_env_file(no), "{no}");
        }
    }
}
