//! Texts with holes: `Bearer {key}` is filled, `SG.{id}.{rest}` takes a value apart.
//!
//! `{{` stands for `{`. A hole's name is letters, digits, `_` and dots.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// A text with holes.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Hole(String),
}

impl Template {
    /// Reads it. The error says what is wrong, without the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            let (name, after) =
                after.split_once('}').ok_or("a `{` is never closed; write `{{` for a brace")?;
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            if name.is_empty() || !name.chars().all(good) {
                return Err(format!("`{{{name}}}` is no name of a hole; write `{{{{` for a brace"));
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Hole(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The names of its holes, in order.
    pub(super) fn holes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Hole(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// Fills every hole; the error is the name of the one that nothing is known for.
    pub(super) fn fill(
        &self,
        find: &dyn Fn(&str) -> Option<Zeroizing<String>>,
    ) -> Result<Zeroizing<String>, String> {
        // Large enough from the start: what grows leaves copies behind.
        let mut out = Zeroizing::new(String::with_capacity(4096));
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Hole(name) => out.push_str(&find(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(out)
    }

    /// Takes `text` apart: each hole reaches to the next plain text, the last one to the end. `None` when it does not fit, or a
    /// part would be empty.
    pub(super) fn parts(&self, text: &str) -> Option<BTreeMap<String, Zeroizing<String>>> {
        let mut found = BTreeMap::new();
        let mut rest = text;
        let mut open: Option<&str> = None;
        for piece in &self.0 {
            match (piece, open.take()) {
                (Piece::Text(plain), None) => rest = rest.strip_prefix(plain.as_str())?,
                (Piece::Text(plain), Some(name)) => {
                    let (part, after) = rest.split_once(plain.as_str())?;
                    put(&mut found, name, part)?;
                    rest = after;
                }
                // Two holes side by side cannot be told apart.
                (Piece::Hole(_), Some(_)) => return None,
                (Piece::Hole(name), None) => open = Some(name),
            }
        }
        match open {
            Some(name) => put(&mut found, name, rest)?,
            None if rest.is_empty() => {}
            None => return None,
        }
        Some(found)
    }
}

fn put(found: &mut BTreeMap<String, Zeroizing<String>>, name: &str, part: &str) -> Option<()> {
    if part.is_empty() {
        return None;
    }
    found.insert(name.to_owned(), Zeroizing::new(part.to_owned()));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(shape: &str, text: &str) -> Option<Vec<String>> {
        let found = Template::parse(shape).unwrap().parts(text)?;
        Some(found.iter().map(|(name, part)| format!("{name}={}", part.as_str())).collect())
    }

    #[test]
    fn holes_are_filled_and_an_unknown_one_is_named() {
        let template = Template::parse("{{ a {key} {vars.x} }").unwrap();
        assert_eq!(template.holes().collect::<Vec<_>>(), ["key", "vars.x"]);
        let find = |name: &str| (name == "key").then(|| Zeroizing::new("K".to_owned()));
        assert_eq!(template.fill(&find).unwrap_err(), "vars.x");
        let all = |_: &str| Some(Zeroizing::new("K".to_owned()));
        assert_eq!(template.fill(&all).unwrap().as_str(), "{ a K K }");
        for bad in ["{", "a {b", "{}", "{a b}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        /// Files and values are strangers' texts.
        #[test]
        fn any_text_is_read_or_refused_and_what_is_taken_apart_goes_together_again(
            shape in "[a-z{}.:/-]{0,12}",
            value in "[a-z.:/-]{0,16}",
        ) {
            let Ok(template) = Template::parse(&shape) else { return Ok(()) };
            if let Some(parts) = template.parts(&value) {
                let unique = template.holes().count() == parts.len();
                let again = template.fill(&|hole| parts.get(hole).cloned()).unwrap();
                proptest::prop_assert!(!unique || again.as_str() == value);
            }
        }
    }

    #[test]
    fn a_value_is_taken_apart_or_does_not_fit() {
        assert_eq!(parts("SG.{id}.{rest}", "SG.a.b.c").unwrap(), ["id=a", "rest=b.c"]);
        assert_eq!(parts("https://h/{id}/{token}", "https://h/1/t").unwrap(), ["id=1", "token=t"]);
        assert_eq!(parts("{key}-{dc}", "abc-us6").unwrap(), ["dc=us6", "key=abc"]);
        for (shape, text) in
            [("SG.{id}.{rest}", "SG.a"), ("{a}:{b}", ":b"), ("x{a}y", "xay!"), ("{a}{b}", "ab")]
        {
            assert!(parts(shape, text).is_none(), "{shape} {text}");
        }
    }
}
