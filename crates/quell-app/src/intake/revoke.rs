//! Kills a token that the inventory does not know, when the inventory says so for its sender: through `quell kill`.

use quell_core::secret::SecretValue;
use quell_store::StoreError;

use crate::driver::Run;
use crate::incident::Report;
use crate::kill::{self, Asked, Session, Shown};
use crate::{AppError, Options, scan};

/// Revokes it when its value alone is enough. What was done, or why nothing was.
pub(super) async fn revoke(
    options: &Options,
    value: &SecretValue,
    report: Report,
) -> Result<String, AppError> {
    let rules = scan::rules(&[])?;
    let target = match kill::recognize(value, &Asked::default(), &rules, &options.providers) {
        Ok(target) => target,
        Err(AppError::Usage(why)) => return Ok(format!("a token was not revoked: {why}")),
        Err(error) => return Err(error),
    };
    let name = &target.provider.file.name;
    if !target.provider.file.self_revocable() {
        return Ok(format!(
            "a token was not revoked: at {name} its value alone is not enough; `quell kill -` with --admin revokes it"
        ));
    }
    let seen = kill::look(&target, value, options).await?;
    let nobody = || Err(StoreError::Kek("a passphrase is needed and nobody can be asked".to_owned()));
    let session = Session::open(options, &target, value, false, nobody).await?;
    let report = Report { title: Some(format!("a key leaked: {name}")), ..report };
    let killed = session.kill(value.duplicate(), (report, &seen), Run::until_idle(), &mut |_| {}).await?;
    let id = killed.incident.id;
    Ok(match killed.shown {
        Shown::Proven => format!("{id}: {name}, revoked and proven inert"),
        Shown::RefusedAfterAccepted { .. } => {
            format!("{id}: {name}, revoked: accepted before, refused now; without a control that is no proof")
        }
        Shown::Refused | Shown::RefusedBesideControl => {
            format!("{id}: {name}, refused, and nobody here saw it accepted; that is no proof")
        }
        Shown::NotDead => format!("{id}: {name}, not dead: `quell incident show {id}` says what is missing"),
    })
}
