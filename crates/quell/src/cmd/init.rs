//! `quell init`, `quell doctor`.

use quell_app::app::read_passphrase;
use quell_app::clock::now;
use quell_app::{App, AppError, Options, person};
use quell_app::{KekSource, Store, StoreError};
use quell_core::inventory::Inventory;
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use serde_json::json;

use super::ask_passphrase;
use crate::cli::InitArgs;
use crate::exit;
use crate::output::{Out, Tone, can_ask, tone};

/// What `init` writes as inventory.
const INVENTORY: &str = include_str!("../../assets/quell.yaml");

pub(crate) async fn init(options: &Options, args: &InitArgs, out: &Out) -> Result<u8, AppError> {
    let source = match (args.passphrase || options.passphrase_file.is_some(), &options.passphrase_file) {
        (true, Some(path)) => KekSource::Passphrase(read_passphrase(path)?),
        (true, None) => KekSource::Passphrase(new_passphrase("--passphrase-file")?),
        (false, _) => KekSource::File(args.key_file.clone().map(|p| std::path::absolute(&p).unwrap_or(p))),
    };
    let store = Store::init(&options.data, options.database.as_deref(), &source, now()).await?;
    let vkey = store.signing_key().verifier().to_string();
    let written = if options.inventory.exists() {
        false
    } else {
        quell_app::evidence::write_whole(&options.inventory, INVENTORY.as_bytes())?;
        true
    };
    let admin = first_admin(options, store).await;
    if out.json() {
        let name = admin.as_ref().ok().and_then(Admin::name);
        out.object(&json!({
            "data_dir": options.data, "inventory": options.inventory, "inventory_written": written, "vkey": vkey, "admin": name,
        }))?;
        if let Err(error) = admin {
            out.warning(no_admin(&error));
        }
        return Ok(exit::OK);
    }
    out.status(format!("{} data folder {}", tone(Tone::Good, "made"), options.data.display()));
    if written {
        out.status(format!(
            "{} {} (commented; edit it)",
            tone(Tone::Good, "wrote"),
            options.inventory.display()
        ));
    }
    out.status("ledger key, to be kept elsewhere; it verifies every bundle:");
    out.data(&vkey)?;
    match admin {
        Ok(Admin::Is(name)) => out.status(format!(
            "{name} is the first admin of the room; `quell person code {name}` prints a code to sign in with"
        )),
        Ok(Admin::Nobody) => out.hint(NOBODY),
        Ok(Admin::Provider) => {
            out.hint("the groups of the identity provider say who is an admin of the room");
        }
        Err(error) => out.warning(no_admin(&error)),
    }
    if !args.passphrase {
        out.warning(
            "the key-encryption key is a file; whoever reads it and the data folder reads every sealed value",
        );
    }
    out.hint("`quell inventory check` reaches every system and says what is missing; `quell drill` rehearses everything");
    Ok(exit::OK)
}

/// What helps when nobody is an admin.
const NOBODY: &str = "nobody is an admin of the room yet: `quell --as NAME person add NAME --role admin`";

/// The rest of the installation stands, with its key.
fn no_admin(error: &AppError) -> String {
    format!("{error}; {NOBODY}")
}

/// Who is the first admin of a new installation.
enum Admin {
    Is(String),
    Nobody,
    /// Whomever the identity provider's groups name.
    Provider,
}

impl Admin {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Is(name) => Some(name),
            Self::Nobody | Self::Provider => None,
        }
    }
}

/// Whoever makes an installation on their own machine may do everything there, and let others in. A shared database is a team's: its groups, or whoever
/// starts the first server, say who is an admin. So do the groups where the inventory names an identity provider.
async fn first_admin(options: &Options, store: Store) -> Result<Admin, AppError> {
    let app = App::of(options, Inventory::default(), store)?;
    let made = make_admin(&app, options).await;
    app.store.db().close().await;
    made
}

async fn make_admin(app: &App, options: &Options) -> Result<Admin, AppError> {
    // A broken inventory is told of by everything else.
    if quell_app::inventory::load(&options.inventory).is_ok_and(|it| it.server.oidc.is_some()) {
        return Ok(Admin::Provider);
    }
    let name = if options.database.is_none() { app.named_actor().ok() } else { None };
    let Some(name) = name else { return Ok(Admin::Nobody) };
    person::add(app, &name, Role::Admin, now()).await?;
    Ok(Admin::Is(name))
}

/// Asks twice.
pub(crate) fn new_passphrase(flag: &str) -> Result<SecretValue, StoreError> {
    if !can_ask() {
        return Err(StoreError::Kek(format!("a new passphrase is needed; give it with {flag}")));
    }
    let first = ask_passphrase()?;
    let again = ask_passphrase()?;
    if first.same_as(&again) && !first.is_empty() {
        Ok(first)
    } else {
        Err(StoreError::Kek("the two passphrases differ, or are empty".to_owned()))
    }
}

pub(crate) async fn doctor(options: &Options, out: &Out) -> Result<u8, AppError> {
    let mut rows: Vec<(String, bool, String)> = Vec::new();
    let mut add = |what: &str, result: Result<String, String>| {
        let (ok, detail) = match result {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        rows.push((what.to_owned(), ok, detail));
    };
    let store = quell_app::app::open_store(options, ask_passphrase).await;
    match &store {
        Ok(store) => {
            add("data folder", Ok(options.data.display().to_string()));
            add(
                "sealed values",
                store.count_sealed().await.map(|n| format!("{n} sealed")).map_err(|e| e.to_string()),
            );
            let worker =
                store.become_worker().await.map(|_| "may write".to_owned()).map_err(|e| e.to_string());
            add("data folder is writable", worker);
            let report = store.verify(None, &[]).await;
            add(
                "ledger",
                match report {
                    Ok(r) if r.ok => {
                        Ok(format!("{} entries, {} checkpoints, all consistent", r.entries, r.checkpoints))
                    }
                    Ok(r) => Err(r.problems.join("; ")),
                    Err(e) => Err(e.to_string()),
                },
            );
        }
        Err(error) => {
            add("data folder", Err(format!("{error}; {}", error.hints().join("; "))));
        }
    }
    add(
        "inventory",
        quell_app::inventory::load(&options.inventory)
            .map(|i| format!("{} secret(s), {} channel(s)", i.secrets.len(), i.channels.len()))
            .map_err(|e| std::iter::once(e.to_string()).chain(e.hints()).collect::<Vec<_>>().join("; ")),
    );
    add(
        "scanner rules",
        quell_app::scan::rules(&[]).map(|r| format!("{} rules", r.rules().len())).map_err(|e| e.to_string()),
    );
    let ok = rows.iter().all(|(_, ok, _)| *ok);
    if out.json() {
        let checks: Vec<_> =
            rows.iter().map(|(what, ok, detail)| json!({"what": what, "ok": ok, "detail": detail})).collect();
        out.object(&json!({"ok": ok, "checks": checks}))?;
    } else {
        for (what, ok, detail) in rows {
            let mark = if ok { tone(Tone::Good, "ok  ") } else { tone(Tone::Bad, "FAIL") };
            out.data(format!("{mark} {what}: {detail}"))?;
        }
    }
    Ok(if ok { exit::OK } else { exit::UNEXPECTED })
}
