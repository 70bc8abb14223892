//! What must be there before anything is changed, and what people should know.

use quell_core::secret::SecretValue;

use super::Ssh;
use super::change::Admin;
use super::file::Owner;
use super::host::Place;
use super::key::Key;
use super::lines;
use crate::connector::Check;
use crate::error::ConnectError;

const WHAT: &str = "checking";

impl Ssh {
    /// Reaches each host.
    pub(super) async fn checks(&self) -> Vec<Check> {
        let admin = match self.within(WHAT, self.admin()).await {
            Ok(admin) => admin,
            Err(error) => return vec![bad("read the administrator's key", &error)],
        };
        let mut all = Vec::new();
        for place in &self.hosts {
            let on_host = Box::pin(self.check_host(place, &admin));
            match self.within(WHAT, on_host).await {
                Ok(mut checks) => all.append(&mut checks),
                Err(error) => {
                    all.push(bad(&format!("log in to {} as {}", place.words(), self.admin_user), &error))
                }
            }
        }
        all
    }

    async fn check_host(&self, place: &Place, admin: &Admin) -> Result<Vec<Check>, ConnectError> {
        let remote = self.open(place, admin, WHAT).await?;
        let name = place.words();
        let mut checks = vec![good(format!("log in to {name} as {}", self.admin_user), "yes")];
        let root = remote.is_root(WHAT).await?;
        // Without it only the administrator's own account can be changed.
        let own = self.admin_user == self.user;
        let detail = if root {
            "yes"
        } else if own {
            "no, so only this account's own file and sessions are reached"
        } else {
            "no: name an administrator who is root there, or set `sudo: true`"
        };
        checks.push(Check { what: format!("be root on {name}"), ok: root || own, detail: detail.to_owned() });
        let (account, paths) = self.files_of(&remote, WHAT).await?;
        let mut seen = Vec::new();
        for path in &paths {
            if remote.read(path, &Owner::from(&account), WHAT).await?.is_some() {
                seen.push(path.as_str());
            }
        }
        let detail =
            if seen.is_empty() { format!("none of {} is there", paths.join(", ")) } else { seen.join(", ") };
        checks.push(Check {
            what: format!("read the keys of {} on {name}", account.name),
            ok: !seen.is_empty(),
            detail,
        });
        if let Some(path) = &self.revoked_keys {
            let used = remote.settings(&self.user, WHAT).await?;
            let (ok, detail) = match used.get("revokedkeys") {
                Some(used) if used == path => (true, "yes".to_owned()),
                _ if !used.is_known() => (true, "sshd -T does not answer: it is not known".to_owned()),
                Some(other) => (false, format!("its sshd reads {other} instead")),
                None => (false, format!("its sshd has no RevokedKeys: set it to {path}")),
            };
            checks.push(Check { what: format!("{path} is what sshd on {name} reads"), ok, detail });
        }
        remote.processes(WHAT).await?;
        checks.push(good(format!("see the processes of {name}"), "yes"));
        Ok(checks)
    }

    /// Ways in that this connector does not close.
    pub(super) async fn all_warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let Ok(admin) = self.within(WHAT, self.admin()).await else { return Vec::new() };
        let key = current.and_then(|value| Key::read(value).ok());
        let mut warnings = Vec::new();
        for place in &self.hosts {
            let on_host = Box::pin(self.warn_of(place, &admin, key.as_ref()));
            warnings.extend(self.within(WHAT, on_host).await.unwrap_or_default());
        }
        warnings
    }

    async fn warn_of(
        &self,
        place: &Place,
        admin: &Admin,
        key: Option<&Key>,
    ) -> Result<Vec<String>, ConnectError> {
        let remote = self.open(place, admin, WHAT).await?;
        let (settings, name) = (remote.settings(&self.user, WHAT).await?, place.words());
        let mut warnings = Vec::new();
        if let Some(command) = settings.get("authorizedkeyscommand") {
            warnings.push(format!(
                "{name} also asks {command} for keys (AuthorizedKeysCommand): take the key away there by hand, or set `revoked_keys`"
            ));
        }
        if let Some(authority) = settings.get("trustedusercakeys") {
            warnings.push(format!(
                "{name} believes the authority of {authority}: a certificate for the leaked key stays good until its list revokes it"
            ));
        }
        let Some(key) = key else { return Ok(warnings) };
        let mut known = false;
        let (account, paths) = self.files_of(&remote, WHAT).await?;
        for path in paths {
            if let Some(file) = remote.read(&path, &Owner::from(&account), WHAT).await? {
                known |= !lines::of_fingerprint(&file.text, &key.fingerprint()).is_empty();
            }
        }
        if !known {
            warnings.push(format!(
                "{name} does not know {} for `{}`: the new key will not be put there",
                key.fingerprint(),
                self.user
            ));
        }
        Ok(warnings)
    }
}

fn good(what: String, detail: &str) -> Check {
    Check { what, ok: true, detail: detail.to_owned() }
}

fn bad(what: &str, error: &ConnectError) -> Check {
    Check { what: what.to_owned(), ok: false, detail: error.detail.clone() }
}
