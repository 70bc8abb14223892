//! What of a repository to scan, when it is not everything: chosen commits, the index, or what a push brings.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::ScanError;

/// Commits of a history, chosen as by `git log`: those that a branch or the end of a range reaches, without those that the
/// start of any range reaches, narrowed to a time.
///
/// What the chosen commits introduced is scanned: blobs that none of their parents has at that path, and their messages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selection {
    /// Commits that these branches reach (names with or without `refs/heads/`, or of remote branches such as `origin/main`).
    pub branches: Vec<String>,
    /// Commits of these ranges. With neither branches nor ranges, every commit that a ref reaches.
    pub ranges: Vec<Range>,
    /// Commits at or after this time, by the committer's clock as in `git log --since`.
    pub since: Option<Timestamp>,
    /// Commits at or before this time, by the committer's clock.
    pub until: Option<Timestamp>,
}

impl Selection {
    /// True when nothing is narrowed, so that a whole scan is meant, with what no ref reaches.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// Commits that one revision reaches and another does not: <https://git-scm.com/docs/gitrevisions>.
///
/// A revision is an id (at least four digits), `HEAD`, the name of a branch, tag or remote branch, each with any number of
/// `~n`, `^n` and `^{commit}` behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Range {
    /// Commits that this one reaches do not count. `None` leaves nothing out.
    pub from: Option<String>,
    /// Commits that this one reaches count.
    pub to: String,
    /// `A...B`: commits that either reaches, without those that both reach.
    pub symmetric: bool,
}

impl std::str::FromStr for Range {
    type Err = ScanError;

    /// `A..B`, `A...B` or `B`; an empty side means `HEAD`.
    fn from_str(text: &str) -> Result<Self, ScanError> {
        let (from, to, symmetric) = if let Some((from, to)) = text.split_once("...") {
            (Some(from), to, true)
        } else if let Some((from, to)) = text.split_once("..") {
            (Some(from), to, false)
        } else {
            (None, text, false)
        };
        let head = |side: &str| if side.is_empty() { "HEAD".to_owned() } else { side.to_owned() };
        let broken =
            to.contains("..") || to.starts_with('.') || text.is_empty() || text == ".." || text == "...";
        if broken || from.is_some_and(|from| from.starts_with('-')) || to.starts_with('-') {
            return Err(ScanError::Revision {
                revision: crate::finding::printable(text),
                detail: "is no range of commits".to_owned(),
                hint: "write `A..B`, `A...B` or `B`, such as `origin/main..HEAD`".to_owned(),
            });
        }
        Ok(Self { from: from.map(head), to: head(to), symmetric })
    }
}

/// How to read the index of a repository.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Staged {
    /// Another index than the repository's own: git names it in `GIT_INDEX_FILE` when it runs a hook.
    pub index_file: Option<PathBuf>,
}

/// One line that git gives to a `pre-receive` hook: <https://git-scm.com/docs/githooks#pre-receive>.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Update {
    /// The full id that the ref has; `None` (all zeros on the line) when it is new.
    pub old: Option<String>,
    /// The full id that it is to have; `None` when it is to be deleted.
    pub new: Option<String>,
    /// The full name of the ref.
    pub name: String,
}

impl Update {
    /// Longest name of a ref that is accepted, in bytes.
    const MAX_NAME: usize = 4096;

    /// Reads `old new name` lines. A line that is not of this form is an error: a gate must not let it pass.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, ScanError> {
        text.lines().enumerate().map(|(at, line)| Self::parse(line, at.saturating_add(1))).collect()
    }

    fn parse(line: &str, number: usize) -> Result<Self, ScanError> {
        let broken = |detail: &str| ScanError::Update { line: number, detail: detail.to_owned() };
        let mut fields = line.splitn(3, ' ');
        let (Some(old), Some(new), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(broken("it has fewer than three fields"));
        };
        let id = |text: &str| {
            let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !digits || !matches!(text.len(), 40 | 64) {
                return Err(broken("an id is not 40 or 64 hex digits"));
            }
            Ok((!text.bytes().all(|byte| byte == b'0')).then(|| text.to_owned()))
        };
        if old.len() != new.len() {
            return Err(broken("its ids have different lengths"));
        }
        if name.is_empty() || name.len() > Self::MAX_NAME || name.contains(char::is_control) {
            return Err(broken("the name of the ref is empty, too long or has control characters"));
        }
        Ok(Self { old: id(old)?, new: id(new)?, name: name.to_owned() })
    }
}

/// A push to look at before its refs change.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Received {
    /// What it wants to change.
    pub updates: Vec<Update>,
    /// Further object folders: in a `pre-receive` hook those that git names in `GIT_OBJECT_DIRECTORY` (the quarantine:
    /// <https://git-scm.com/docs/git-receive-pack#_quarantine_environment>) and `GIT_ALTERNATE_OBJECT_DIRECTORIES`.
    pub object_folders: Vec<PathBuf>,
    /// Which commits the receiver has already.
    pub known: Known,
}

/// Commits that a push does not bring, since the receiver has them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Known {
    /// What any ref reaches: right on the receiving side.
    #[default]
    AllRefs,
    /// What the remote branches of this remote and the old ids reach: right in a `pre-push` hook.
    Remote(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_or_refused() {
        let range = |text: &str| text.parse::<Range>().map(|range| (range.from, range.to, range.symmetric));
        assert_eq!(range("a..b").unwrap(), (Some("a".to_owned()), "b".to_owned(), false));
        assert_eq!(range("a...").unwrap(), (Some("a".to_owned()), "HEAD".to_owned(), true));
        assert_eq!(range("..b").unwrap(), (Some("HEAD".to_owned()), "b".to_owned(), false));
        assert_eq!(range("b").unwrap(), (None, "b".to_owned(), false));
        for bad in ["", "..", "...", "a..b..c", "a....b", "--all", "a..--all"] {
            assert!(range(bad).unwrap_err().to_string().contains("is no range of commits"), "{bad}");
        }
    }

    #[test]
    fn lines_of_a_push_are_read_or_refused() {
        let (one, zero) = ("1".repeat(40), "0".repeat(40));
        let updates =
            Update::parse_lines(&format!("{zero} {one} refs/heads/a b\n{one} {zero} refs/tags/v1\n"));
        let updates = updates.unwrap();
        assert_eq!((&updates[0].old, updates[0].new.as_ref()), (&None, Some(&one)));
        assert_eq!((updates[0].name.as_str(), &updates[1].new), ("refs/heads/a b", &None));
        for bad in [
            "",
            "x",
            &format!("{one} {one}"),
            &format!("{one} {one} "),
            &format!("{one} {} refs/heads/a", "2".repeat(64)),
            &format!("{one} {} refs/heads/a", "g".repeat(40)),
            &format!("{one} {one} refs/heads/\u{1b}"),
        ] {
            let text = format!("{zero} {one} refs/heads/a\n{bad}\n");
            assert!(matches!(Update::parse_lines(&text), Err(ScanError::Update { line: 2, .. })), "{bad}");
        }
    }
}
