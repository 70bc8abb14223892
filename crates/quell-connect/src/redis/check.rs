//! What is missing, and what an operator must know.

use redis::{Cmd, cmd};

use super::change::Admin;
use super::node::Node;
use super::reply;
use super::{Place, Redis};
use crate::connector::Check;
use crate::error::ConnectError;

const WHAT: &str = "checking";

/// Every command that a rotation sends, with an argument of the kind that it has.
const NEEDED: [&[&str]; 13] = [
    &["ACL", "WHOAMI"],
    &["ACL", "GETUSER", "x"],
    &["ACL", "SETUSER", "x"],
    &["ACL", "LOG"],
    &["ACL", "SAVE"],
    &["CLIENT", "ID"],
    &["CLIENT", "LIST"],
    &["CLIENT", "KILL", "ID", "1"],
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
        let mut all = Vec::new();
        for place in &admin.places {
            let call = self.context.within(|| self.target_text(), WHAT, self.check_node(&admin, place));
            match call.await {
                Ok(checks) => all.extend(checks),
                Err(error) => all.push(failed(format!("ask {}", place.words()), &error)),
            }
        }
        all
    }

    async fn check_node(&self, admin: &Admin, place: &Place) -> Result<Vec<Check>, ConnectError> {
        let (node_words, user) = (place.words(), &self.user);
        let check = |what: &str, ok: bool, detail: String| Check {
            what: format!("{node_words}: {what}"),
            ok,
            detail,
        };
        let mut node = match admin.door.login(place, &admin.login, WHAT).await {
            Ok(node) => node,
            Err(error) => {
                return Ok(vec![failed(format!("{node_words}: log in as the administrator"), &error)]);
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
        let (ok, detail) = kept(&mut node).await?;
        checks.push(check("changes outlive a restart", ok, detail));
        Ok(checks)
    }

    /// What an operator must know before.
    pub(super) async fn all_warnings(&self) -> Vec<String> {
        let call = self.context.within(|| self.target_text(), WHAT, self.admin());
        let Ok(admin) = call.await else { return Vec::new() };
        let mut warnings = Vec::new();
        for place in &admin.places {
            let call = self.context.within(|| self.target_text(), WHAT, self.warn_of(&admin, place));
            // A node that cannot be asked is told by the checks.
            warnings.extend(call.await.unwrap_or_default());
        }
        warnings
    }

    async fn warn_of(&self, admin: &Admin, place: &Place) -> Result<Vec<String>, ConnectError> {
        let mut warnings = Vec::new();
        let mut node = admin.door.login(place, &admin.login, WHAT).await?;
        let (name, user) = (place.words(), &self.user);
        if !kept(&mut node).await?.0 {
            warnings
                .push(format!("{name} has no file to keep users in: a restart brings the old password back"));
        }
        let info = node.ask_text(WHAT, cmd("INFO").arg("replication")).await?;
        let replicas: usize =
            reply::info(&info, "connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0);
        if replicas + 1 > admin.places.len() {
            warnings.push(format!(
                "{name} has {replicas} replicas and {} nodes are listed: ACLs are not replicated, so the old password opens those that \
                 are missing in `nodes`",
                admin.places.len()
            ));
        }
        let config = node.ask(WHAT, cmd("CONFIG").arg("GET").arg("masteruser")).await?;
        let config: Vec<String> = redis::from_redis_value(config).unwrap_or_default();
        if config.get(1).is_some_and(|it| it == user) {
            warnings.push(format!("{name} logs in to its primary as `{user}`: set `masterauth` there, too"));
        }
        Ok(warnings)
    }
}

/// Whether there is a place where changes stay, and which.
async fn kept(node: &mut Node) -> Result<(bool, String), ConnectError> {
    let file = node.ask(WHAT, cmd("CONFIG").arg("GET").arg("aclfile")).await?;
    let file: Vec<String> = redis::from_redis_value(file).unwrap_or_default();
    if file.get(1).is_some_and(|path| !path.is_empty()) {
        return Ok((true, "in the ACL file".to_owned()));
    }
    let info = node.ask_text(WHAT, cmd("INFO").arg("server")).await?;
    Ok(match reply::info(&info, "config_file") {
        Some(path) if !path.is_empty() => (true, "in the configuration file".to_owned()),
        _ => {
            let why = "the server has neither an ACL file nor a configuration file: start it with `aclfile`, or a restart \
                       brings the old password back";
            (false, why.to_owned())
        }
    })
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
