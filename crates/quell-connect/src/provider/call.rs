//! From a call of a file to a request, with every hole filled. The one place where a key is put into something that is sent.

use std::collections::BTreeMap;

use base64::Engine as _;
use quell_core::secret::SecretValue;
use serde_json::Value;
use zeroize::Zeroizing;

use super::file::{Auth, Call, File, Who};
use super::place;
use super::template::Template;

/// A credential as text, with its parts.
pub(super) struct Key {
    text: Zeroizing<String>,
    parts: BTreeMap<String, Zeroizing<String>>,
}

/// Everything that holes are filled with.
pub(super) struct Scope<'a> {
    /// As whom the call is made.
    pub(super) key: Option<&'a Key>,
    /// The key that the call is about.
    pub(super) secret: Option<&'a Key>,
    /// Its id.
    pub(super) id: Option<&'a str>,
    /// The mark of a successor.
    pub(super) tag: Option<&'a str>,
    /// What the inventory says.
    pub(super) vars: &'a BTreeMap<String, String>,
}

/// A request, ready to be sent. Its `Debug` shows nothing.
pub(super) struct Filled {
    pub(super) method: String,
    /// Below the base, encoded.
    pub(super) path: Zeroizing<String>,
    pub(super) headers: Vec<(String, Zeroizing<String>)>,
    pub(super) body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

impl Key {
    /// `shape` names the parts; a value that does not fit is an error.
    pub(super) fn new(value: &SecretValue, shape: Option<&str>) -> Result<Self, String> {
        let text = value.expose_text().ok_or("it is not text")?;
        if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            // With a line break that its bearer would cut off, a refusal of it would prove nothing.
            return Err("it is empty, or has a space or a control character in it".to_owned());
        }
        let parts = match shape {
            None => BTreeMap::new(),
            Some(shape) => Template::parse(shape)?
                .parts(text)
                .ok_or_else(|| format!("it is not built like `{shape}`"))?,
        };
        Ok(Self { text: Zeroizing::new(text.to_owned()), parts })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    pub(super) fn part(&self, name: &str) -> Option<&str> {
        self.parts.get(name).map(|part| part.as_str())
    }
}

impl Scope<'_> {
    fn find(&self, hole: &str) -> Option<Zeroizing<String>> {
        let of = |key: Option<&Key>, part: Option<&str>| match part {
            None => key.map(|key| key.text.clone()),
            Some(part) => key.and_then(|key| key.parts.get(part).cloned()),
        };
        let plain = |text: Option<&str>| text.map(|text| Zeroizing::new(text.to_owned()));
        match hole.split_once('.') {
            None => match hole {
                "key" => of(self.key, None),
                "secret" => of(self.secret, None),
                "id" => plain(self.id),
                "tag" => plain(self.tag),
                _ => None,
            },
            Some(("key", part)) => of(self.key, Some(part)),
            Some(("secret", part)) => of(self.secret, Some(part)),
            Some(("vars", name)) => plain(self.vars.get(name).map(String::as_str)),
            Some(_) => None,
        }
    }

    fn text(&self, template: &str) -> Result<Zeroizing<String>, String> {
        Template::parse(template)?
            .fill(&|hole| self.find(hole))
            .map_err(|hole| format!("nothing is known for `{{{hole}}}`"))
    }

    /// The base of the file, with labels filled in.
    pub(super) fn base(&self, url: &str) -> Result<Zeroizing<String>, String> {
        let label = |hole: &str| self.find(hole).filter(|text| place::is_label(text));
        Template::parse(url)?
            .fill(&label)
            .map_err(|hole| format!("`{{{hole}}}` is not known, or cannot be part of a host's name"))
    }

    fn path(&self, path: &str) -> Result<Zeroizing<String>, String> {
        let encoded = |hole: &str| {
            let text = self.find(hole)?;
            place::encode(&text).map(Zeroizing::new)
        };
        Template::parse(path)?
            .fill(&encoded)
            .map_err(|hole| format!("`{{{hole}}}` is not known, or cannot be part of an address"))
    }

