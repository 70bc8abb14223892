//! What verifiers trust: a text with public keys.
//!
//! A key that is taken away leaves a line in its place, so that its successor stands where it stood (minisign reads a file's first two lines and no
//! more); it says which key it was.

use jiff::Timestamp;

use super::{Hashes, Scheme};

/// A part of a trust root, with its line breaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part<P> {
    /// A key, with the comment that is the key's.
    Key(P, String),
    /// A line that is no part of a key.
    Line(String),
}

/// Something that nobody else signed.
pub(crate) struct Canary {
    hashes: Hashes,
    signature: String,
}

impl Canary {
    pub(crate) fn of<S: Scheme>(key: &S::Secret, now: Timestamp) -> Result<Self, &'static str> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|_e| "the system gave no randomness")?;
        let hashes = Hashes::of(&random);
        let signature = S::sign(key, &hashes, "quell-canary", now.as_second())?;
        Ok(Self { hashes, signature })
    }

    pub(crate) fn is_taken_by<S: Scheme>(&self, key: &S::Public) -> bool {
        S::takes(key, &self.signature, &self.hashes)
    }
}

/// The text of a trust root.
pub(crate) struct Root<S: Scheme>(Vec<Part<S::Public>>);

impl<S: Scheme> Root<S> {
    /// Reads a text. One that holds no key, and of which none was taken away, is something else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let parts = S::parts(text)?;
        let says = |part: &Part<S::Public>| match part {
            Part::Key(..) => true,
            Part::Line(line) => line.starts_with(S::DROPPED),
        };
        parts.iter().any(says).then_some(Self(parts))
    }

    pub(crate) fn text(&self) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Key(_, text) | Part::Line(text) => text.as_str(),
        });
        parts.collect()
    }

    /// All keys in it.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &S::Public> {
        self.0.iter().filter_map(|part| match part {
            Part::Key(key, _) => Some(key),
            Part::Line(_) => None,
        })
    }

    pub(crate) fn holds(&self, key: &S::Public) -> bool {
        self.keys().any(|it| S::same(it, key))
    }

    fn dropped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().enumerate().filter_map(|(at, part)| match part {
            Part::Line(line) => Some((at, line.strip_prefix(S::DROPPED)?)),
            Part::Key(..) => None,
        })
    }

    pub(crate) fn was_dropped(&self, key: &S::Public) -> bool {
        let digest = S::digest(key);
        self.dropped().any(|(_, line)| line.split(' ').any(|it| it == digest))
    }

    /// Puts a key where the last one was taken away, or at the end.
    pub(crate) fn add(&mut self, key: &S::Public) {
        let at = self.dropped().next().map_or(self.0.len(), |(at, _)| at);
        if let Some(Part::Key(_, text) | Part::Line(text)) =
            at.checked_sub(1).and_then(|at| self.0.get_mut(at))
            && !text.ends_with('\n')
        {
            text.push('\n');
        }
        self.0.insert(at, Part::Key(key.clone(), S::lines(key)));
    }

    /// Takes a key away, however often it is there, however it is called and however it is spelled: whatever takes a `canary` of it. Gives whether
    /// it was there.
    pub(crate) fn drop_key(&mut self, key: &S::Public, canary: &Canary, at: Timestamp) -> bool {
        let at = at.round(jiff::Unit::Second).unwrap_or(at);
        let mut found = false;
        for part in &mut self.0 {
            let is = match part {
                Part::Key(it, _) => S::same(it, key) || canary.is_taken_by::<S>(it),
                Part::Line(_) => false,
            };
            if is {
                found = true;
                *part = Part::Line(format!("{}{} {} at {at}\n", S::DROPPED, S::name(key), S::digest(key)));
            }
        }
        found
    }
}
