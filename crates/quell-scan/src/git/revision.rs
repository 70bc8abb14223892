//! Names of commits as people write them: <https://git-scm.com/docs/gitrevisions>, the part that needs no clock.

use super::database::Database;
use super::object::{self, Commit};
use super::refs::Refs;
use super::tips::MAX_TAGS;
use super::{Kind, Oid};
use crate::ScanError;
use crate::finding::printable;

/// Git takes no fewer digits of an id.
const FEWEST_DIGITS: usize = 4;

/// Parents that one `~` may go back.
const MAX_STEPS: usize = 10_000_000;

/// Finds commits by what people call them.
pub(super) struct Resolver<'a> {
    pub(super) database: &'a mut Database,
    pub(super) refs: &'a Refs,
}

/// Why a revision names no commit: what is wrong, and what to do.
type Wrong = (String, String);

impl Resolver<'_> {
    /// The commit that a revision names.
    pub(super) fn commit(&mut self, revision: &str) -> Result<Oid, ScanError> {
        self.resolve(revision).map_err(|wrong| refused(revision, wrong))
    }

    /// The commit that a branch points to. Nothing but a branch, a remote branch or a full name of a ref will do.
    pub(super) fn branch(&mut self, name: &str) -> Result<Oid, ScanError> {
        let names = [name.to_owned(), format!("refs/heads/{name}"), format!("refs/remotes/{name}")];
        let found =
            names.iter().filter(|name| name.starts_with("refs/")).find_map(|name| self.refs.find(name));
        let Some(tip) = found else {
            return Err(refused(
                name,
                wrong("is no branch of this repository", "`git branch --all` lists them"),
            ));
        };
        self.peel(tip).map_err(|wrong| refused(name, wrong))
    }

    fn resolve(&mut self, revision: &str) -> Result<Oid, Wrong> {
        let base_end = revision.find(['~', '^']).unwrap_or(revision.len());
        let (base, mut rest) = revision.split_at_checked(base_end).unwrap_or((revision, ""));
        if base.contains("@{") || base.contains(':') {
            return Err(wrong(
                "is of a form that is not read",
                "give a branch, a tag, an id, or these with `~n` and `^n`",
            ));
        }
        let tip = self.base(base)?;
        let mut at = self.peel(tip)?;
        while let Some(sign) = rest.chars().next() {
            rest = rest.get(sign.len_utf8()..).unwrap_or_default();
            if sign == '^'
                && let Some(after) = rest.strip_prefix("{commit}").or_else(|| rest.strip_prefix("{}"))
            {
                rest = after;
                continue;
            }
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at_checked(digits).unwrap_or_default();
            rest = after;
            let count = if number.is_empty() { Some(1) } else { number.parse::<usize>().ok() };
            let count = count.filter(|count| *count <= MAX_STEPS);
            let count = count.ok_or_else(|| wrong("goes back too far", "give a smaller number"))?;
            at = match sign {
                '~' => self.back(at, count)?,
                '^' if count == 0 => at,
                '^' => self.parent(at, count)?.ok_or_else(|| {
                    wrong(
                        "asks for a parent that the commit does not have",
                        "`git log --parents` lists parents",
                    )
                })?,
                _ => return Err(wrong("is of a form that is not read", "put `~n` or `^n` behind a name")),
            };
        }
        Ok(at)
    }

    fn back(&mut self, from: Oid, count: usize) -> Result<Oid, Wrong> {
        let mut at = from;
        for _ in 0..count {
            let first = || wrong("goes back to before the first commit", "go back fewer commits");
            at = self.parent(at, 1)?.ok_or_else(first)?;
        }
        Ok(at)
    }

    fn parent(&mut self, commit: Oid, number: usize) -> Result<Option<Oid>, Wrong> {
        let read = self.database.read(commit).ok().flatten();
        let commit = read.and_then(|object| Commit::parse(commit, &object.data));
        let unread = || wrong("goes by way of a commit that is not here", "fetch it; `git fsck` says more");
        Ok(commit.ok_or_else(unread)?.parents.get(number.saturating_sub(1)).copied())
    }

    fn base(&mut self, name: &str) -> Result<Oid, Wrong> {
        if name == "HEAD" || name == "@" {
            let none = || wrong("has no commit yet", "make one, or name another branch");
            return self.refs.head.ok_or_else(none);
        }
        // An id in full is never a name.
        let full = Oid::from_hex(name).filter(|oid| oid.format == self.database.format);
        if let Some(oid) = full {
            return Ok(oid);
        }
        if let Some(tip) = self.named(name)? {
            return Ok(tip);
        }
        let digits = name.to_ascii_lowercase();
        if name.len() >= FEWEST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return self.abbreviated(&digits);
        }
        Err(unknown())
    }

    /// A ref. Where a branch and a tag have one name and are not at one place, neither is taken.
    fn named(&self, name: &str) -> Result<Option<Oid>, Wrong> {
        let places = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"];
        let mut found = places.iter().filter_map(|place| self.refs.find(&format!("{place}{name}")));
        let Some(first) = found.next() else {
            return Ok(self.refs.find(&format!("refs/remotes/{name}/HEAD")));
        };
        if found.any(|other| other != first) {
            return Err(wrong("names more than one ref", "write it in full, such as `refs/heads/main`"));
        }
        Ok(Some(first))
    }

    fn abbreviated(&mut self, digits: &str) -> Result<Oid, Wrong> {
        let all = self.database.beginning_with(digits);
        let mut commits: Vec<Oid> = all.iter().copied().filter(|oid| self.peel(*oid).is_ok()).collect();
        match (commits.pop(), commits.len()) {
            (Some(only), 0) => Ok(only),
            (Some(_), _) => Err(wrong("is the beginning of more than one id", "give more digits")),
            (None, _) if all.is_empty() => Err(unknown()),
            (None, _) => Err(wrong("is no commit", "give a commit, a branch or a tag")),
        }
    }

    /// Follows tags to a commit.
    pub(super) fn peel(&mut self, tip: Oid) -> Result<Oid, Wrong> {
        let mut at = tip;
        for _ in 0..MAX_TAGS {
            match self.database.read(at) {
                Ok(Some(object)) => match object.kind {
                    Kind::Commit => return Ok(at),
                    Kind::Tag => {
                        let target = object::tag_target(&object.data);
                        at = target.ok_or_else(|| wrong("is a broken tag", "make the tag anew"))?;
                    }
                    Kind::Blob | Kind::Tree => {
                        return Err(wrong("is no commit", "give a commit, a branch or a tag"));
                    }
                },
                Ok(None) => {
                    return Err(wrong("names an object that is not here", "fetch it, or name another"));
                }
                Err(trouble) => {
                    return Err(wrong(&format!("cannot be read: {trouble}"), "`git fsck` says more"));
                }
            }
        }
        Err(wrong("is a tag of tags, too deep", "name the commit itself"))
    }
}

fn wrong(detail: &str, hint: &str) -> Wrong {
    (detail.to_owned(), hint.to_owned())
}

fn unknown() -> Wrong {
    wrong(
        "is no commit, branch or tag of this repository",
        "`git log --all --oneline` lists what is here; fetch what is not",
    )
}

fn refused(revision: &str, (detail, hint): Wrong) -> ScanError {
    ScanError::Revision { revision: printable(revision), detail, hint }
}
