//! A login that is kept as a connection URL, or as a bare password.
//!
//! Stores hold either; what is read here never leaves but as a password for the issuer's own door. Failures say why and never repeat
//! the value.

use quell_core::secret::SecretValue;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::dsn::{Dsn, Family};
use crate::error::ConnectError;
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

    /// The user inside a value; none when it is a bare password.
    pub(crate) fn user_in(&'static self, value: &SecretValue) -> Result<Option<String>, &'static str> {
        let text = value.expose_text().ok_or("it is not UTF-8")?;
        if self.knows(text) {
            let dsn = Dsn::parse(text, self).map_err(|error| error.0)?;
            let user = dsn.user().or(self.nobody).ok_or("the URL names no user")?;
            return Ok(Some(user.to_owned()));
        }
        if self.foreign.iter().any(|piece| text.contains(piece)) {
            return Err(self.neither);
        }
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
            if text.chars().any(char::is_control) {
                // With a line break that its bearer would cut off, a refusal of it would prove nothing.
                return Err("the password holds a line break or a control character".to_owned());
            }
            return Ok(Zeroizing::new(text.to_owned()));
        }
        let dsn = Dsn::parse(text, self).map_err(|error| error.0)?;
        if dsn.user().or(self.nobody) != Some(user) {
            return Err(format!("the user in the URL is not `{user}`"));
        }
        Ok(Zeroizing::new(dsn.password().ok_or("the URL holds no password")?.to_owned()))
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
        foreign: &["://", "password="],
        otherwise: "it is no URL of ours",
        neither: "it is neither",
    };

    fn value(text: &str) -> SecretValue {
        SecretValue::from_text(text.to_owned())
    }

    #[test]
    fn urls_and_bare_passwords_are_read_alike() {
        let user = |text: &str| FAMILY.user_in(&value(text));
        assert_eq!(user("redis://orders:pw@h"), Ok(Some("orders".to_owned())));
        assert_eq!(user("redis://:pw@h"), Ok(Some("default".to_owned())));
        assert_eq!(user("hunter2"), Ok(None));
        assert_eq!(user("mysql://u:hunter2@h"), Err("it is neither"));
        assert_eq!(user("host=h password=hunter2"), Err("it is neither"));
        assert!(FAMILY.user_in(&SecretValue::new(vec![0xff])).is_err());

        let password = |text: &str| FAMILY.password_in(&value(text), "orders").map(|it| it.to_string());
        assert_eq!(password("redis://orders:p%40w@h"), Ok("p@w".to_owned()));
        assert_eq!(password("hunter2"), Ok("hunter2".to_owned()));
        for bad in ["redis://other:hunter2@h", "redis://orders@h", "hunter2\n", "redis://orders:hunter2 @h"] {
            assert!(!password(bad).unwrap_err().contains("hunter2"), "{bad}");
        }
    }

    #[test]
    fn a_successor_keeps_the_shape() {
        let after = |text: &str| FAMILY.successor(&value(text), "b", "new");
        assert_eq!(after("redis://a:old@h:1/2?x=y").expose_text(), Some("redis://b:new@h:1/2?x=y"));
        assert_eq!(after("old").expose_text(), Some("new"));
    }
}
