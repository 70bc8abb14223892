//! Access keys in the shapes that people and tools keep them in.
//!
//! Read are: JSON as `aws iam create-access-key`, `aws sts assume-role` and `aws configure export-credentials --format process` print it;
//! lines as in `~/.aws/credentials` or an env file; and `ID:SECRET`. Sources: the AWS CLI user guide, "Configuration and credential file
//! settings" and "Sourcing credentials with an external process".

use std::fmt;

use quell_core::secret::SecretValue;
use serde_json::Value;
use zeroize::Zeroizing;

/// An access key with its secret, and the token of a session when it is temporary.
pub(crate) struct Keys {
    /// `AKIA…` for a user's key, `ASIA…` for a session's. Not secret.
    pub(crate) id: String,
    pub(crate) secret: Zeroizing<String>,
    pub(crate) token: Option<Zeroizing<String>>,
}

/// Why a text holds no access key that can be used. The text is not repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadKeys(pub(crate) &'static str);

/// A value with its key taken out: a successor is put in, and everything around it stays as it was.
pub(crate) struct Layout(Zeroizing<String>);

/// Stand where the id and the secret go. No key holds `<`.
const ID: &str = "<access key id>";
const SECRET: &str = "<secret access key>";

/// When there is no old value to learn the shape from.
const PLAIN: &str = r#"{"AccessKeyId":"<access key id>","SecretAccessKey":"<secret access key>"}"#;

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layout(…)")
    }
}

impl Keys {
    /// Finds the one key in a value.
    pub(crate) fn of(value: &SecretValue) -> Result<Self, BadKeys> {
        let text = value.expose_text().ok_or(BadKeys("it is not UTF-8"))?;
        let mut found = Found::default();
        let trimmed = text.trim();
        if trimmed.starts_with('{') {
            let json: Value = serde_json::from_str(trimmed).map_err(|_e| BadKeys("it is not JSON"))?;
            found.object(&json, 0)?;
        } else if !trimmed.contains(['=', '\n']) {
            let (id, secret) = trimmed.split_once(':').ok_or(BadKeys(SHAPES))?;
            found.take("accesskeyid", id)?;
            found.take("secretaccesskey", secret)?;
        } else {
            found.lines(trimmed)?;
        }
        found.done()
    }

    /// A long-term key of a user: the only kind that is rotated.
    pub(crate) fn of_user(value: &SecretValue) -> Result<Self, BadKeys> {
        let keys = Self::of(value)?;
        if keys.token.is_some() || keys.id.starts_with("ASIA") {
            return Err(BadKeys(
                "it is a session's temporary key: it ends by itself, and its sessions are denied with those of the key it came from",
            ));
        }
        Ok(keys)
    }
}

impl Layout {
    /// The shape of a value.
    pub(crate) fn of(value: Option<&SecretValue>) -> Result<Self, BadKeys> {
        let Some(value) = value else { return Ok(Self(Zeroizing::new(PLAIN.to_owned()))) };
        let keys = Keys::of_user(value)?;
        let text = value.expose_text().ok_or(BadKeys("it is not UTF-8"))?;
        let twice = BadKeys("the key stands in it more than once, so it cannot be replaced in its place");
        let without = replaced(text, &keys.id, ID).ok_or(twice)?;
        // JSON may write `/` as `\/`.
        let escaped = Zeroizing::new(keys.secret.replace('/', "\\/"));
        let without =
            replaced(&without, &keys.secret, SECRET).or_else(|| replaced(&without, &escaped, SECRET));
        without.map(Self).ok_or(twice)
    }

    /// Reads back what [`Layout::into_value`] gave; `None` for a value that holds a key.
    pub(crate) fn from_value(value: &SecretValue) -> Option<Self> {
        let text = value.expose_text()?;
        (text.contains(ID) && text.contains(SECRET)).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The shape itself, which is no credential.
    pub(crate) fn into_value(self) -> SecretValue {
        SecretValue::new(self.0.as_bytes().to_vec())
    }

    /// The value with a key in it. Neither part of a key needs an escape in any of the shapes.
    pub(crate) fn filled(&self, id: &str, secret: &str) -> SecretValue {
        let with_id = Zeroizing::new(self.0.replacen(ID, id, 1));
        let text = Zeroizing::new(with_id.replacen(SECRET, secret, 1));
        SecretValue::new(text.as_bytes().to_vec())
    }
}

const SHAPES: &str = "it is neither JSON with AccessKeyId and SecretAccessKey, nor lines with aws_access_key_id and aws_secret_access_key, nor ID:SECRET";

/// More levels than any tool prints.
const DEPTH_MAX: usize = 4;

#[derive(Default)]
struct Found {
    id: Option<String>,
    secret: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
}

impl Found {
    /// `AccessKeyId`, `access_key_id` and `AWS_ACCESS_KEY_ID` are one name.
    fn take(&mut self, name: &str, value: &str) -> Result<(), BadKeys> {
        let name: String =
            name.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_lowercase();
        let value = value.trim();
        let more = BadKeys("it holds more than one access key");
        match name.strip_prefix("aws").unwrap_or(&name) {
            "accesskeyid" => self.id.replace(value.to_owned()).map_or(Ok(()), |_| Err(more)),
            "secretaccesskey" => {
                self.secret.replace(Zeroizing::new(value.to_owned())).map_or(Ok(()), |_| Err(more))
            }
            "sessiontoken" => {
                self.token.replace(Zeroizing::new(value.to_owned())).map_or(Ok(()), |_| Err(more))
            }
            _ => Ok(()),
        }
    }

