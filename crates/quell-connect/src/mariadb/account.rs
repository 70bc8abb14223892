//! An account's ways to log in, as `mysql.global_priv` holds them.
//!
//! The table's JSON: <https://mariadb.com/kb/en/mysqlglobal_priv-table/>. With `OR`, `auth_or` lists the methods in order; its `{}` stands for
//! the one that is told beside it (`sql/sql_acl.cc`, `User_table_json::get_auth`).

use std::fmt;

use serde_json::Value;
use sha1::{Digest as _, Sha1};

/// The plugin whose hashes are computed here.
pub(super) const NATIVE: &str = "mysql_native_password";

/// What MariaDB itself writes where no password may fit (`scripts/mariadb_system_tables_data.sql`): it is no hash of anything.
const UNUSABLE: &str = "invalid";

/// Plugins that ask for no password (<https://mariadb.com/kb/en/authentication-plugins/>).
const PASSWORDLESS: [&str; 3] = ["unix_socket", "gssapi", "named_pipe"];

/// `REPL_SLAVE_ACL` (`sql/privilege.h`).
const REPLICATES: u64 = 1 << 19;

/// One way to log in.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Method {
    pub(super) plugin: String,
    hash: String,
}

impl fmt::Debug for Method {
    // Hashes of passwords that people chose can be guessed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl Method {
    pub(super) fn native(hash: String) -> Self {
        Self { plugin: NATIVE.to_owned(), hash }
    }

    /// Refuses every password.
    pub(super) fn unusable() -> Self {
        Self::native(UNUSABLE.to_owned())
    }

    /// The method that takes a password: `*` and the SHA-1 of its SHA-1, as the server would compute it.
    pub(super) fn of(password: &str) -> Self {
        let once = Sha1::digest(password.as_bytes());
        Self::native(format!("*{}", hex::encode_upper(Sha1::digest(once))))
    }

    pub(super) fn is_native(&self) -> bool {
        self.plugin == NATIVE
    }

    pub(super) fn is_unusable(&self) -> bool {
        self.is_native() && self.hash.eq_ignore_ascii_case(UNUSABLE)
    }

    /// Takes passwords that it compares in a way of its own: whether a given one is among them cannot be told.
    pub(super) fn is_opaque(&self) -> bool {
        !self.is_native() && !PASSWORDLESS.contains(&self.plugin.as_str())
    }

    /// Any client is let in that sends no password.
    pub(super) fn is_open(&self) -> bool {
        self.is_native() && self.hash.is_empty()
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        self.plugin == other.plugin && self.hash.eq_ignore_ascii_case(&other.hash)
    }

    /// As `ALTER USER` reads it; `None` when its text would need quoting, which no hash does.
    pub(super) fn sql(&self) -> Option<String> {
        let plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\'' | b'\\' | b'`'));
        if !plain(&self.plugin) || !plain(&self.hash) {
            return None;
        }
        let plugin = super::sql::name(&self.plugin);
        Some(if self.hash.is_empty() { plugin } else { format!("{plugin} USING '{}'", self.hash) })
    }
}

/// One account: a name at a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Account {
    pub(super) host: String,
    pub(super) methods: Vec<Method>,
    pub(super) locked: bool,
    pub(super) is_role: bool,
    /// Replicas may log in with it.
    pub(super) replicates: bool,
}

impl Account {
    /// Of a row of the table; `None` for one that cannot be understood.
    pub(super) fn read(host: &str, json: &str) -> Option<Self> {
        let all: Value = serde_json::from_str(json).ok()?;
        all.as_object()?;
        let is = |key: &str| all.get(key).and_then(Value::as_bool).unwrap_or_default();
        let methods = match all.get("auth_or") {
            None => vec![method(&all)?],
            Some(list) => {
                let one = |it: &Value| method(if it.as_object()?.is_empty() { &all } else { it });
                list.as_array()?.iter().map(one).collect::<Option<Vec<_>>>()?
            }
        };
        let access = all.get("access").and_then(Value::as_u64).unwrap_or_default();
        Some(Self {
            host: host.to_owned(),
            methods,
            locked: is("account_locked"),
            is_role: is("is_role"),
            replicates: access & REPLICATES != 0,
        })
    }

    pub(super) fn has(&self, method: &Method) -> bool {
        self.methods.iter().any(|it| it.same(method))
    }

