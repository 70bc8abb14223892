//! What people wrote into the post-mortem, ready for a document.

use quell_core::incident::{Incident, Section};
use serde::Serialize;

use super::words::{Moment, line, text};

/// A section that people write.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SectionView {
    /// `root-cause`.
    pub section: Section,
    /// Its heading.
    pub title: &'static str,
    /// What it is to answer.
    pub asks: &'static str,
    /// What stands there; none when nobody wrote it yet.
    pub lines: Vec<LineView>,
    /// Who wrote it last.
    pub by: String,
    /// When.
    pub at: Option<Moment>,
    /// Number of the entry in the ledger.
    pub entry: Option<u64>,
}

/// A line that somebody wrote.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LineView {
    /// It began with `- ` or `* `: one item of a list.
    pub item: bool,
    /// The text, on one line.
    pub text: String,
}

/// Every section, written or not.
pub(super) fn sections(incident: &Incident) -> Vec<SectionView> {
    let one = |section: Section| {
        let written = incident.post_mortem.get(&section).filter(|written| !written.text.is_empty());
        SectionView {
            section,
            title: section.title(),
            asks: section.asks(),
            lines: written.map(|written| lines(&written.text)).unwrap_or_default(),
            by: written.map(|written| text(&written.by)).unwrap_or_default(),
            at: written.map(|written| Moment::new(written.at, incident.declared)),
            entry: written.map(|written| written.seq),
        }
    };
    Section::ALL.into_iter().map(one).collect()
}

/// Lines that hold something. A post-mortem has paragraphs and lists; every other markup is shown as it is.
fn lines(written: &str) -> Vec<LineView> {
    let one = |raw: &str| {
        let raw = raw.trim();
        let item = raw.strip_prefix("- ").or_else(|| raw.strip_prefix("* "));
        LineView { item: item.is_some(), text: line(item.unwrap_or(raw)) }
    };
    written.lines().map(one).filter(|line| !line.text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_lists_stay_and_nothing_is_cut() {
        let long = "x".repeat(5_000);
        let shown =
            lines(&format!("why:\n\n- no gate\u{202e}\n* nobody asked\n  {long}\n-5 is no item\n- \n"));
        let said: Vec<(bool, &str)> = shown.iter().map(|line| (line.item, line.text.as_str())).collect();
        assert_eq!(
            said,
            [
                (false, "why:"),
                (true, "no gate\u{fffd}"),
                (true, "nobody asked"),
                (false, long.as_str()),
                (false, "-5 is no item"),
                (false, "-"),
            ]
        );
    }
}
