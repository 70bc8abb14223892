//! What is missing, and what an operator must know.

use redis::{Cmd, cmd};

use super::change::Admin;
use super::keep::{Keeping, keeping};
use super::node::Node;
use super::reply;
use super::standing::{Standing, unlisted};
use super::{DEFAULT_USER, Redis};
use crate::connector::Check;
use crate::dsn::Place;
use crate::error::ConnectError;

const WHAT: &str = "checking";

/// Every command that a rotation sends, with an argument of the kind that it has.
const NEEDED: [&[&str]; 14] = [
    &["ACL", "WHOAMI"],
    &["ACL", "GETUSER", "x"],
    &["ACL", "SETUSER", "x"],
    &["ACL", "LOG"],
    &["ACL", "SAVE"],
    &["CLIENT", "ID"],
    &["CLIENT", "LIST"],
    &["CLIENT", "KILL", "ID", "1"],
    &["CLUSTER", "INFO"],
    &["CONFIG", "GET", "aclfile"],
    &["CONFIG", "REWRITE"],
    &["INFO", "server"],
    &["TIME"],
    &["PING"],
];

impl Redis {
    /// Reaches every node and says what is missing.
    pub(super) async fn checks(&self) -> Vec<Check> {
        let call = self.context.within(|| self.target_text(), WHAT, self.admin());
        let admin = match call.await {
            Ok(admin) => admin,
            Err(error) => return vec![failed("read the administrator's login".to_owned(), &error)],
        };
        let (mut all, mut standing) = (Vec::new(), Vec::new());
        for place in &admin.places {
            let call = self.context.within(|| self.target_text(), WHAT, self.check_node(&admin, place));
            match call.await {
                Ok((checks, how)) => {
                    all.extend(checks);
                    standing.extend(how);
                }
                Err(error) => all.push(failed(format!("ask {}", place.words()), &error)),
            }
        }
        if standing.len() == admin.places.len() {
            let missing = unlisted(&standing);
            let (what, ok) = ("every node is listed".to_owned(), missing.is_none());
            let detail = missing.unwrap_or_else(|| format!("{} of {0}, by their own count", standing.len()));
            all.push(Check { what, ok, detail });
        }
        all
    }

    async fn check_node(
        &self,
        admin: &Admin,
        place: &Place,
    ) -> Result<(Vec<Check>, Option<Standing>), ConnectError> {
        let (node_words, user) = (place.words(), &self.user);
        let check = |what: &str, ok: bool, detail: String| Check {
            what: format!("{node_words}: {what}"),
            ok,
            detail,
        };
        let mut node = match admin.door.login(place, &admin.login, WHAT).await {
            Ok(node) => node,
            Err(error) => {
                let check = failed(format!("{node_words}: log in as the administrator"), &error);
                return Ok((vec![check], None));
            }
        };
        let me = node.ask_text(WHAT, cmd("ACL").arg("WHOAMI")).await?;
        let mut checks = vec![check("log in as the administrator", true, format!("as `{me}`"))];
        let lacking = lacking(&mut node, &me).await;
        checks.push(match lacking {
            Ok(lacking) if lacking.is_empty() => {
                check("may do what a rotation needs", true, "every command".to_owned())
            }
            Ok(lacking) => check(
                "may do what a rotation needs",
                false,
                format!(
                    "not allowed: {}; as on the operator's page: ACL SETUSER {me} {}",
                    lacking.join(", "),
                    grants(&lacking)
                ),
            ),
            Err(_) => check(
                "may do what a rotation needs",
                true,
                "not asked: this needs ACL DRYRUN (Redis 7) and the right to it".to_owned(),
            ),
        });
        let state = node.ask(WHAT, cmd("ACL").arg("GETUSER").arg(user)).await?;
        let (ok, detail) = match reply::user(&state) {
            _ if me == *user => {
                (false, "it is the administrator's own user: name another administrator".to_owned())
            }
            None => (false, format!("there is no user `{user}`: make it with ACL SETUSER")),
            Some(it) if it.nopass => (false, format!("`{user}` is `nopass`: any password opens it")),
            Some(it) if !it.on => (false, format!("`{user}` is `off`")),
            Some(it) => (true, format!("`{user}` has {} passwords", it.passwords.len())),
        };
        checks.push(check("the user can be rotated", ok, detail));
        let place = keeping(&mut node, self.persist, WHAT).await?;
        let ok = !matches!(place, Keeping::Nowhere(_));
        checks.push(check("changes outlive a restart", ok, place.words().to_owned()));
        Ok((checks, Standing::of(&mut node, WHAT).await.ok()))
    }