    fn json(&self, template: &Value) -> Result<Value, String> {
        Ok(match template {
            Value::String(text) => Value::String(self.text(text)?.to_string()),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(name, item)| Ok((name.clone(), self.json(item)?)))
                    .collect::<Result<_, String>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
        })
    }

    /// The request of a call. The error says which hole nothing is known for.
    pub(super) fn fill(
        &self,
        call: &Call,
        auth: Option<&Auth>,
        more: Option<&Value>,
    ) -> Result<Filled, String> {
        let mut headers = Vec::new();
        for (name, template) in auth.iter().flat_map(|auth| &auth.headers).chain(&call.headers) {
            headers.push((name.to_ascii_lowercase(), self.text(template)?));
        }
        if let Some(basic) = auth.and_then(|auth| auth.basic.as_ref()) {
            let pair = Zeroizing::new(format!(
                "{}:{}",
                self.text(&basic.user)?.as_str(),
                self.text(&basic.password)?.as_str()
            ));
            let encoded = base64::prelude::BASE64_STANDARD.encode(pair.as_bytes());
            headers.push(("authorization".to_owned(), Zeroizing::new(format!("Basic {encoded}"))));
        }
        let body = match (&call.json, &call.form) {
            (Some(template), _) => {
                let mut body = self.json(template)?;
                if let (Value::Object(body), Some(Value::Object(more))) = (&mut body, more) {
                    // What marks the new key is not the inventory's to change.
                    more.iter().filter(|(name, _)| !template_has(template, name)).for_each(
                        |(name, value)| {
                            body.insert(name.clone(), value.clone());
                        },
                    );
                }
                Some(("application/json", Zeroizing::new(body.to_string().into_bytes())))
            }
            (None, Some(form)) => {
                let mut pairs = url::form_urlencoded::Serializer::new(String::new());
                for (name, template) in form {
                    pairs.append_pair(name, &self.text(template)?);
                }
                for (name, value) in more.and_then(Value::as_object).into_iter().flatten() {
                    if let (false, Some(text)) = (form.contains_key(name), value.as_str()) {
                        pairs.append_pair(name, text);
                    }
                }
                Some(("application/x-www-form-urlencoded", Zeroizing::new(pairs.finish().into_bytes())))
            }
            (None, None) => None,
        };
        Ok(Filled { method: call.method.clone(), path: self.path(&call.path)?, headers, body })
    }
}

fn template_has(template: &Value, name: &str) -> bool {
    template.get(name).is_some_and(|value| value.as_str().is_some_and(|text| text.contains("{tag}")))
}

/// Every text of a call that may have holes, with where it stands.
pub(super) fn texts(file: &File, call: &Call) -> Vec<(&'static str, String)> {
    let mut all = vec![("url", file.url.clone()), ("path", call.path.clone())];
    if let Some(auth) = file.auth(call.who) {
        all.extend(auth.headers.values().map(|text| ("headers", text.clone())));
        all.extend(
            auth.basic
                .iter()
                .flat_map(|basic| [("basic", basic.user.clone()), ("basic", basic.password.clone())]),
        );
    }
    all.extend(call.headers.values().map(|text| ("headers", text.clone())));
    if let Some(json) = &call.json {
        leaves(json, &mut all);
    }
    all.extend(call.form.iter().flat_map(BTreeMap::values).map(|text| ("form", text.clone())));
    all
}

