//! What may not be in a file, or in its name, whatever it is about.

use super::tree::{Tree, has_extension};
use super::{Finding, lines};

/// Longer files fail.
const LONGEST: usize = 1000;
/// Longer files are worth a thought.
const LONG: usize = 600;
/// Each package is code that somebody else can change. Raise it in a commit that says what the package is for.
const LOCK_CEILING: usize = 540;

/// Written apart, so that this file does not find itself.
const BANNED: [(&str, &str); 4] = [
    (concat!("to", "do!("), "unfinished code: finish it or open an issue"),
    (concat!("unimple", "mented!("), "unfinished code: finish it or return an error"),
    (concat!("#[ig", "nore"), "a test that never runs: mend it or remove it"),
    (concat!("assert!(tr", "ue)"), "a test that tests nothing"),
];

/// Names that collect whatever has no home.
const NAMELESS: [&str; 8] = ["utils", "util", "helpers", "helper", "common", "types", "misc", "stuff"];

/// Places on the machine of whoever wrote it.
const PERSONAL: [&str; 6] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Use", "rs/"),
    concat!("/wo", "rk/"),
    concat!("/tmp/", "wt/"),
    concat!("/tmp/", "tg/"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        findings.extend(length(path, text));
        findings.extend(banned(path, text));
        findings.extend(name(path));
    }
    for (path, text) in tree.iter() {
        findings.extend(personal(path, text));
        if has_extension(path, "lock") {
            findings.extend(lock(path, text));
        }
    }
    findings
}

fn length(path: &str, text: &str) -> Option<Finding> {
    let count = text.lines().count();
    if count > LONGEST {
        Some(Finding::error(path, count, format!("{count} lines; at most {LONGEST}: split it by noun")))
    } else if count > LONG {
        Some(Finding::warning(path, count, format!("{count} lines; above {LONG} think of splitting it")))
    } else {
        None
    }
}

fn banned(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in lines(text) {
        for (word, why) in BANNED {
            if line.contains(word) {
                findings.push(Finding::error(path, number, format!("`{word}`: {why}")));
            }
        }
    }
    findings
}

fn name(path: &str) -> Option<Finding> {
    let named = path.split('/').find(|part| NAMELESS.contains(&part.trim_end_matches(".rs")))?;
    Some(Finding::error(path, 1, format!("`{named}` says nothing: name the file after what is in it")))
}

fn personal(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in lines(text) {
        if let Some(place) = PERSONAL.into_iter().find(|place| starts_with_place(line, place)) {
            let why = format!("`{place}` is a place on one machine: use a relative path or a variable");
            findings.push(Finding::error(path, number, why));
        }
    }
    findings
}

/// At the start of a path: not in `https://host/x` or `a/b/x`.
fn starts_with_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-~/})>".contains(c)))
    })
}

fn lock(path: &str, text: &str) -> Option<Finding> {
    let count = text.lines().filter(|line| *line == "[[package]]").count();
    let why = format!("{count} packages, the ceiling is {LOCK_CEILING}; drop one, or raise it with a reason");
    (count > LOCK_CEILING).then(|| Finding::error(path, 1, why))
}
