//! What verifiers trust: files with public keys.
//!
//! minisign itself reads a file's first two lines and no more, other programs read lists of such pairs. A key that is taken away leaves a comment in its
//! place, so that its successor stands where it stood; it says which key it was.

use jiff::Timestamp;

use super::key::{COMMENT, Public};

/// Begins the comment that is left.
const DROPPED: &str = "untrusted comment: taken away by Quell: ";

/// The text of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Root(String);

impl Root {
    /// Reads a file. One that holds neither a key nor a comment is something else.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let root = Self(text.to_owned());
        let known = |line: &str| {
            line.trim().is_empty() || line.starts_with(COMMENT.trim_end()) || Public::read(line).is_some()
        };
        let says = text.lines().any(|line| line.starts_with(DROPPED)) || root.keys().next().is_some();
        if says && text.lines().all(known) {
            Ok(root)
        } else {
            Err("it is no file of public keys of minisign")
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// All keys in it.
    pub(super) fn keys(&self) -> impl Iterator<Item = Public> {
        self.0.lines().filter_map(Public::read)
    }

    pub(super) fn holds(&self, key: &Public) -> bool {
        self.keys().any(|it| it == *key)
    }

    pub(super) fn was_dropped(&self, key: &Public) -> bool {
        let digest = key.digest();
        self.0
            .lines()
            .filter_map(|line| line.strip_prefix(DROPPED))
            .any(|line| line.split(' ').any(|it| it == digest))
    }

    /// Puts a key where the last one was taken away, or at the end.
    pub(super) fn add(&mut self, key: &Public) {
        let lines: Vec<&str> = self.0.lines().collect();
        let at = lines.iter().position(|line| line.starts_with(DROPPED)).unwrap_or(lines.len());
        let (before, after) = lines.split_at_checked(at).unwrap_or((&lines, &[]));
        let whole = |lines: &[&str]| lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>();
        self.0 = [whole(before), key.lines(), whole(after)].concat();
    }

    /// Takes a key away, however often it is there. Gives whether it was.
    pub(super) fn drop_key(&mut self, key: &Public, at: Timestamp) -> bool {
        let at = at.round(jiff::Unit::Second).unwrap_or(at);
        let mut lines: Vec<String> = Vec::new();
        let mut found = false;
        for line in self.0.lines() {
            if Public::read(line).as_ref() != Some(key) {
                lines.push(line.to_owned());
                continue;
            }
            found = true;
            // The comment above a key is the key's.
            lines.pop_if(|before| before.starts_with(COMMENT.trim_end()) && !before.starts_with(DROPPED));
            lines.push(format!("{DROPPED}{} {} at {at}", key.name(), key.digest()));
        }
        if found {
            self.0 = lines.iter().flat_map(|line| [line, "\n"]).collect();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Secret;
    use super::*;

    fn key() -> Public {
        Secret::read(&Secret::fresh(false).unwrap()).unwrap().public().clone()
    }

    #[test]
    fn a_successor_stands_where_the_old_key_stood() {
        let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        let (first, old, new) = (key(), key(), key());
        let text = format!("{}{}", first.lines(), old.lines());
        let mut root = Root::read(&text).unwrap();
        assert!(root.holds(&old) && root.drop_key(&old, now) && !root.drop_key(&old, now));
        assert!(!root.holds(&old) && root.was_dropped(&old) && !root.was_dropped(&first));
        root.add(&new);
        let keys: Vec<Public> = root.keys().collect();
        assert_eq!(keys, [first.clone(), new.clone()]);
        assert!(root.text().starts_with(&first.lines()), "a neighbor stays as it was");
        assert_eq!(Root::read(root.text()).as_ref(), Ok(&root));

        // Alone in its file, where minisign reads the first two lines.
        let mut root = Root::read(&old.lines()).unwrap();
        root.drop_key(&old, now);
        assert!(
            root.text().starts_with("untrusted comment: taken away by Quell: ")
                && root.text().lines().count() == 1
        );
        let mut root = Root::read(root.text()).unwrap();
        root.add(&new);
        assert!(root.text().starts_with(&new.lines()));
    }

    #[test]
    fn what_holds_no_key_is_something_else() {
        for text in ["", "\n", "untrusted comment: x\n", "<html>", "untrusted comment: x\nRWQ\n"] {
            assert!(Root::read(text).is_err(), "{text:?}");
        }
        let text = format!("{}hunter2\n", key().lines());
        assert!(Root::read(&text).is_err(), "a line that is neither");
        assert!(Root::read(key().lines().lines().nth(1).unwrap()).is_ok(), "a key without a comment");
    }
}
