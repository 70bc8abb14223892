//! Connection URLs taken apart as text.
//!
//! Replacing the user and the password leaves every other byte of a URL as it was: parameters, several hosts,
//! the scheme of a client library. Grammar: RFC 3986, read as clients do (PostgreSQL 15 documentation, 34.1.1.2 "Connection
//! URIs"; <https://www.iana.org/assignments/uri-schemes/prov/redis>).

use std::fmt;

use quell_core::secret::SecretValue;
use zeroize::Zeroizing;

/// URLs of one kind of system.
#[derive(Debug)]
pub(crate) struct Family {
    /// All schemes that its clients know.
    pub(crate) schemes: &'static [&'static str],
    /// The port of a URL that names none.
    pub(crate) port: u16,
    /// Who a URL that names no user logs in as, where the system has such a user.
    pub(crate) nobody: Option<&'static str>,
    /// What is said of a text that has another scheme.
    pub(crate) otherwise: &'static str,
    /// What is said of a text that is neither a URL of the family nor a bare password.
    pub(crate) neither: &'static str,
}

/// Where a server listens.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A connection URL. Names, password and tail may be secret, so `Debug` shows nothing.
pub(crate) struct Dsn {
    family: &'static Family,
    /// `postgres://`.
    head: String,
    /// Whether the URL has a part before `@`.
    has_user_info: bool,
    user: Option<String>,
    password: Option<Zeroizing<String>>,
    /// As written: `db-1:5432,db-2:5432`.
    hosts: String,
    /// As written: `/orders`.
    path: String,
    /// As written, in order: `sslmode=require`. libpq also accepts `user` and `password` here.
    parameters: Vec<Zeroizing<String>>,
}

/// Why a text is not a usable connection URL. The text is never repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadDsn(pub(crate) &'static str);

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dsn(…)")
    }
}

impl Place {
    /// As people write it.
    pub(crate) fn words(&self) -> String {
        place(&self.host, self.port)
    }

    /// Whether two names are those of one server; the names of one's own machine are alike.
    fn is(&self, other: &Self) -> bool {
        let own = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
        let same = self.host.eq_ignore_ascii_case(&other.host) || (own(&self.host) && own(&other.host));
        same && self.port == other.port
    }
}

impl Family {
    /// True when the text has one of the schemes, also as written for JDBC or `SQLAlchemy`.
    pub(crate) fn knows(&self, text: &str) -> bool {
        scheme(text).is_some_and(|scheme| self.schemes.contains(&scheme))
    }
}

fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    scheme.strip_prefix("jdbc:").unwrap_or(scheme).split('+').next()
}

