//! Annotations of GitHub Actions: <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>.
//! The escapes are those of `escapeData` and `escapeProperty` in `@actions/core`.

use quell_scan::{Confidence, Visibility};

use super::{more, sentence};
use crate::scan::{Matched, Scanned};

pub(super) fn render(scanned: &Scanned) -> String {
    let mut text = String::new();
    for matched in &scanned.findings {
        text.push_str(&one(matched));
    }
    for missed in &scanned.incomplete {
        text.push_str(&unread(&format!("{}: {}", missed.what, missed.why)));
    }
    text.extend(more(scanned).map(|words| unread(&words)));
    text
}

fn unread(words: &str) -> String {
    format!("::warning title=Not scanned::{}\n", data(words))
}

fn one(matched: &Matched) -> String {
    let finding = &matched.finding;
    let level = if finding.confidence == Confidence::Low { "warning" } else { "error" };
    let title = property(&finding.description);
    let place = &finding.place;
    if finding.still_visible == Visibility::Current {
        return format!(
            "::{level} file={},line={},col={},title={title}::{}\n",
            property(&place.file),
            place.line,
            place.column,
            data(&sentence(matched))
        );
    }
    // A line that the current files do not have would be shown beside whatever stands there today.
    let words = format!("In the history, {}:{}: {}", place.file, place.line, sentence(matched));
    format!("::{level} title={title}::{}\n", data(&words))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