    fn object(&mut self, json: &Value, depth: usize) -> Result<(), BadKeys> {
        let Value::Object(map) = json else { return Ok(()) };
        if depth > DEPTH_MAX {
            return Err(BadKeys(SHAPES));
        }
        for (name, value) in map {
            match value {
                Value::String(text) => self.take(name, text)?,
                Value::Object(_) => self.object(value, depth + 1)?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
            }
        }
        Ok(())
    }

    fn lines(&mut self, text: &str) -> Result<(), BadKeys> {
        for line in text.lines().map(str::trim) {
            if line.starts_with(['#', ';', '[']) {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            if let Some((name, value)) = line.split_once('=') {
                self.take(name.trim(), unquoted(value.trim()))?;
            }
        }
        Ok(())
    }

    fn done(self) -> Result<Keys, BadKeys> {
        let (Some(id), Some(secret)) = (self.id, self.secret) else { return Err(BadKeys(SHAPES)) };
        // IAM API reference, data type AccessKey: 16 to 128 word characters.
        let is_id = (16..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !is_id {
            return Err(BadKeys("the access key id is not one: AKIA and capital letters or digits"));
        }
        let is_secret = (16..=128).contains(&secret.len())
            && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+' | b'='));
        if !is_secret {
            return Err(BadKeys("the secret access key is not one: 40 letters, digits, `/` or `+`"));
        }
        Ok(Keys { id, secret, token: self.token.filter(|token| !token.is_empty()) })
    }
}

fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

/// `None` unless `old` stands in `text` exactly once.
fn replaced(text: &str, old: &str, new: &str) -> Option<Zeroizing<String>> {
    let (before, after) = text.split_once(old)?;
    (!after.contains(old)).then(|| Zeroizing::new([before, new, after].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AKIA: &str = "AKIAIOSFODNN7EXAMPLE";
    const HUSH: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn value(text: &str) -> SecretValue {
        SecretValue::from_text(text.to_owned())
    }

    #[test]
    fn every_shape_is_read_and_kept() {
        let escaped = HUSH.replace('/', "\\/");
        let shapes = [
            format!("{AKIA}:{HUSH}"),
            format!(r#"{{"AccessKeyId":"{AKIA}","SecretAccessKey":"{HUSH}"}}"#),
            format!(
                "{{\n  \"region\": \"eu-west-1\",\n  \"aws_secret_access_key\": \"{escaped}\",\n  \"aws_access_key_id\": \"{AKIA}\"\n}}\n"
            ),
            format!(
                r#"{{"AccessKey":{{"UserName":"orders","AccessKeyId":"{AKIA}","SecretAccessKey":"{HUSH}","Status":"Active"}}}}"#
            ),
            format!(
                "[default]\naws_access_key_id = {AKIA}\naws_secret_access_key = {HUSH}\nregion = eu-west-1\n"
            ),
            format!("# kept\nexport AWS_ACCESS_KEY_ID='{AKIA}'\nexport AWS_SECRET_ACCESS_KEY=\"{HUSH}\"\n"),
        ];
        for shape in shapes {
            let old = value(&shape);
            let keys = Keys::of_user(&old).unwrap();
            assert_eq!((keys.id.as_str(), keys.secret.as_str()), (AKIA, HUSH), "{shape}");
            let layout = Layout::of(Some(&old)).unwrap().into_value();
            assert!(Keys::of(&layout).is_err(), "a layout is no key");
            let new = Layout::from_value(&layout)
                .unwrap()
                .filled("AKIANEWNEWNEWNEWNEW1", "n/ew+ew0ewNewNewNewNewNewNewNewNewNewNew0");
            let expected = shape
                .replace(AKIA, "AKIANEWNEWNEWNEWNEW1")
                .replace(HUSH, "n/ew+ew0ewNewNewNewNewNewNewNewNewNewNew0");
            let expected = expected.replace(&escaped, "n/ew+ew0ewNewNewNewNewNewNewNewNewNewNew0");
            assert_eq!(new.expose_text().unwrap(), expected);
            assert_eq!(Keys::of_user(&new).unwrap().id, "AKIANEWNEWNEWNEWNEW1");
        }
        let fresh = Layout::of(None).unwrap().filled(AKIA, HUSH);
        assert_eq!(Keys::of_user(&fresh).unwrap().secret.as_str(), HUSH);
    }

    #[test]
    fn what_is_no_single_key_is_refused_and_not_repeated() {
        let session =
            format!(r#"{{"Credentials":{{"AccessKeyId":"ASIA{HUSH}","SecretAccessKey":"{HUSH}"}}}}"#);
        for bad in [
            String::new(),
            HUSH.to_owned(),
            format!("{AKIA}:short"),
            format!("{HUSH}:{AKIA}"),
            format!("{AKIA}:{HUSH}\r\nX: y"),
            "{".to_owned(),
            format!(r#"{{"AccessKeyId":"{AKIA}"}}"#),
            format!(
                "[a]\naws_access_key_id={AKIA}\naws_secret_access_key={HUSH}\n[b]\naws_access_key_id={AKIA}\n"
            ),
            session,
        ] {
            let error = Keys::of(&value(&bad)).unwrap_err();
            assert!(!error.to_string().contains(HUSH) && !error.to_string().contains(AKIA), "{bad}");
        }
        let temporary = format!(
            r#"{{"AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"{HUSH}","SessionToken":"x","Version":1}}"#
        );
        assert_eq!(Keys::of(&value(&temporary)).unwrap().token.unwrap().as_str(), "x");
        assert!(Keys::of_user(&value(&temporary)).is_err());
        let twice =
            format!("{{\"AccessKeyId\":\"{AKIA}\",\"SecretAccessKey\":\"{HUSH}\",\"note\":\"{AKIA}\"}}");
        assert!(Layout::of(Some(&value(&twice))).is_err());
        assert!(!format!("{:?}", Keys::of(&value(&twice)).unwrap()).contains(HUSH));
    }
}
