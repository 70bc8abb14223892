//! The list of keys that services read: the first one signs, all of them verify.

use quell_core::secret::SecretValue;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Encoding;

/// How it is written down.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    /// With commas in between.
    Commas,
    /// A JSON array of texts.
    Json,
    /// A key on each line.
    #[default]
    Lines,
}

/// Stands in an empty list: a key that nobody knows. Services that find no key at all may verify nothing, or not start.
const NOBODY: &str = "quell-nobody-";

/// The same where keys are written as hex or base64, so that services can decode it: 15 bytes, which have one spelling in both whatever follows.
const NOBODY_BYTES: &[u8; 15] = b"quell-nobody---";

/// The keys, in their order.
pub(super) struct List {
    keys: Vec<Zeroizing<String>>,
    shape: Shape,
    encoding: Encoding,
}

impl List {
    pub(super) fn empty(shape: Shape, encoding: Encoding) -> Self {
        Self { keys: Vec::new(), shape, encoding }
    }

    /// Reads a list. What it holds is not repeated.
    pub(super) fn read(value: &SecretValue, shape: Shape, encoding: Encoding) -> Result<Self, &'static str> {
        let text = value.expose_text().ok_or("it is not text")?;
        let kept = |key: &str| Zeroizing::new(key.trim().to_owned());
        let keys: Vec<Zeroizing<String>> = match shape {
            Shape::Commas => text.split(',').map(kept).collect(),
            Shape::Lines => text.lines().map(kept).collect(),
            Shape::Json => {
                let keys: Vec<String> =
                    serde_json::from_str(text).map_err(|_e| "it is no JSON array of texts")?;
                keys.into_iter().map(Zeroizing::new).collect()
            }
        };
        Ok(Self { keys: keys.into_iter().filter(|key| !key.is_empty()).collect(), shape, encoding })
    }

    pub(super) fn holds(&self, key: &SecretValue) -> bool {
        self.keys.iter().any(|it| self.is(it, key))
    }

    /// Puts a key first.
    pub(super) fn add(&mut self, key: &str) -> Result<(), &'static str> {
        let odd = match self.shape {
            Shape::Commas => key.contains([',', '\n']) || key.trim() != key,
            Shape::Lines => key.contains('\n') || key.trim() != key,
            Shape::Json => false,
        };
        if odd || key.is_empty() {
            return Err("the list cannot hold such a key: set `list` to json");
        }
        let begin = self.nobody("");
        self.keys.retain(|it| !it.starts_with(begin.as_str()));
        self.keys.insert(0, Zeroizing::new(key.to_owned()));
        Ok(())
    }

    /// Takes a key out, however often it is there. Gives whether it was.
    pub(super) fn drop_key(&mut self, key: &SecretValue) -> Result<bool, &'static str> {
        let before = self.keys.len();
        let kept = std::mem::take(&mut self.keys);
        self.keys = kept.into_iter().filter(|it| !self.is(it, key)).collect();
        let found = self.keys.len() < before;
        if found && self.keys.is_empty() {
            let nobody = self.nobody(&crate::password::random()?);
            self.keys.push(nobody);
        }
        Ok(found)
    }

    /// A key that begins as those do that nobody knows.
    fn nobody(&self, random: &str) -> Zeroizing<String> {
        match self.encoding {
            Encoding::Base64 | Encoding::Hex => {
                let bytes = Zeroizing::new([&NOBODY_BYTES[..], random.as_bytes()].concat());
                self.encoding.encoded(&bytes)
            }
            Encoding::Text => Zeroizing::new(format!("{NOBODY}{random}")),
        }
    }

    /// The same bytes, however they are written.
    fn is(&self, held: &str, key: &SecretValue) -> bool {
        let value = |text: &str| {
            let bytes =
                self.encoding.decoded(text).unwrap_or_else(|| Zeroizing::new(text.as_bytes().to_vec()));
            SecretValue::new(bytes.to_vec())
        };
        value(held).same_as(&value(key.expose_text().unwrap_or_default()))
    }

    pub(super) fn value(&self) -> SecretValue {
        let mut text = Zeroizing::new(String::new());
        let (open, between, close) = match self.shape {
            Shape::Commas => ("", ",", ""),
            Shape::Lines => ("", "\n", ""),
            Shape::Json => ("[", ", ", "]"),
        };
        text.push_str(open);
        for (at, key) in self.keys.iter().enumerate() {
            if at > 0 {
                text.push_str(between);
            }
            if self.shape == Shape::Json {
                text.push_str(&Zeroizing::new(serde_json::to_string(key.as_str()).unwrap_or_default()));
            } else {
                text.push_str(key);
            }
        }
        text.push_str(close);
        SecretValue::new(text.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> SecretValue {
        SecretValue::from_text(text.to_owned())
    }

    #[test]
    fn the_new_key_comes_first_and_the_old_one_goes() {
        for (shape, before, after) in [
            (Shape::Commas, "old,other", "new,other"),
            (Shape::Lines, "old\nother\nold", "new\nother"),
            (Shape::Json, "[\"old\",\"o\\\"ther\"]", "[\"new\", \"o\\\"ther\"]"),
        ] {
            let mut list = List::read(&value(before), shape, Encoding::Text).unwrap();
            assert!(list.holds(&value("old")) && !list.holds(&value("ol")));
            assert!(list.drop_key(&value("old")).unwrap() && !list.drop_key(&value("old")).unwrap());
            list.add("new").unwrap();
            assert_eq!(list.value().expose_text(), Some(after));
        }
        assert!(List::read(&value("old"), Shape::Json, Encoding::Text).is_err());
        assert!(List::empty(Shape::Lines, Encoding::Text).add("a\nb").is_err());
        assert!(List::empty(Shape::Commas, Encoding::Text).add("a,b").is_err());
    }

    #[test]
    fn the_last_key_makes_room_for_one_that_nobody_knows() {
        let mut list = List::read(&value("old"), Shape::Lines, Encoding::Text).unwrap();
        list.drop_key(&value("old")).unwrap();
        let text = list.value();
        let text = text.expose_text().unwrap();
        assert!(text.starts_with("quell-nobody-") && text.len() > 64);
        list.add("new").unwrap();
        assert_eq!(list.value().expose_text(), Some("new"));
    }

    #[test]
    fn the_key_that_nobody_knows_can_be_decoded() {
        for encoding in [Encoding::Base64, Encoding::Hex] {
            let old = encoding.encoded(b"the old key");
            let mut list = List::read(&value(&old), Shape::Lines, encoding).unwrap();
            assert!(list.drop_key(&value(&old)).unwrap());
            let text = list.value();
            let decoded = encoding.decoded(text.expose_text().unwrap()).unwrap();
            assert!(decoded.starts_with(b"quell-nobody-") && decoded.len() > 64);
            let new = encoding.encoded(b"new");
            list.add(&new).unwrap();
            assert_eq!(list.value().expose_text(), Some(new.as_str()), "it makes room");
        }
    }

    #[test]
    fn one_key_in_two_spellings_is_one_key() {
        let mut list = List::read(&value("00fF\nother\n00FF"), Shape::Lines, Encoding::Hex).unwrap();
        assert!(list.holds(&value("00ff")) && !list.holds(&value("00fe")));
        assert!(list.drop_key(&value("00ff")).unwrap());
        assert_eq!(list.value().expose_text(), Some("other"));
    }
}