    /// What an operator must know before.
    pub(super) async fn all_warnings(&self) -> Vec<String> {
        let call = self.context.within(|| self.target_text(), WHAT, self.admin());
        let Ok(admin) = call.await else { return Vec::new() };
        let (mut warnings, mut standing) = (Vec::new(), Vec::new());
        for place in &admin.places {
            let call = self.context.within(|| self.target_text(), WHAT, self.warn_of(&admin, place));
            // A node that cannot be asked is told by the checks.
            if let Ok((told, how)) = call.await {
                warnings.extend(told);
                standing.push(how);
            }
        }
        if standing.len() == admin.places.len() {
            warnings.extend(unlisted(&standing));
        }
        if self.user == DEFAULT_USER {
            warnings.push(
                "`requirepass` and `masterauth` with the old password stay in redis.conf, or in its arguments, in clear: take them out there"
                    .to_owned(),
            );
        }
        warnings
    }

    async fn warn_of(&self, admin: &Admin, place: &Place) -> Result<(Vec<String>, Standing), ConnectError> {
        let mut warnings = Vec::new();
        let mut node = admin.door.login(place, &admin.login, WHAT).await?;
        let (name, user) = (place.words(), &self.user);
        match keeping(&mut node, self.persist, WHAT).await? {
            Keeping::Nowhere(why) => warnings.push(format!("{name}: {why}")),
            Keeping::Memory => warnings.push(format!(
                "{name} keeps its users in memory alone: whoever starts it again must no longer give it the old password"
            )),
            Keeping::File | Keeping::Configuration => {}
        }
        let standing = Standing::of(&mut node, WHAT).await?;
        let config = node.ask(WHAT, cmd("CONFIG").arg("GET").arg("masteruser")).await?;
        let config: Vec<String> = redis::from_redis_value(config).unwrap_or_default();
        let master_user = config.get(1).map(String::as_str).unwrap_or_default();
        // `masterauth` alone is the password of `default`.
        let as_default = standing.is_replica() && master_user.is_empty() && user == DEFAULT_USER;
        if master_user == user || as_default {
            warnings.push(format!("{name} logs in to its primary as `{user}`: set `masterauth` there, too"));
        }
        let list = node.ask_text(WHAT, cmd("CLIENT").arg("LIST")).await?;
        let replicas = reply::sessions(&list)
            .unwrap_or_default()
            .iter()
            .filter(|it| it.is_replica && it.user == *user)
            .count();
        if replicas > 0 {
            warnings.push(format!(
                "{replicas} replicas are logged in to {name} as `{user}`: their links are ended, and do not come back before `masterauth` is \
                 changed on each"
            ));
        }
        Ok((warnings, standing))
    }
}

/// Commands that the administrator may not send.
async fn lacking(node: &mut Node, me: &str) -> Result<Vec<String>, ConnectError> {
    let mut lacking = Vec::new();
    for words in NEEDED {
        let mut command: Cmd = cmd("ACL");
        command.arg("DRYRUN").arg(me).arg(words);
        if node.ask_text(WHAT, &command).await? != "OK" {
            lacking.push(name(words));
        }
    }
    Ok(lacking)
}

/// As rules name it: `acl|setuser`.
fn name(words: &[&str]) -> String {
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    match lower.as_slice() {
        [one] => one.clone(),
        // INFO has no commands of its own below it.
        [first, ..] if first == "info" => first.clone(),
        [first, second, ..] => format!("{first}|{second}"),
        [] => String::new(),
    }
}

fn grants(lacking: &[String]) -> String {
    lacking.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ")
}

fn failed(what: String, error: &ConnectError) -> Check {
    Check { what, ok: false, detail: error.to_string() }
}