fn leaves(value: &Value, all: &mut Vec<(&'static str, String)>) {
    match value {
        Value::String(text) => all.push(("json", text.clone())),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, all)),
        Value::Object(map) => map.values().for_each(|item| leaves(item, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Does a header of the call itself carry the key?
pub(super) fn names_key(call: &Call) -> bool {
    call.headers.values().any(|text| text.contains("{key"))
}

/// Can this hole ever be filled?
pub(super) fn known_hole(file: &File, hole: &str) -> bool {
    let has = |shape: Option<&str>, part: &str| {
        shape
            .and_then(|shape| Template::parse(shape).ok())
            .is_some_and(|shape| shape.holes().any(|hole| hole == part))
    };
    let own = |part: &str| has(file.shape.as_deref(), part);
    match hole.split_once('.') {
        None => matches!(hole, "key" | "secret" | "id" | "tag"),
        Some(("secret", part)) => own(part),
        Some(("key", part)) => {
            let admins = file.auth(Who::Admin).and_then(|auth| auth.shape.as_deref());
            own(part) || has(admins, part) || has(file.auth.key.shape.as_deref(), part)
        }
        Some(("vars", name)) => file.vars.contains_key(name),
        Some(_) => false,
    }
}

/// Would this hole write the secret down?
pub(super) fn is_secret_hole(file: &File, hole: &str) -> bool {
    match hole.split_once('.') {
        None => matches!(hole, "key" | "secret"),
        Some(("key" | "secret", part)) => !file.public.iter().any(|public| public == part),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out by hand: the model of the tests fills holes by the same code as the connector.
    #[test]
    fn a_request_is_what_the_file_says() {
        let text = "method: POST\npath: '/v1/{vars.team}/keys/{id}?x=1'\nheaders: { X-Version: '7' }\n\
                    json: { token: '{secret}', note: 'a {tag} b', keep: [1, '{secret.kid}'] }\n";
        let call: Call = serde_saphyr::from_str(text).unwrap();
        let auth: Auth = serde_saphyr::from_str("headers: { Authorization: 'Bearer {key}' }").unwrap();
        let key = Key::new(&SecretValue::from_text("K.1".to_owned()), Some("K.{kid}")).unwrap();
        let vars = BTreeMap::from([("team".to_owned(), "a b/..".to_owned())]);
        let scope = Scope { key: Some(&key), secret: Some(&key), id: Some("9"), tag: Some("T"), vars: &vars };
        let more = serde_json::json!({ "scopes": ["read"], "note": "mine" });
        let filled = scope.fill(&call, Some(&auth), Some(&more)).unwrap();
        assert_eq!(filled.path.as_str(), "/v1/a%20b%2F../keys/9?x=1");
        let headers: Vec<String> =
            filled.headers.iter().map(|(name, value)| format!("{name}: {}", value.as_str())).collect();
        assert_eq!(headers, ["authorization: Bearer K.1", "x-version: 7"]);
        let (kind, body) = filled.body.unwrap();
        assert_eq!(kind, "application/json");
        let body: Value = serde_json::from_slice(&body).unwrap();
        let wanted =
            serde_json::json!({ "token": "K.1", "note": "a T b", "keep": [1, "1"], "scopes": ["read"] });
        assert_eq!(body, wanted);
        let basic: Auth = serde_saphyr::from_str("basic: { user: api, password: '{key}' }").unwrap();
        let form: Call =
            serde_saphyr::from_str("method: POST\npath: /r\nform: { token: '{secret}' }").unwrap();
        let filled = scope.fill(&form, Some(&basic), None).unwrap();
        assert_eq!(filled.headers.first().unwrap().1.as_str(), "Basic YXBpOksuMQ==");
        assert_eq!(filled.body.unwrap().1.as_slice(), b"token=K.1");
        let nobody = Scope { key: None, secret: None, id: None, tag: None, vars: &vars };
        let words = nobody.fill(&call, None, None).err().unwrap();
        assert!(words.contains("nothing is known for `{secret"), "{words}");
    }

    #[test]
    fn a_value_with_a_line_break_is_no_key() {
        for bad in ["", "a b", "a\n", "a\u{7f}"] {
            assert!(Key::new(&SecretValue::from_text(bad.to_owned()), None).is_err(), "{bad:?}");
        }
        let words =
            Key::new(&SecretValue::from_text("hunter2".to_owned()), Some("SG.{id}.{rest}")).err().unwrap();
        assert!(!words.contains("hunter2"), "{words}");
    }
}
