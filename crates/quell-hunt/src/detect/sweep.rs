//! `secret-sweep`: secrets were read one after another.
//!
//! * Looks at: different secrets of Secrets Manager, Google's Secret Manager and Azure's Key Vault, parameters of Systems Manager,
//!   paths of Vault and secrets of Kubernetes that were read, and a list of all of a cluster's; reads that were refused are `denied-burst`. A call that does not say what it read counts for itself.
//! * Speaks from: 20 secrets in 6 minutes, 5 batches in a day, 25 parameters in an hour, 10 paths of Vault or secrets of Kubernetes in 10 minutes; with a
//!   baseline, more than five times what the same stretch usually had.
//! * Idea: Elastic's rule for rapid retrieval of secrets (20 in 6 minutes, 5 batches); Panther's for parameters (25; the hour is
//!   ours); the numbers for Vault and Kubernetes are own.

use jiff::SignedDuration;

use super::Weight;
use super::acts::{Act, Named};
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::{bursts, events, usual};
use super::wording::{counted, listed};

pub(super) const DETECTOR: Detector = Detector { id: "secret-sweep", soft: Soft::Known, find };

/// Where secrets are read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    Batch,
    Cluster,
    Parameter,
    Secret,
    Vault,
}

/// Each with its number and stretch, and a word for what is counted.
const LIMITS: [(Source, usize, SignedDuration, &str); 5] = [
    (Source::Secret, 20, SignedDuration::from_mins(6), "secret"),
    (Source::Batch, 5, SignedDuration::from_hours(24), "batch of secret"),
    (Source::Parameter, 25, SignedDuration::from_hours(1), "parameter"),
    (Source::Vault, 10, SignedDuration::from_mins(10), "path"),
    (Source::Cluster, 10, SignedDuration::from_mins(10), "secret"),
];

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, least, span, noun) in LIMITS {
        let pick = |it: &Use<'_>| it.may_be_done() && source_of(it.call()) == Some(source);
        // Resource, or the record itself: `(None, index)` differs from every other.
        let read = |uses| events(uses, |it| pick(it).then(|| key(it, source)));
        let now = read(scene.uses);
        if now.is_empty() {
            continue;
        }
        let usual = if scene.habits.is_some() { usual(&read(scene.earlier), span) } else { 0 };
        let least = least.max(usual.saturating_mul(5).saturating_add(1));
        for burst in bursts(&now, span, least) {
            let mut keys: Vec<_> = burst.iter().map(|event| event.key).collect();
            keys.sort_unstable();
            keys.dedup();
            let names: Vec<&str> = keys.iter().filter_map(|(name, _)| *name).collect();
            let which = if names.is_empty() { String::new() } else { format!(": {}", listed(names)) };
            let were = counted(keys.len(), noun);
            findings.push(Finding {
                kind: noun.to_owned(),
                weight: Weight::High,
                title: format!("{were} were read one after another{which}"),
                records: burst.iter().map(|event| event.it.index).collect(),
            });
        }
    }
    findings.extend(all_of_a_cluster(scene));
    findings
}

/// One list without a namespace has every secret of a cluster with its values.
fn all_of_a_cluster(scene: &Scene<'_>) -> Option<Finding> {
    let is_all = |it: &&Use<'_>| {
        it.may_be_done()
            && it.access.resource.as_deref() == Some("secrets")
            && source_of(it.call()) == Some(Source::Cluster)
    };
    // Controllers do that all the time.
    if scene.earlier.iter().any(|it| is_all(&it)) {
        return None;
    }
    let records: Vec<usize> = scene.uses.iter().filter(is_all).map(|it| it.index).collect();
    (!records.is_empty()).then(|| Finding {
        kind: "all secrets".to_owned(),
        weight: if scene.habits.is_some() { Weight::High } else { Weight::Medium },
        title: "All secrets of a cluster were read at once".to_owned(),
        records,
    })
}

fn key<'a>(it: &Use<'a>, source: Source) -> (Option<&'a str>, usize) {
    match (source, it.access.resource.as_deref()) {
        (Source::Batch, _) | (_, None) => (None, it.index),
        (_, Some(resource)) => (Some(resource), 0),
    }
}

fn source_of(call: Call<'_>) -> Option<Source> {
    match call {
        Call::Aws { service: "secretsmanager", name: "GetSecretValue" } => Some(Source::Secret),
        Call::Aws { service: "secretsmanager", name: "BatchGetSecretValue" } => Some(Source::Batch),
        Call::Aws { service: "ssm", name } => {
            let is_read = matches!(name, "GetParameter" | "GetParameters" | "GetParametersByPath");
            is_read.then_some(Source::Parameter)
        }
        Call::Vault { operation: "read", path } => {
            let is_inner = ["sys/", "auth/", "identity/"].iter().any(|start| path.starts_with(start));
            (!is_inner && path.contains('/')).then_some(Source::Vault)
        }
        Call::Named(named) => named.does(Act::ReadsSecret).then_some(match named {
            Named::Kubernetes { .. } => Source::Cluster,
            Named::Azure { .. }
            | Named::Gcp { .. }
            | Named::Github { .. }
            | Named::S3 { .. }
            | Named::Sql { .. }
            | Named::Words(_) => Source::Secret,
        }),
        Call::Aws { .. } | Call::Vault { .. } | Call::Http { .. } | Call::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::Weight;
    use crate::detect::planted::{AWAY, HOME, denied, fires, on, silent, used, vault};
    use crate::record::Access;

    fn secrets(count: i64, pause: i64) -> Vec<Access> {
        (0..count)
            .map(|n| on(used(n * pause, "secretsmanager:GetSecretValue", AWAY), &format!("db-{n}")))
            .collect()
    }

    fn paths(start: i64, count: i64) -> Vec<Access> {
        let read = |n| on(vault(start + n, &format!("read kv/data/{n}"), HOME), &format!("kv/data/{n}"));
        (0..count).map(read).collect()
    }

    #[test]
    fn twenty_secrets_in_six_minutes_are_a_sweep() {
        let all = fires("secret-sweep", &secrets(20, 18));
        insta::assert_snapshot!(all[0].title, @"20 secrets were read one after another: `db-0`, `db-1`, `db-10` and 17 more");
        assert_eq!(all[0].weight, Weight::High);
        let batches: Vec<_> =
            (0..5).map(|n| used(n * 9_000, "secretsmanager:BatchGetSecretValue", AWAY)).collect();
        fires("secret-sweep", &batches);
        let parameters: Vec<_> = (0..25).map(|n| used(n * 60, "ssm:GetParametersByPath", AWAY)).collect();
        fires("secret-sweep", &parameters);
        fires("secret-sweep", &paths(60, 10));
    }

    #[test]
    fn few_slow_repeated_or_refused_reads_are_none() {
        silent("secret-sweep", &secrets(19, 1));
        silent("secret-sweep", &secrets(60, 20));
        let same: Vec<_> =
            (0..90).map(|n| on(used(n, "secretsmanager:GetSecretValue", AWAY), "db")).collect();
        silent("secret-sweep", &same);
        silent("secret-sweep", &secrets(30, 1).into_iter().map(denied).collect::<Vec<_>>());
        silent("secret-sweep", &(0..30).map(|n| vault(n, "read sys/mounts", AWAY)).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_program_always_reads_at_its_start_is_none() {
        let mut log: Vec<_> = (-5..0).flat_map(|day| paths(day * 86_400, 4)).collect();
        log.extend(paths(90, 20));
        silent("secret-sweep", &log);
        log.extend(paths(5_000, 21));
        fires("secret-sweep", &log);
    }
}
