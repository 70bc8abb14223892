//! A login that is kept as a connection URL, or as a bare password.
//!
//! Stores hold either; what is read here never leaves but as a password for the issuer's own door. Failures say why and never repeat
//! the value.

use quell_core::secret::SecretValue;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::dsn::{Dsn, Family, Place};
use crate::error::{ConfigError, ConnectError};
use crate::shape::more_than_a_password;
use crate::source::SecretSource;

impl Family {
    /// Reads the administrator's URL; `failed` turns the reason into the connector's error.
    pub(crate) async fn admin(
        &'static self,
        source: &SecretSource,
        context: &Context,
        failed: impl Fn(&str) -> ConnectError,
    ) -> Result<Dsn, ConnectError> {
        let value = source.resolve(context).await?;
        let text = value.expose_text().ok_or_else(|| failed("it is not UTF-8"))?;
        Dsn::parse(text.trim_end_matches(['\r', '\n']), self).map_err(|error| failed(error.0))
    }

    /// The user inside a value; none when it is a bare password. `users` are those whose password that could be.
    pub(crate) fn user_in(
        &'static self,
        value: &SecretValue,
        users: &[&str],
    ) -> Result<Option<String>, String> {
        let text = value.expose_text().ok_or("it is not UTF-8")?;
        if self.knows(text) {
            let dsn = Dsn::parse(text, self).map_err(|error| error.0)?;
            let user = dsn.user().or(self.nobody).ok_or("the URL names no user")?;
            return Ok(Some(user.to_owned()));
        }
        self.bare(text, users)?;
        Ok(None)
    }

    /// The password inside a value, whose URL must name `user`.
    pub(crate) fn password_in(
        &'static self,
        value: &SecretValue,
        user: &str,
    ) -> Result<Zeroizing<String>, String> {
        let text = value.expose_text().ok_or("it is not UTF-8")?;
        if !self.knows(text) {
            self.bare(text, &[user])?;
            return Ok(Zeroizing::new(text.to_owned()));
        }
        let dsn = Dsn::parse(text, self).map_err(|error| error.0)?;
        if dsn.user().or(self.nobody) != Some(user) {
            return Err(format!("the user in the URL is not `{user}`"));
        }
        Ok(Zeroizing::new(dsn.password().ok_or("the URL holds no password")?.to_owned()))
    }

    /// Refuses what its bearer would not send as a password: a refusal of it would prove nothing.
    fn bare(&self, text: &str, users: &[&str]) -> Result<(), String> {
        if text.chars().any(char::is_control) {
            return Err("the password holds a line break or a control character".to_owned());
        }
        let mut users = users.to_vec();
        users.extend(self.nobody);
        match more_than_a_password(text, &users) {
            None => Ok(()),
            Some(kind) => Err(format!(
                "{} but looks like {kind}: name the password alone, or a URL with it percent-encoded",
                self.neither
            )),
        }
    }

    /// Why a refusal of a value at these doors says nothing: it is a URL to another server.
    pub(crate) fn elsewhere(&'static self, value: &SecretValue, doors: &[Place]) -> Option<String> {
        let dsn = Dsn::parse(value.expose_text()?, self).ok()?;
        if dsn.leads_to(doors).is_ok_and(|leads| leads) {
            return None;
        }
        let doors = doors.iter().map(Place::words).collect::<Vec<_>>().join(", ");
        Some(format!(
            "the URL leads to another address than {doors}: if that is the same server, list the address in `aliases`; if not, it is to be \
             rotated there"
        ))
    }

    /// `host`, `host:port` or `[address]:port` in the inventory.
    pub(crate) fn place(&'static self, key: &str, text: &str) -> Result<Place, ConfigError> {
        let bad = |why: &str| {
            let message = format!("an address cannot be read: {why}");
            ConfigError::at(key, message, "Write host:port.")
        };
        if text.contains(['/', '@', '?']) {
            return Err(bad("it is a URL; the login is the administrator's"));
        }
        let scheme = self.schemes.first().copied().unwrap_or_default();
        let url = Dsn::parse(&format!("{scheme}://{text}"), self).map_err(|error| bad(error.0))?;
        let (host, port) = url.host_port().map_err(|error| bad(error.0))?;
        Ok(Place { host, port })
    }

    /// A value of the same shape as `old` for another user and password.
    pub(crate) fn successor(&'static self, old: &SecretValue, user: &str, password: &str) -> SecretValue {
        let text = match Dsn::parse(old.expose_text().unwrap_or_default(), self) {
            Ok(dsn) => dsn.with(user, password),
            Err(_bare) => Zeroizing::new(password.to_owned()),
        };
        SecretValue::new(text.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FAMILY: Family = Family {
        schemes: &["redis"],
        port: 6379,
        nobody: Some("default"),
        otherwise: "it is no URL of ours",
        neither: "it is neither",
    };

    fn value(text: &str) -> SecretValue {
        SecretValue::from_text(text.to_owned())
    }

    #[test]
    fn urls_and_bare_passwords_are_read_alike() {
        let user = |text: &str| FAMILY.user_in(&value(text), &["orders"]);
        assert_eq!(user("redis://orders:pw@h"), Ok(Some("orders".to_owned())));
        assert_eq!(user("redis://:pw@h"), Ok(Some("default".to_owned())));
        assert_eq!(user("hunter2"), Ok(None));
        for other in ["mysql://u:hunter2@h", "host=h password=hunter2", "default:hunter2", "hunter2\n"] {
            assert!(!user(other).unwrap_err().contains("hunter2"), "{other}");
        }
        assert!(FAMILY.user_in(&SecretValue::new(vec![0xff]), &[]).is_err());

        let password = |text: &str| FAMILY.password_in(&value(text), "orders").map(|it| it.to_string());
        assert_eq!(password("redis://orders:p%40w@h"), Ok("p@w".to_owned()));
        assert_eq!(password("hunter2"), Ok("hunter2".to_owned()));
        for bad in ["redis://other:hunter2@h", "redis://orders@h", "hunter2\n", "redis://orders:hunter2 @h"] {
            assert!(!password(bad).unwrap_err().contains("hunter2"), "{bad}");
        }
    }

    #[test]
    fn a_url_to_another_server_is_told_without_its_words() {
        let doors = ["db-1:7000", "localhost"].map(|text| FAMILY.place("nodes", text).unwrap());
        let told = |text: &str| FAMILY.elsewhere(&value(text), &doors);
        for here in ["redis://a:p@DB-1:7000/1", "redis://a:p@127.0.0.1", "redis://a:p@x:1,db-1:7000", "bare"]
        {
            assert_eq!(told(here), None, "{here}");
        }
        let why = told("redis://a:p@stranger:7000").unwrap();
        assert!(why.contains("db-1:7000, localhost:6379") && !why.contains("stranger"), "{why}");
        assert!(FAMILY.place("aliases", "redis://u:hunter2@h").is_err());
    }

    #[test]
    fn a_successor_keeps_the_shape() {
        let after = |text: &str| FAMILY.successor(&value(text), "b", "new");
        assert_eq!(after("redis://a:old@h:1/2?x=y").expose_text(), Some("redis://b:new@h:1/2?x=y"));
        assert_eq!(after("old").expose_text(), Some("new"));
    }
}
