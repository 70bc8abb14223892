//! `quell provider …`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quell_app::{AppError, Options};
use quell_connect::http::Client;
use quell_connect::provider::{self, Call, File, Known, Tested, Who};
use serde_json::{Value, json};

use crate::cli::ProviderCommand;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn run(options: &Options, command: &ProviderCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        ProviderCommand::List { providers } => list(&places(options, providers)?, out),
        ProviderCommand::Show { id, providers } => show(&places(options, providers)?, id, out),
        ProviderCommand::Check { files } => check(options, files, out).await,
        ProviderCommand::Schema => {
            let text = serde_json::to_string_pretty(&provider::file_schema())
                .map_err(|error| AppError::Usage(error.to_string()))?;
            out.data(text).map(|()| exit::OK)
        }
    }
}

/// Those that are named, and those of the inventory if there is one.
pub(crate) fn places(options: &Options, named: &[PathBuf]) -> Result<Vec<PathBuf>, AppError> {
    let mut places = named.to_vec();
    if options.inventory.exists() {
        let inventory = quell_app::inventory::load(&options.inventory)?;
        let folder = if options.inventory.is_dir() {
            Some(options.inventory.as_path())
        } else {
            options.inventory.parent()
        };
        let folder = folder.unwrap_or(Path::new("."));
        places.extend(inventory.providers.iter().map(|place| folder.join(place)));
    }
    Ok(places)
}

fn list(places: &[PathBuf], out: &Out) -> Result<u8, AppError> {
    let all = provider::all(places).map_err(AppError::Provider)?;
    if out.json() {
        out.object(&json!({ "providers": all.iter().map(described).collect::<Vec<_>>() }))?;
        return Ok(exit::OK);
    }
    let row = |known: &Known| {
        vec![
            known.file.id.clone(),
            known.file.name.clone(),
            revoked_by(&known.file),
            known.file.kinds.join(", "),
        ]
    };
    let rows = all.iter().map(row).collect();
    out.table(&["id", "what", "revoked by", "kinds"], rows)?;
    let alone = all.iter().filter(|known| known.file.self_revocable()).count();
    out.status(format!("{} providers; {alone} need nothing but the key", all.len()));
    Ok(exit::OK)
}

/// Who can end such a key.
fn revoked_by(file: &File) -> String {
    let mut who: Vec<&str> = Vec::new();
    for call in &file.revoke {
        let word = match call.value.who {
            Who::Admin => "administrator",
            Who::Key => "the key itself",
            Who::Nobody => "anybody",
        };
        if !who.contains(&word) {
            who.push(word);
        }
    }
    if who.is_empty() { "a person".to_owned() } else { who.join(", ") }
}

fn described(known: &Known) -> Value {
    json!({
        "id": known.file.id,
        "file": known.path.as_ref().map(|path| path.display().to_string()),
        "self_revocable": known.file.self_revocable(),
        "can_mint": known.file.mint.is_some(),
        "provider": known.file.as_ref(),
    })
}

fn show(places: &[PathBuf], id: &str, out: &Out) -> Result<u8, AppError> {
    let known = provider::find(places, id).map_err(AppError::Provider)?;
    let known = known.ok_or_else(|| AppError::NotFound { what: "provider", id: id.to_owned() })?;
    if out.json() {
        out.object(&described(&known))?;
        return Ok(exit::OK);
    }
    let file = &known.file;
    let place = known.path.as_ref().map_or("with the binary".to_owned(), |path| path.display().to_string());
    out.data(format!("{}  {} ({place})", tone(Tone::Strong, &file.id), file.name))?;
    out.data(format!("  at        {}", file.url))?;
    out.data(format!("  kinds     {}", file.kinds.join(", ")))?;
    out.data(format!("  revoked   by {}", revoked_by(file)))?;
    out.data(format!("  settles   in {}", file.settle))?;
    out.data(format!("  breaks    {}", file.breaks))?;
    if file.auth.admin.is_none() {
        out.data("  admin     a key of the same kind; it serves as control, too")?;
    }
    for (name, what) in &file.vars {
        out.data(format!("  asks for  {name}: {what}"))?;
    }
    for (name, call) in file.calls() {
        shown(&name, &call.value, out)?;
    }
    for (word, facts) in [
        ("limit", &file.limits),
        ("lives on", &file.outlives),
        ("refused here although it lives", &file.elsewhere),
    ] {
        for fact in facts {
            out.data(format!("  {word}: {} ({}, {})", fact.what, fact.source, fact.checked))?;
        }
    }
    if let Some(url) = &file.secret_in_url {
        out.warning(format!("the key travels in the address: {url}"));
    }
    if let Some(steps) = &file.by_hand {
        out.data(format!("  by hand   {steps}"))?;
    }
    Ok(exit::OK)
}

fn shown(name: &str, call: &Call, out: &Out) -> Result<(), AppError> {
    let who = match call.who {
        Who::Admin => "as administrator",
        Who::Key => "as the key",
        Who::Nobody => "as nobody",
    };
    out.data(format!("  {name}: {} {} {who}", call.method, call.path))?;
    let refused: Vec<String> =
        call.refused.iter().filter(|one| one.weak.is_none()).map(provider::file::When::code).collect();
    if !refused.is_empty() {
        out.data(format!("      refused: {}", refused.join("; ")))?;
    }
    for one in &call.refused {
        if let Some(why) = &one.weak {
            out.data(format!("      weak: {}: {why}", one.code()))?;
        }
    }
    if let Some(needs) = &call.needs {
        out.data(format!("      needs: {needs}"))?;
    }
    out.data(format!("      {} ({})", call.source, call.checked))?;
    call.note.as_ref().map_or(Ok(()), |note| out.data(format!("      note: {note}")))
}

async fn check(options: &Options, files: &[PathBuf], out: &Out) -> Result<u8, AppError> {
    let client = Client::new(options.call_limit, None)?;
    let mut all = Vec::new();
    let mut wrong = false;
    for path in files {
        let name = path.display().to_string();
        match provider::load(path) {
            Err(complaints) => {
                wrong = true;
                if !out.json() {
                    for complaint in &complaints {
                        out.data(complaint)?;
                    }
                }
                all.push(json!({ "file": name, "ok": false, "complaints": complaints, "tested": [] }));
            }
            Ok(file) => {
                let file = Arc::new(file);
                let tested = provider::trial(&file, &client).await;
                let failed = tested.iter().filter(|one| !one.ok).count();
                wrong |= failed > 0;
                if !out.json() {
                    told(&name, &file, &tested, out)?;
                }
                all.push(json!({ "file": name, "id": file.id, "ok": failed == 0, "complaints": [], "tested": tested }));
            }
        }
    }
    if out.json() {
        out.object(&json!({ "files": all }))?;
    }
    Ok(if wrong { exit::FINDINGS } else { exit::OK })
}

fn told(name: &str, file: &File, tested: &[Tested], out: &Out) -> Result<(), AppError> {
    let failed: Vec<&Tested> = tested.iter().filter(|one| !one.ok).collect();
    for one in &failed {
        out.data(format!("{name}: {} {}: {}", tone(Tone::Bad, "wrong"), one.what, one.detail))?;
    }
    if failed.is_empty() {
        let line = format!(
            "{name}: {} `{}` does on its model what it must ({} trials)",
            tone(Tone::Good, "ok"),
            file.id,
            tested.len()
        );
        out.data(line)?;
        out.hint("the model knows what the file says; try it on a key of yours that may die, with `quell kill - --dry-run` first");
    }
    Ok(())
}
