//! `quell inventory …`.

use quell_app::{AppError, Options, inventory};
use quell_core::SecretId;
use quell_core::inventory::{Graph, Node};
use serde_json::json;

use super::{app, word};
use crate::cli::{GraphFormat, InventoryCommand};
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn run(options: &Options, command: &InventoryCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        InventoryCommand::Schema => {
            let text = serde_json::to_string_pretty(&inventory::schema())
                .map_err(|e| AppError::Usage(e.to_string()))?;
            out.data(text)?;
            Ok(exit::OK)
        }
        InventoryCommand::Check { offline } => check(options, *offline, out).await,
        InventoryCommand::Graph { secret, format } => graph(options, secret.as_deref(), *format, out),
    }
}

async fn check(options: &Options, offline: bool, out: &Out) -> Result<u8, AppError> {
    if offline {
        let inventory = inventory::check_offline(options)?;
        let secrets: Vec<_> = inventory.secrets.keys().collect();
        if out.json() {
            out.object(&json!({"ok": true, "secrets": secrets}))?;
        } else {
            out.data(format!(
                "{} secret(s): {}",
                secrets.len(),
                secrets.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ")
            ))?;
        }
        return Ok(exit::OK);
    }
    let app = app(options).await?;
    let lines = inventory::check(&app).await?;
    let ok = lines.iter().all(|l| l.check.ok);
    if out.json() {
        out.object(&json!({"ok": ok, "checks": lines}))?;
    } else {
        let mut last = String::new();
        for line in &lines {
            let head = format!("{} {} ({})", line.secret, line.part, line.target);
            if head != last {
                out.data(tone(Tone::Strong, head.trim()))?;
                last = head;
            }
            let mark = if line.check.ok { tone(Tone::Good, "ok  ") } else { tone(Tone::Bad, "FAIL") };
            out.data(format!("  {mark} {}: {}", line.check.what, line.check.detail))?;
        }
        let failed = lines.iter().filter(|l| !l.check.ok).count();
        out.status(format!("{} check(s), {failed} failed", lines.len()));
    }
    Ok(if ok { exit::OK } else { exit::REMOTE })
}

fn graph(options: &Options, secret: Option<&str>, format: GraphFormat, out: &Out) -> Result<u8, AppError> {
    let inventory = inventory::load(&options.inventory)?;
    let start: Option<SecretId> = secret.map(word).transpose()?;
    if let Some(id) = start.as_ref().filter(|id| !inventory.secrets.contains_key(*id)) {
        return Err(AppError::NotFound { what: "secret", id: id.to_string() });
    }
    let graph = Graph::of(&inventory);
    match (format, out.json(), &start) {
        (GraphFormat::Dot, _, _) => out.data(graph.dot(start.as_ref()).trim_end())?,
        (GraphFormat::Mermaid, _, _) => out.data(graph.mermaid(start.as_ref()).trim_end())?,
        (GraphFormat::Text, _, None) => {
            return Err(AppError::Usage(
                "name a secret, or draw the whole inventory with --format dot or mermaid".to_owned(),
            ));
        }
        (GraphFormat::Text, true, Some(id)) => {
            out.object(&json!({"secret": id, "reaches": graph.blast_radius(id)}))?
        }
        (GraphFormat::Text, false, Some(id)) => {
            out.data(tone(Tone::Strong, format!("If {id} leaks:")))?;
            let reached = graph.blast_radius(id);
            for found in &reached {
                let indent = "  ".repeat(found.depth + 1);
                let (kind, name) = match &found.node {
                    Node::Secret(secret) => ("secret", secret.to_string()),
                    Node::Resource(name) => ("resource", name.clone()),
                    Node::Consumer(name) => ("consumer", name.clone()),
                };
                let data = if found.via.data.is_empty() {
                    String::new()
                } else {
                    format!(" [{}]", found.via.data.join(", "))
                };
                out.data(format!("{indent}{kind} {name}: {}{data}", found.via.why))?;
            }
            if reached.is_empty() {
                out.data("  nothing else is known to be opened by it")?;
            }
        }
    }
    Ok(exit::OK)
}
