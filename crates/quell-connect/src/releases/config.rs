//! The connector's part of the inventory.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Releases, Scheme};
use crate::context::Context;
use crate::error::ConfigError;
use crate::jwks::config::{public, store};
use crate::source::SecretSource;

/// How long a change takes to bind, when the inventory does not say: verifiers read the file each time.
const SETTLE_MS: u64 = 1000;

/// More would not be answered within the limit of one call.
const ROOTS_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    trust_roots: Vec<BTreeMap<String, Value>>,
    manifest: Option<String>,
    control: Option<SecretSource>,
    settle: Option<SignedDuration>,
}

/// Schema of the issuer of a scheme, which is called `title`.
pub(crate) fn schema(title: &str) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "additionalProperties": false,
        "required": ["trust_roots"],
        "properties": {
            "trust_roots": {
                "type": "array",
                "minItems": 1,
                "maxItems": ROOTS_MAX,
                "items": { "type": "object", "minProperties": 1, "maxProperties": 1 },
                "description": "Every file of public keys that verifiers read, each a store: { file: { path: /etc/app/minisign.pub } }",
            },
            "manifest": { "type": "string", "minLength": 1, "description": "What is current, as sha256sum writes it; each file has its signature beside it and is signed anew" },
            "control": { "type": "string", "description": "Reference to another secret key that all trust roots trust, for a proof before the successor exists" },
            "settle": { "type": "string", "description": "How long verifiers keep what they trust: 10m (1s)" },
        },
    })
}

impl<S: Scheme> Releases<S> {
    pub(super) fn new(config: &Value, context: &Context) -> Result<Self, ConfigError> {
        let config: Config = ConfigError::parse(config)?;
        if config.trust_roots.is_empty() || config.trust_roots.len() > ROOTS_MAX {
            let why = format!("one to {ROOTS_MAX} trust roots are needed");
            return Err(ConfigError::at(
                "trust_roots",
                why,
                "List every file of public keys that verifiers read.",
            ));
        }
        let roots = config.trust_roots.into_iter().map(|root| store("trust_roots", &public(root), context));
        let roots = roots.collect::<Result<Vec<_>, _>>()?;
        let mut targets: Vec<String> = roots.iter().map(|root| root.target()).collect();
        targets.sort();
        targets.dedup();
        if targets.len() != roots.len() {
            return Err(ConfigError::at("trust_roots", "one is listed twice", "List each once."));
        }
        Ok(Self {
            context: context.clone(),
            roots,
            manifest: config.manifest.as_deref().map(|path| context.path(path)),
            control: config.control,
            settle_ms: ConfigError::settle_ms(config.settle, SETTLE_MS)?,
            scheme: std::marker::PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::minisign::Minisign;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new("/x".into(), http);
        let root = |path: &str| json!({ "file": { "path": path } });
        let good = json!({ "trust_roots": [root("a.pub"), root("/etc/b.pub")], "manifest": "SHA256SUMS" });
        let built = Releases::<Minisign>::new(&good, &context).unwrap();
        assert_eq!(built.target_text(), "minisign file /x/a.pub and 1 more");
        assert_eq!(built.manifest.unwrap().display().to_string(), "/x/SHA256SUMS");
        for (key, config) in [
            ("trust_roots", json!({ "trust_roots": [] })),
            ("trust_roots", json!({ "trust_roots": [root("a.pub"), root("a.pub")] })),
            ("trust_roots", json!({ "trust_roots": [{ "http": "https://h" }] })),
            ("trust_roots.path", json!({ "trust_roots": [root("")] })),
            ("settle", json!({ "trust_roots": [root("a.pub")], "settle": "-1s" })),
        ] {
            let error = Releases::<Minisign>::new(&config, &context).map(drop).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{config}");
            assert!(error.hint.is_some());
        }
    }
}