    /// The methods by which somebody can log in.
    pub(super) fn usable(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter().filter(|it| !it.is_unusable())
    }

    /// Methods of which it cannot be told whether they take a password, by name.
    pub(super) fn opaque(&self) -> Option<String> {
        let all: Vec<&str> =
            self.methods.iter().filter(|it| it.is_opaque()).map(|it| it.plugin.as_str()).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// Without one method; with an unusable one when no other is left.
    pub(super) fn without(&self, method: &Method) -> Vec<Method> {
        let left: Vec<_> = self.usable().filter(|it| !it.same(method)).cloned().collect();
        if left.is_empty() { vec![Method::unusable()] } else { left }
    }

    /// Why no second password can be put beside the first, and what to do.
    pub(super) fn obstacle(&self, name: &str, new: Option<&Method>) -> Option<String> {
        let other: Vec<&str> =
            self.usable().filter(|it| !it.is_native()).map(|it| it.plugin.as_str()).collect();
        let count = self.usable().count();
        let has_new = new.is_some_and(|new| self.has(new));
        Some(if self.is_role {
            format!("{name} is a role, which nobody logs in as")
        } else if self.locked {
            format!("{name} is locked: ALTER USER {name} ACCOUNT UNLOCK, if it is to be used again")
        } else if !other.is_empty() {
            format!(
                "{name} logs in by {}, and Quell rotates {NATIVE} only: give it a password of that kind first",
                other.join(", ")
            )
        } else if self.methods.iter().any(Method::is_open) {
            format!("{name} has no password: whoever gives none is let in; give it one with ALTER USER first")
        } else if count > 1 && !has_new {
            format!(
                "{name} has {count} passwords already, and a third would hide one that nobody takes away: keep the one in use with \
                 ALTER USER {name} IDENTIFIED BY …"
            )
        } else {
            return None;
        })
    }
}

fn method(part: &Value) -> Option<Method> {
    let text = |key: &str| match part.get(key) {
        None | Some(Value::Null) => Some(String::new()),
        Some(value) => value.as_str().map(str::to_owned),
    };
    let plugin = text("plugin")?;
    Some(Method {
        plugin: if plugin.is_empty() { NATIVE.to_owned() } else { plugin },
        hash: text("authentication_string")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_servers() {
        // SELECT PASSWORD('one') on MariaDB 10.11.
        assert!(
            Method::of("one").same(&Method::native("*74445cd742af268fd22866da0d12758951d638f7".to_owned()))
        );
        assert!(!format!("{:?}", Method::of("one")).contains("7444"));
    }

    #[test]
    fn accounts_are_read_as_the_server_writes_them() {
        let two = r#"{"access":524288,"plugin":"mysql_native_password","authentication_string":"*A",
            "auth_or":[{"plugin":"unix_socket"},{}],"account_locked":true}"#;
        let read = Account::read("%", two).unwrap();
        assert!(read.locked && read.replicates && !read.is_role);
        let plugins: Vec<&str> = read.methods.iter().map(|it| it.plugin.as_str()).collect();
        assert_eq!(plugins, ["unix_socket", NATIVE]);
        assert!(Account::read("%", r#"{"access":1}"#).unwrap().methods[0].is_open());
        assert!(Account::read("", r#"{"is_role":true}"#).unwrap().is_role);
        for odd in ["", "[]", "7", r#"{"auth_or":7}"#, r#"{"auth_or":[7]}"#, r#"{"plugin":7}"#] {
            assert_eq!(Account::read("%", odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_taken_away_leaves_the_others_or_nothing_that_fits() {
        let (old, new) = (Method::of("old"), Method::of("new"));
        let mut account = Account::read("%", "{}").unwrap();
        account.methods = vec![old.clone(), new.clone()];
        assert_eq!(account.without(&old), std::slice::from_ref(&new));
        assert_eq!(account.obstacle("o", Some(&new)), None);
        assert!(account.obstacle("o", Some(&Method::of("third"))).unwrap().contains("2 passwords"));
        account.methods = vec![old.clone()];
        assert_eq!(account.without(&old), [Method::unusable()]);
        account.methods = vec![Method::unusable()];
        assert_eq!(account.obstacle("o", None), None);
        assert_eq!(account.usable().count(), 0);
    }
}
