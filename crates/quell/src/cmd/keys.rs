//! `quell keys …`, `quell issue`.

use std::time::Duration;

use jiff::Timestamp;
use quell_app::KekSource;
use quell_app::app::{open_store, read_passphrase};
use quell_app::clock::now;
use quell_app::{AppError, Options, SignedSince, Store};
use serde_json::json;

use super::init::new_passphrase;
use super::{app, ask_passphrase};
use crate::cli::{IssueArgs, KeysCommand, Since};
use crate::exit;
use crate::output::Out;

pub(crate) async fn run(options: &Options, command: &KeysCommand, out: &Out) -> Result<u8, AppError> {
    let store = open_store(options, ask_passphrase).await?;
    match command {
        KeysCommand::Rotate { passphrase, to_key_file, new_passphrase_file } => {
            // The kind stays what it is unless somebody says otherwise.
            let under =
                *passphrase || new_passphrase_file.is_some() || store.has_passphrase().await? && !to_key_file;
            let source = match (under, new_passphrase_file) {
                (true, Some(path)) => KekSource::Passphrase(read_passphrase(path)?),
                (true, None) => KekSource::Passphrase(new_passphrase("--new-passphrase-file")?),
                (false, _) => KekSource::File(None),
            };
            let (_, rewrapped) = store.rotate_kek(&options.data, &source, now()).await?;
            if out.json() {
                out.object(&json!({"rewrapped": rewrapped}))?;
            } else {
                out.status(format!("{rewrapped} data keys lie under the new key; no value was opened"));
                out.warning("if somebody may hold a copy of the old data folder *and* the old key, rotate what it held, too");
            }
        }
        KeysCommand::RotateLedger { reason, compromised, since } => {
            rotate_ledger(store, (reason, *compromised), *since, out).await?;
        }
    }
    Ok(exit::OK)
}

/// The reason, as the ledger keeps it, says what is suspect.
async fn rotate_ledger(
    store: Store,
    (reason, compromised): (&str, bool),
    since: Option<Since>,
    out: &Out,
) -> Result<(), AppError> {
    let signed = match since {
        Some(Since::At(at)) if at > now() => {
            let why = format!(
                "--since {at} is in the future, and would call nothing suspect: correct it, or say `--since unknown`"
            );
            return Err(AppError::Usage(why));
        }
        Some(since) => {
            let at = match since {
                Since::Unknown => Timestamp::UNIX_EPOCH,
                Since::At(at) => at,
            };
            Some((since, store.signed_since(at).await?))
        }
        None => None,
    };
    let mut reason = reason.to_owned();
    if let Some((since, signed)) = &signed {
        reason = format!("{reason} (others may have had the old key since {since}: {})", suspects(signed));
    }
    let store = store.rotate_signing_key(&reason, compromised, now()).await?;
    let vkey = store.signing_key().verifier().to_string();
    if out.json() {
        let suspect = signed.as_ref().map(|(since, signed)| {
            let before = signed.before.as_ref().map(|(size, note)| json!({"size": size, "checkpoint": note}));
            json!({"since": since.to_string(), "sizes": signed.sizes, "before": before})
        });
        return out.object(&json!({"vkey": vkey, "suspect": suspect}));
    }
    out.status("from now on this key signs; the rotation is an entry of the ledger:");
    out.data(&vkey)?;
    if let Some((_, signed)) = &signed {
        out.warning(format!(
            "{}; compare them with copies that others kept, such as those in notices",
            suspects(signed)
        ));
        if let Some((size, _)) = &signed.before {
            out.status(format!(
                "the last one before that is over {size} entries: a copy of it vouches for those"
            ));
        }
    }
    Ok(())
}

fn suspects(signed: &SignedSince) -> String {
    match (signed.sizes.first(), signed.sizes.last()) {
        (Some(first), Some(last)) => {
            format!("{} checkpoints are suspect, over {first} to {last} entries", signed.sizes.len())
        }
        _ => "no checkpoint was signed since".to_owned(),
    }
}

pub(crate) async fn issue(options: &Options, args: &IssueArgs, out: &Out) -> Result<u8, AppError> {
    let app = app(options).await?;
    let ttl =
        Duration::try_from(args.ttl).map_err(|_e| AppError::Usage("--ttl must be positive".to_owned()))?;
    let issued = quell_app::issue::issue(&app, &args.mount, &args.role, ttl).await?;
    let password = issued.password.expose_text().unwrap_or_default();
    let body = json!({
        "username": issued.username, "password": password, "lease_id": issued.lease_id,
        "lease_duration": issued.lease_duration, "renewable": issued.renewable,
    });
    quell_app::evidence::write_whole(&args.output, body.to_string().as_bytes())?;
    let facts = json!({"username": issued.username, "lease_id": issued.lease_id, "lease_duration": issued.lease_duration, "path": args.output});
    if out.json() {
        out.object(&facts)?;
    } else {
        out.status(format!(
            "{} lives {} s; written to {} (0600)",
            issued.username,
            issued.lease_duration,
            args.output.display()
        ));
    }
    Ok(exit::OK)
}