impl Dsn {
    /// Takes a URL apart.
    pub(crate) fn parse(text: &str, family: &'static Family) -> Result<Self, BadDsn> {
        if !family.knows(text) {
            return Err(BadDsn(family.otherwise));
        }
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(BadDsn("the URL holds a space or a control character"));
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadDsn("the URL has no `://`"))?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if tail.contains('#') {
            return Err(BadDsn("the URL has a `#`; inside a password it must be written as %23"));
        }
        // An unescaped `@` inside a password is wrong, but clients that look for the last one accept it.
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let parameters: Vec<_> =
            query.split('&').filter(|p| !p.is_empty()).map(|p| Zeroizing::new(p.to_owned())).collect();
        if user_info.is_none() && (path.contains('@') || parameters.iter().any(|p| key(p).contains('@'))) {
            return Err(BadDsn(
                "the URL has a `/` or `?` before its `@`; inside a password they must be written as %2F and %3F",
            ));
        }
        let (user, password) = match user_info.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            Some((user, password)) => (Some(decode(user)?), Some(decode(password)?)),
            None => (None, None),
        };
        let named = |name: &str| parameter(&parameters, name);
        let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
        Ok(Self {
            family,
            head: format!("{scheme}://"),
            has_user_info: user_info.is_some(),
            user: filled(named("user")?).or(filled(user)),
            password: filled(named("password")?).or(filled(password)).map(Zeroizing::new),
            hosts: hosts.to_owned(),
            path: path.to_owned(),
            parameters,
        })
    }

    /// The scheme, without what client libraries put before or behind it.
    pub(crate) fn scheme(&self) -> &str {
        scheme(&self.head).unwrap_or_default()
    }

    /// The user, decoded.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, decoded.
    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(|p| p.as_str())
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Result<Option<String>, BadDsn> {
        Ok(parameter(&self.parameters, name)?.filter(|value| !value.is_empty()))
    }

    /// The database, when the URL names one.
    pub(crate) fn database(&self) -> Result<Option<String>, BadDsn> {
        if let Some(name) = self.parameter("dbname")? {
            return Ok(Some(name));
        }
        let name = decode(self.path.strip_prefix('/').unwrap_or(&self.path))?;
        Ok(Some(name).filter(|n| !n.is_empty()))
    }

    /// Whether it leads to one of these servers, by any of the hosts that it names.
    pub(crate) fn leads_to(&self, doors: &[Place]) -> Result<bool, BadDsn> {
        for host in self.hosts.split(',') {
            let (host, port) = self.host_port_of(host)?;
            let named = Place { host, port };
            if doors.iter().any(|door| door.is(&named)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Host (or socket folder) and port. Several hosts are refused: an administrator must be sure which server
    /// answers.
    pub(crate) fn host_port(&self) -> Result<(String, u16), BadDsn> {
        if self.hosts.contains(',') {
            return Err(BadDsn("the URL names several hosts; name the one primary"));
        }
        self.host_port_of(&self.hosts)
    }

    fn host_port_of(&self, host: &str) -> Result<(String, u16), BadDsn> {
        let (host, port) = match host.rsplit_once(':') {
            // `[::1]` without a port ends in a bracket.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.to_owned())),
            _ => (host, None),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let host = match self.parameter("host")? {
            Some(host) => host,
            None => decode(host)?,
        };
        let port = match self.parameter("port")?.or(port).filter(|p| !p.is_empty()) {
            Some(port) => port.parse().map_err(|_e| BadDsn("the port of the URL is not a number"))?,
            None => self.family.port,
        };
        Ok((if host.is_empty() { "localhost".to_owned() } else { host }, port))
    }

    /// The same URL for another user and password.
    pub(crate) fn with(&self, user: &str, password: &str) -> Zeroizing<String> {
        let (user, password) = (encode(user), Zeroizing::new(encode(password)));
        let in_parameters = self.parameters.iter().any(|p| key(p) == "user");
        let mut text = Zeroizing::new(self.head.clone());
        if self.has_user_info || !in_parameters {
            for part in [&user, ":", &password, "@"] {
                text.push_str(part);
            }
        }
        text.push_str(&self.hosts);
        text.push_str(&self.path);
        for (i, parameter) in self.parameters.iter().enumerate() {
            text.push(if i == 0 { '?' } else { '&' });
            match key(parameter) {
                name @ ("user" | "password") => {
                    text.push_str(name);
                    text.push('=');
                    text.push_str(if name == "user" { &user } else { &password });
                }
                _ => text.push_str(parameter),
            }
        }
        text
    }
}

/// A URL that is made here. `tail` is what follows the login, as it is to be written: place, path and query.
pub(crate) fn make(scheme: &str, user: &str, password: &str, tail: &str) -> SecretValue {
    let password = Zeroizing::new(encode(password));
    let mut text = Zeroizing::new(String::new());
    for part in [scheme, "://", &encode(user), ":", &password, "@", tail] {
        text.push_str(part);
    }
    SecretValue::new(text.as_bytes().to_vec())
}

/// Host and port, as people write them.
pub(crate) fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Percent-encodes all but the unreserved characters of RFC 3986, 2.3.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

/// Undoes percent-encoding. A `%` that starts no code stays, as many clients read it.
fn decode(text: &str) -> Result<String, BadDsn> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = match (byte, after) {
            (b'%', [high, low, ..]) => hex::decode([*high, *low]).ok().and_then(|c| c.first().copied()),
            _ => None,
        };
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    if bytes.contains(&0) {
        return Err(BadDsn("the URL holds a zero byte"));
    }
    String::from_utf8(bytes).map_err(|_e| BadDsn("a part of the URL is not UTF-8"))
}

fn key(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or_default()
}

fn parameter(parameters: &[Zeroizing<String>], name: &str) -> Result<Option<String>, BadDsn> {
    // libpq takes the last of several.
    match parameters.iter().rev().find(|p| key(p) == name) {
        Some(found) => decode(found.split_once('=').map_or("", |(_, value)| value)).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FAMILY: Family = Family {
        schemes: &["postgres", "postgresql"],
        port: 5432,
        nobody: None,
        otherwise: "it is no URL of ours",
        neither: "it is neither",
    };

    fn parse(text: &str) -> Result<Dsn, BadDsn> {
        Dsn::parse(text, &FAMILY)
    }

    #[test]
    fn parts_are_decoded() {
        let dsn =
            parse("postgresql://we%22ird:p%40ss%3A%2F@db.example:6432/or%20ders?sslmode=require").unwrap();
        assert_eq!(dsn.user(), Some("we\"ird"));
        assert_eq!(dsn.password(), Some("p@ss:/"));
        assert_eq!(dsn.host_port().unwrap(), ("db.example".to_owned(), 6432));
        assert_eq!(dsn.database().unwrap().as_deref(), Some("or ders"));
        assert_eq!(dsn.parameter("sslmode").unwrap().as_deref(), Some("require"));
        assert_eq!(dsn.scheme(), "postgresql");
        assert_eq!(parse("jdbc:postgresql+x://h/d").unwrap().scheme(), "postgresql");
        assert_eq!(format!("{dsn:?}"), "Dsn(…)");
    }

    #[test]
    fn only_user_and_password_change() {
        for (old, new) in [
            ("postgres://a:old@h/db?x=1&y=%20#", None),
            ("postgres://a:old@h:5432/db?x=1&y=%20z", Some("postgres://b%22:n%2Fw@h:5432/db?x=1&y=%20z")),
            ("postgres://a:o@ld@h1:1,h2:2/db", Some("postgres://b%22:n%2Fw@h1:1,h2:2/db")),
            ("postgresql+psycopg://a:old@[::1]/db", Some("postgresql+psycopg://b%22:n%2Fw@[::1]/db")),
            (
                "postgres:///db?host=/run/pg&user=a&password=old&z",
                Some("postgres:///db?host=/run/pg&user=b%22&password=n%2Fw&z"),
            ),
            ("postgres://h/db", Some("postgres://b%22:n%2Fw@h/db")),
            ("postgres://a@h", Some("postgres://b%22:n%2Fw@h")),
        ] {
            let changed = parse(old).ok().map(|dsn| dsn.with("b\"", "n/w").to_string());
            assert_eq!(changed.as_deref(), new, "{old}");
        }
    }

    #[test]
    fn hosts_of_every_shape() {
        for (text, host, port) in [
            ("postgres://[::1]:7/db", "::1", 7),
            ("postgres://[::1]/db", "::1", 5432),
            ("postgres:///db", "localhost", 5432),
            ("postgres://%2Frun%2Fpg:9/db", "/run/pg", 9),
            ("postgres://ignored/db?host=%2Frun%2Fpg&port=8", "/run/pg", 8),
        ] {
            assert_eq!(parse(text).unwrap().host_port().unwrap(), (host.to_owned(), port), "{text}");
        }
        assert!(parse("postgres://h1,h2/db").unwrap().host_port().is_err());
        assert!(parse("postgres://u:p@h:99999/db").unwrap().host_port().is_err());
    }

    #[test]
    fn a_made_url_is_read_as_it_was_meant() {
        let made = make("postgres", "b\"", "n/w", &format!("{}/db", place("::1", 7)));
        let dsn = parse(made.expose_text().unwrap()).unwrap();
        assert_eq!((dsn.user(), dsn.password()), (Some("b\""), Some("n/w")));
        assert_eq!(dsn.host_port().unwrap(), ("::1".to_owned(), 7));
        assert_eq!(place("h", 1), "h:1");
    }

    #[test]
    fn bad_urls_are_not_repeated() {
        for bad in [
            "hunter2",
            "mysql://u:hunter2@h/db",
            "postgres://u:hunter2 @h/db",
            "postgres://u:hunter2#@h/db",
            "postgres://u:hunter2%00@h/db",
            "postgres://u:hunter2%FF@h/db",
            "postgres://u:hunter2/x@h/db",
            "postgres://u:hunter2?x@h/db",
        ] {
            let message = parse(bad).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
