//! The connector's part of the inventory.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ssh;
use super::host::Place;
use crate::context::Context;
use crate::error::ConfigError;
use crate::source::SecretSource;

/// How long a change takes to bind, when the inventory does not say. `sshd` reads the file at each login.
const SETTLE_MS: u64 = 1000;

/// More would not be answered within the limit of one call.
const HOSTS_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    user: String,
    hosts: Vec<String>,
    known_hosts: String,
    admin: SecretSource,
    admin_user: Option<String>,
    #[serde(default)]
    sudo: bool,
    #[serde(default)]
    authorized_keys: Vec<String>,
    revoked_keys: Option<String>,
    #[serde(default)]
    options: String,
    settle: Option<SignedDuration>,
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "OpenSSH hosts as issuer",
        "type": "object",
        "additionalProperties": false,
        "required": ["user", "hosts", "known_hosts", "admin"],
        "properties": {
            "user": { "type": "string", "minLength": 1, "description": "The account that the key logs in to" },
            "hosts": {
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
                "minItems": 1,
                "maxItems": HOSTS_MAX,
                "uniqueItems": true,
                "description": "host or host:port of every machine that lets the key in",
            },
            "known_hosts": { "type": "string", "minLength": 1, "description": "The file with the hosts' own keys; a host that is not in it is not spoken to" },
            "admin": { "type": "string", "description": "Reference to the administrator's private key: openbao:…, file:…, env:…, exec:…" },
            "admin_user": { "type": "string", "minLength": 1, "description": "The administrator's account (root)" },
            "sudo": { "type": "boolean", "description": "Whether the administrator works through `sudo -n` (false)" },
            "authorized_keys": {
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
                "description": "Where hosts keep keys, as in AuthorizedKeysFile, with %u, %h and %%; without it each host's `sshd -T` is asked",
            },
            "revoked_keys": { "type": "string", "minLength": 1, "description": "The file of RevokedKeys on the hosts, a text or a KRL: the old key goes into it, too" },
            "options": { "type": "string", "description": "For a key that takes over from none: restrict,from=\"10.0.0.0/8\"" },
            "settle": { "type": "string", "description": "How long a change takes to bind: 2s (1s)" },
        },
    });
    vec![("issuer", schema)]
}

impl Ssh {
    pub(super) fn new(config: &Value, context: &Context) -> Result<Self, ConfigError> {
        let config: Config = ConfigError::parse(config)?;
        let admin_user = config.admin_user.unwrap_or_else(|| "root".to_owned());
        for (key, user) in [("user", &config.user), ("admin_user", &admin_user)] {
            // useradd(8) allows less; a slash or a colon would be read as something else.
            if user.is_empty() || user.starts_with('-') || !user.chars().all(in_name) {
                let hint = "Name the account as `getent passwd` shows it.";
                return Err(ConfigError::at(key, "this is not the name of an account", hint));
            }
        }
        if config.hosts.is_empty() || config.hosts.len() > HOSTS_MAX {
            let why = format!("one to {HOSTS_MAX} hosts are needed");
            return Err(ConfigError::at("hosts", why, "List each machine that lets the key in."));
        }
        let mut hosts = config.hosts.iter().map(|host| place(host)).collect::<Result<Vec<_>, _>>()?;
        hosts.sort();
        if hosts.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(ConfigError::at("hosts", "a host is listed twice", "List each host once."));
        }
        let lines = config.authorized_keys.iter().map(|path| ("authorized_keys", path));
        let lines = lines.chain(config.revoked_keys.iter().map(|path| ("revoked_keys", path)));
        for (key, text) in lines.chain([("options", &config.options)]) {
            if text.chars().any(char::is_control) {
                return Err(ConfigError::at(key, "it holds a control character", "Write it on one line."));
            }
        }
        if config.revoked_keys.as_ref().is_some_and(|path| !path.starts_with('/')) {
            let hint = "Name the file as RevokedKeys does: /etc/ssh/revoked_keys.";
            return Err(ConfigError::at("revoked_keys", "it is not an absolute path", hint));
        }
        Ok(Self {
            context: context.clone(),
            user: config.user,
            hosts,
            known_hosts: context.path(&config.known_hosts),
            admin: config.admin,
            admin_user,
            sudo: config.sudo,
            authorized_keys: config.authorized_keys,
            revoked_keys: config.revoked_keys,
            options: config.options.trim().to_owned(),
            settle_ms: ConfigError::settle_ms(config.settle, SETTLE_MS)?,
        })
    }
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '$')
}

/// `host`, `host:port` or `[address]:port`.
fn place(text: &str) -> Result<Place, ConfigError> {
    let bad = |why: &str| {
        ConfigError::at("hosts", format!("a host cannot be read: {why}"), "Write host or host:port.")
    };
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(|| bad("what is behind `]`"))?)),
        None => match text.split_once(':') {
            // An address of IPv6 without brackets has no port.
            Some((_, rest)) if rest.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => 22,
        Some(port) => {
            port.parse().ok().filter(|port| *port != 0).ok_or_else(|| bad("its port is no number"))?
        }
    };
    let named = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '%');
    if host.is_empty() || !host.chars().all(named) {
        return Err(bad("it is not a name or an address"));
    }
    Ok(Place { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(config: &Value) -> Result<Ssh, ConfigError> {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        Ssh::new(config, &Context::new("/x".into(), http))
    }

    fn good() -> Value {
        json!({ "user": "deploy", "hosts": ["web-1"], "known_hosts": "known_hosts", "admin": "env:A" })
    }

    #[test]
    fn hosts_of_every_shape() {
        let mut config = good();
        config["hosts"] = json!(["web-1:2222", "web-2", "[::1]:7", "fe80::1", "[::2]"]);
        let words: Vec<String> = built(&config).unwrap().hosts.iter().map(Place::words).collect();
        assert_eq!(words, ["[::1]:7", "[::2]:22", "[fe80::1]:22", "web-1:2222", "web-2:22"]);
    }

    #[test]
    fn bad_configurations_name_the_key() {
        assert_eq!(built(&good()).unwrap().known_hosts.display().to_string(), "/x/known_hosts");
        for (key, value) in [
            ("user", json!("")),
            ("user", json!("a b")),
            ("user", json!("-oProxy")),
            ("admin_user", json!("a:b")),
            ("hosts", json!([])),
            ("hosts", json!(["h:0"])),
            ("hosts", json!(["user@h"])),
            ("hosts", json!(["h", "h:22"])),
            ("options", json!("a\nb")),
            ("revoked_keys", json!("revoked")),
            ("settle", json!("-2s")),
        ] {
            let mut config = good();
            config[key] = value;
            let error = built(&config).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{config}");
            assert!(error.hint.is_some());
        }
    }
}
