//! What is missing, and what an operator must know.

use super::MariaDb;
use super::account::Account;
use super::door::NOT_STRICT;
use super::session::Session;
use super::sql;
use crate::connector::Check;
use crate::error::ConnectError;

const WHAT: &str = "checking";

/// Rights on `*.*` that a rotation needs; any of those beside each other is enough.
const NEEDED: [&[&str]; 3] = [&["CREATE USER"], &["CONNECTION ADMIN", "SUPER"], &["PROCESS"]];

impl MariaDb {
    /// Reaches the server and says what is missing.
    pub(super) async fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let all = self.within(WHAT, async {
            let admin = self.admin().await?;
            let mut session = self.session(&admin, WHAT).await?;
            let detail = format!("as `{}`, on {}", session.me, session.version);
            checks.push(Check { what: "log in as the administrator".to_owned(), ok: true, detail });
            checks.push(rights(&mut session).await?);
            checks.push(hashes(&mut session).await?);
            let accounts = session.accounts(&self.user).await?;
            let name = self.account_text();
            let (ok, detail) = match self.own(&accounts) {
                _ if admin.user == self.user => {
                    (false, "it is the administrator's own user: name another administrator".to_owned())
                }
                None => (false, self.absent(&accounts)),
                Some(account) => match account.obstacle(&name, None) {
                    Some(why) => (false, why),
                    None => (true, format!("{name} has {} password", account.usable().count())),
                },
            };
            checks.push(Check { what: "the account can be rotated".to_owned(), ok, detail });
            session.close().await;
            Ok(())
        });
        if let Err(error) = all.await {
            checks.push(failed(&error));
        }
        checks
    }

    /// What an operator must know before.
    pub(super) async fn all_warnings(&self) -> Vec<String> {
        let asked = self.within(WHAT, async {
            let mut session = self.session(&self.admin().await?, WHAT).await?;
            let accounts = session.accounts(&self.user).await?;
            let others = session.run(WHAT, sql::OTHERS).await?;
            let events = session.count(WHAT, &sql::events(&self.user)).await?;
            let prepared = session.run(WHAT, sql::PREPARED).await?.len();
            session.close().await;
            Ok((accounts, others, events, prepared))
        });
        // A server that cannot be asked is told by the checks.
        let Ok((accounts, others, events, prepared)) = asked.await else { return Vec::new() };
        let mut warnings = Vec::new();
        if events > 0 {
            warnings.push(format!(
                "{events} events run by themselves as `{}`, whatever its password is: look at each in information_schema.EVENTS",
                self.user
            ));
        }
        if prepared > 0 {
            warnings.push(format!(
                "{prepared} prepared transactions outlive their sessions, and the server does not tell whose they are: XA RECOVER"
            ));
        }
        let named = self.others(&accounts).join(", ");
        if !named.is_empty() {
            warnings.push(format!(
                "{named} is another account than {}, with its own password: it is not rotated, but its sessions are ended, too, as the \
                 server does not tell them apart",
                self.account_text()
            ));
        }
        if self.own(&accounts).is_some_and(|account: &Account| account.replicates) {
            warnings.push(format!(
                "replicas may log in as {}: CHANGE MASTER TO MASTER_PASSWORD on each of them, too",
                self.account_text()
            ));
        }
        for row in others {
            let Ok([Some(name), Some(value)]) = <[Option<String>; 2]>::try_from(row) else { continue };
            let count: u64 = value.parse().unwrap_or_default();
            let galera = name == "WSREP_CLUSTER_SIZE";
            if count > u64::from(galera) {
                warnings.push(if galera {
                    format!("there are {count} nodes of the Galera cluster: the change reaches them by replication, but sessions are ended, and \
                        the old password is tried, on the configured server alone")
                } else {
                    format!("there are {count} replicas: unless a filter keeps the change from them (replicate-do-db and others), it reaches them; \
                        the old password is not tried there, and sessions are not ended")
                });
            }
        }
        warnings
    }
}

async fn rights(session: &mut Session) -> Result<Check, ConnectError> {
    let lacking = session.lacking(WHAT).await?;
    let what = "may do what a rotation needs".to_owned();
    Ok(if lacking.is_empty() {
        Check { what, ok: true, detail: "every right".to_owned() }
    } else {
        let (lacking, me) = (lacking.join(", "), session.account());
        Check { what, ok: false, detail: format!("not allowed: GRANT {lacking} ON *.* TO {me}") }
    })
}

async fn hashes(session: &mut Session) -> Result<Check, ConnectError> {
    let what = "takes hashes of passwords".to_owned();
    Ok(if session.is_strict(WHAT).await? {
        let detail = format!("a plugin judges passwords, and Quell sends hashes only: {NOT_STRICT}");
        Check { what, ok: false, detail }
    } else {
        Check { what, ok: true, detail: "no plugin hinders it".to_owned() }
    })
}

pub(super) fn lacking(grants: &[String]) -> Vec<&'static str> {
    let on_all: Vec<&str> = grants
        .iter()
        .filter_map(|line| line.strip_prefix("GRANT ")?.split_once(" ON *.* TO ").map(|(rights, _)| rights))
        .flat_map(|rights| rights.split(", "))
        .collect();
    let has = |right: &str| on_all.iter().any(|it| *it == right || *it == "ALL PRIVILEGES");
    NEEDED
        .iter()
        .filter(|any| !any.iter().any(|right| has(right)))
        .filter_map(|any| any.first().copied())
        .collect()
}

fn failed(error: &ConnectError) -> Check {
    Check { what: "ask the server".to_owned(), ok: false, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_on_everything() {
        let of = |lines: &[&str]| lacking(&lines.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert!(of(&["GRANT ALL PRIVILEGES ON *.* TO `a`@`%`"]).is_empty());
        assert!(of(&["GRANT PROCESS, SUPER, CREATE USER ON *.* TO `a`@`%`"]).is_empty());
        assert_eq!(
            of(&["GRANT PROCESS ON *.* TO `a`@`%`", "GRANT CREATE USER ON `x`.* TO `a`@`%`"]),
            ["CREATE USER", "CONNECTION ADMIN"]
        );
    }
}
