//! Recall and false alarms on the generated set of `bench/scan-accuracy`: floors that a change must not go below.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test: what is missing in the set must fail it"
)]

use quell_core::secret::FingerprintKey;
use quell_scan::rule::template::expand;
use quell_scan::{RuleSet, Scanner};
use toml::{Table, Value};

const FORMS: &str = include_str!("../../../bench/scan-accuracy/forms.toml");
const POSITIVE: &str = include_str!("../../../bench/scan-accuracy/positive.toml");
const NEGATIVE: &str = include_str!("../../../bench/scan-accuracy/negative.toml");

/// Expansions of each template.
const SEEDS: u64 = 3;

struct Kind {
    name: String,
    examples: Vec<(String, String)>,
}

fn strings(table: &Table, key: &str) -> Vec<String> {
    let items = table.get(key).and_then(Value::as_array).into_iter().flatten();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Templates of a file with their texts. A form takes its value first, so that `@V` may itself be a template.
fn kinds(text: &str) -> Vec<Kind> {
    let forms: Table = FORMS.parse().unwrap();
    let forms = forms["forms"].as_table().unwrap();
    let file: Table = text.parse().unwrap();
    let mut kinds = Vec::new();
    for kind in file["kind"].as_array().unwrap() {
        let kind = kind.as_table().unwrap();
        let mut examples = Vec::new();
        for template in strings(kind, "text") {
            examples
                .extend((1..=SEEDS).map(|seed| (template.clone(), expand(&template, seed * 7919).unwrap())));
        }
        let (names, values) = (strings(kind, "names"), strings(kind, "values"));
        for group in strings(kind, "forms") {
            for (at, form) in strings(forms, &group).iter().enumerate() {
                for (number, value) in values.iter().enumerate() {
                    let name = &names[(at + number) % names.len()];
                    let seed = u64::try_from(at * 1000 + number + 1).unwrap() * 7919;
                    let text = form.replace("@N", name).replace("@V", &expand(value, seed).unwrap());
                    examples.push((format!("{form} with {value}"), text));
                }
            }
        }
        kinds.push(Kind { name: kind["name"].as_str().unwrap().to_owned(), examples });
    }
    kinds
}

/// Examples of each kind, how many of them were flagged, and the templates of those that are on the wrong side.
fn flagged(text: &str, wanted: bool) -> (usize, usize, String) {
    let set = RuleSet::builtin().unwrap();
    let key = FingerprintKey::new([1; 32]);
    let scanner = Scanner::new(&set, &key);
    let (mut all, mut hits, mut told) = (0, 0, String::new());
    for kind in kinds(text) {
        let mut here = 0;
        let mut wrong = Vec::new();
        for (template, text) in &kind.examples {
            let report = scanner.reader("example", &mut text.as_bytes(), &mut |_| {}).unwrap();
            here += usize::from(!report.findings.is_empty());
            if report.findings.is_empty() == wanted {
                let rules: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
                wrong.push(format!("  {} {template:?}", rules.join(" ")));
            }
        }
        told.push_str(
            &[format!("{}: {here} of {}", kind.name, kind.examples.len()), wrong.join("\n")].join("\n"),
        );
        told.push('\n');
        all += kind.examples.len();
        hits += here;
    }
    (all, hits, told)
}

#[test]
fn secrets_are_found() {
    let (all, found, told) = flagged(POSITIVE, true);
    assert!(all >= 400 && found * 100 >= all * 95, "found {found} of {all}\n{told}");
}

#[test]
fn stand_ins_and_code_are_not_flagged() {
    let (all, found, told) = flagged(NEGATIVE, false);
    assert!(all >= 400 && found * 100 <= all * 2, "flagged {found} of {all}\n{told}");
}
