//! Where a record stands, which credential was found in it, and what of it may be kept.

use super::Format;
use crate::hash::sha256;
use crate::needle::{Needle, Needles, Spelling};
use crate::record::{Access, Outcome, Role};

/// What is known about a record before its format is: filled in by whoever reads the object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) object: &'a str,
    pub(crate) place: u64,
    pub(crate) bytes: &'a [u8],
    /// The label of the credential that was found in it.
    pub(crate) credential: &'a str,
}

impl Spot<'_> {
    /// A record of which nothing else is known.
    pub(crate) fn access(&self, format: Format, action: String) -> Access {
        Access {
            time: None,
            format,
            object: self.object.to_owned(),
            place: self.place,
            credential: self.credential.to_owned(),
            role: Role::Mentioned,
            actor: None,
            action,
            resource: None,
            address: None,
            agent: None,
            outcome: Outcome::Unknown,
            reads: None,
            request: None,
            account: None,
            region: None,
            made: Vec::new(),
            bytes: None,
            host_id: None,
            sha256: sha256(self.bytes),
        }
    }

    /// Whether a field names the credential. A public id counts only as a whole word, as `app` is another role than `app-ro`.
    pub(super) fn is_in(&self, text: &str, needles: &Needles) -> bool {
        let part_of_word = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let text = text.as_bytes();
        needles.list().iter().filter(|needle| needle.label == self.credential).any(|needle| {
            memchr::memmem::find_iter(text, needle.bytes()).any(|at| {
                let before = at.checked_sub(1).and_then(|before| text.get(before));
                let after = text.get(at + needle.bytes().len());
                needle.spelling != Spelling::Id || !(part_of_word(before) || part_of_word(after))
            })
        })
    }

    /// Whether one of some fields names the credential.
    pub(crate) fn is_in_any<'t>(
        &self,
        texts: impl IntoIterator<Item = Option<&'t str>>,
        needles: &Needles,
    ) -> bool {
        texts.into_iter().flatten().any(|text| self.is_in(text, needles))
    }
}

/// Stands for what a log says where it may hold a credential.
pub(crate) const HIDDEN: &str = "(a part of the line that may hold the credential)";

/// Whichever field a stranger wrote a secret value into, it is not kept. Public ids are.
pub(crate) fn without_values(mut access: Access, needles: &Needles) -> Access {
    let secret: Vec<&Needle> =
        needles.list().iter().filter(|needle| needle.spelling != Spelling::Id).collect();
    let hide = |text: &mut String| {
        if secret.iter().any(|needle| memchr::memmem::find(text.as_bytes(), needle.bytes()).is_some()) {
            HIDDEN.clone_into(text);
        }
    };
    hide(&mut access.action);
    match &mut access.outcome {
        Outcome::Denied(detail) | Outcome::Failed(detail) => hide(detail),
        Outcome::Allowed | Outcome::Unknown => {}
    }
    let Access { actor, resource, address, agent, request, account, region, host_id, .. } = &mut access;
    [actor, resource, address, agent, request, account, region, host_id].into_iter().flatten().for_each(hide);
    access.made.iter_mut().for_each(|made| hide(&mut made.id));
    access
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_id_is_found_as_a_whole_word() {
        let needles = Needles::new(vec![Needle::id("orders-app").unwrap()]).unwrap();
        let spot = Spot { object: "o", place: 1, bytes: b"", credential: "orders-app" };
        for (text, is_in) in [
            ("orders-app", true),
            ("user/orders-app", true),
            ("orders-app-ro orders-app", true),
            ("orders-app-ro", false),
            ("old_orders-app", false),
            ("", false),
        ] {
            assert_eq!(spot.is_in(text, &needles), is_in, "{text}");
        }
    }

    #[test]
    fn a_secret_value_is_not_kept_in_any_field_and_a_public_id_is() {
        use quell_core::secret::SecretValue;
        let mut list =
            Needle::value("the value", &SecretValue::from_text("s3cr3t/value".to_owned())).unwrap();
        list.push(Needle::id("public-id").unwrap());
        let needles = Needles::new(list).unwrap();
        let spot = Spot { object: "o", place: 1, bytes: b"", credential: "the value" };
        let mut access = spot.access(Format::Text, "s3cr3t/value".to_owned());
        access.actor = Some("public-id".to_owned());
        access.agent = Some("curl s3cr3t%2Fvalue".to_owned());
        access.outcome = Outcome::Failed("czNjcjN0L3ZhbHVl".to_owned());
        let access = without_values(access, &needles);
        assert_eq!((access.action.as_str(), access.agent.as_deref()), (HIDDEN, Some(HIDDEN)));
        assert_eq!(access.outcome.detail(), Some(HIDDEN));
        assert_eq!(access.actor.as_deref(), Some("public-id"));
    }
}
