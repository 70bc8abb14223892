//! `quell inventory …`.

use quell_app::reach::Reach;
use quell_app::tighten::{self, Review, Sources};
use quell_app::{AppError, Options, inventory};
use quell_core::SecretId;
use quell_core::inventory::Node;
use quell_web::view;
use serde_json::json;

use super::{app, word};
use crate::cli::{GraphFormat, InventoryCommand, TightenArgs};
use crate::desk::{Seat, known};
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn run(seat: &Seat, command: &InventoryCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        InventoryCommand::Schema => {
            let text = serde_json::to_string_pretty(&inventory::schema())
                .map_err(|e| AppError::Usage(e.to_string()))?;
            out.data(text)?;
            Ok(exit::OK)
        }
        InventoryCommand::List => {
            list(&seat.secrets().await?, out)?;
            Ok(exit::OK)
        }
        InventoryCommand::Show { secret } => {
            print(&seat.secret(&word(secret)?).await?, out)?;
            Ok(exit::OK)
        }
        InventoryCommand::Check { offline: true } => {
            parsed(&seat.parse_inventory().await?, out)?;
            Ok(exit::OK)
        }
        InventoryCommand::Check { offline: false } => checked(&seat.check_inventory().await?, out),
        InventoryCommand::Tighten(args) => tighten(&seat.options, args, out).await,
        InventoryCommand::Graph { secret, format, ask } => {
            let start = secret.as_deref().map(word::<SecretId>).transpose()?;
            let reach = seat.reach(start.as_ref(), *ask).await?;
            graph(start.as_ref(), *format, &reach, out)
        }
    }
}

fn list(known: &view::Inventory, out: &Out) -> Result<(), AppError> {
    if out.json() {
        return out.object(known);
    }
    if known.secrets.is_empty() {
        out.status("the inventory names no secret yet");
        return Ok(());
    }
    let row = |one: &view::Known| {
        let used = one.consumers.join(", ");
        vec![one.id.to_string(), one.kind.clone(), one.env.clone(), one.issuer.clone(), used]
    };
    out.table(&["id", "kind", "environment", "issuer", "used by"], known.secrets.iter().map(row).collect())
}

fn print(one: &view::Known, out: &Out) -> Result<(), AppError> {
    if out.json() {
        return out.object(one);
    }
    let or_none = |all: &[String]| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    let production = if one.production { "production" } else { "a test system" };
    out.data(format!("{} {}, {} ({production})", tone(Tone::Strong, &one.id), one.kind, one.env))?;
    out.data(format!("accepted by {}, stored in {}", one.issuer, or_none(&one.stores)))?;
    out.data(format!("used by {}", or_none(&one.consumers)))?;
    if !one.depends_on.is_empty() {
        let first: Vec<String> = one.depends_on.iter().map(ToString::to_string).collect();
        out.data(format!("done after {}", first.join(", ")))?;
    }
    out.data(format!("ask {}", or_none(&one.owners)))
}

fn parsed(parsed: &view::Parsed, out: &Out) -> Result<(), AppError> {
    if out.json() {
        return out.object(parsed);
    }
    let ids: Vec<&str> = parsed.secrets.iter().map(SecretId::as_str).collect();
    out.data(format!("{} secret(s): {}", ids.len(), ids.join(", ")))
}

fn checked(checked: &view::Checked, out: &Out) -> Result<u8, AppError> {
    let lines = &checked.checks;
    if out.json() {
        out.object(checked)?;
    } else {
        let mut last = String::new();
        for line in lines {
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
    Ok(if checked.ok { exit::OK } else { exit::REMOTE })
}

fn graph(start: Option<&SecretId>, format: GraphFormat, reach: &Reach, out: &Out) -> Result<u8, AppError> {
    let graph = &reach.graph;
    match (format, out.json(), start) {
        (GraphFormat::Dot, _, _) => out.data(graph.dot(start).trim_end())?,
        (GraphFormat::Mermaid, _, _) => out.data(graph.mermaid(start).trim_end())?,
        (GraphFormat::Text, _, None) => {
            return Err(AppError::Usage(
                "name a secret, or draw the whole inventory with --format dot or mermaid".to_owned(),
            ));
        }
        (GraphFormat::Text, true, Some(id)) => {
            out.object(&json!({"secret": id, "reaches": graph.blast_radius(id), "remarks": reach.remarks}))?
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
            for remark in reach.sentences() {
                out.data(format!("  {}", tone(Tone::Careful, remark)))?;
            }
        }
    }
    Ok(exit::OK)
}

async fn tighten(options: &Options, args: &TightenArgs, out: &Out) -> Result<u8, AppError> {
    let app = app(options).await?;
    let sources = Sources { logs: args.audit_log.clone(), until: args.until };
    let id: SecretId = word(&args.secret)?;
    known(&app.inventory, &id)?;
    let review = tighten::review(&app, &id, &sources).await?;
    if out.json() {
        out.object(&review)?;
    } else {
        show(&review, out)?;
    }
    Ok(exit::OK)
}

/// The diff is data; what it rests on is said beside it.
fn show(review: &Review, out: &Out) -> Result<(), AppError> {
    for policy in &review.policies {
        for rule in &policy.rules {
            let gives = rule.gives.iter().cloned().collect::<Vec<_>>().join(", ");
            let needed = match (&rule.kept, rule.needed.is_empty()) {
                (Some(why), _) => tone(Tone::Careful, format!("stays: {why}")),
                (None, true) => tone(Tone::Bad, "not needed"),
                (None, false) => tone(Tone::Good, format!("{} path(s) needed", rule.needed.len())),
            };
            out.status(format!("{}: `{}` gives {gives}: {needed}", policy.policy, rule.pattern));
            for need in &rule.needed {
                let list = |set: &std::collections::BTreeSet<String>| {
                    set.iter().cloned().collect::<Vec<_>>().join(", ")
                };
                out.status(format!(
                    "    {}: {} ({})",
                    need.path,
                    list(&need.capabilities),
                    list(&need.because)
                ));
            }
        }
        if policy.diff.is_empty() {
            out.status(format!("{}: nothing to tighten", policy.policy));
        } else {
            out.data(policy.diff.trim_end())?;
        }
    }
    for remark in &review.remarks {
        out.warning(remark);
    }
    if review.policies.iter().any(|policy| !policy.diff.is_empty()) {
        out.hint("nothing was changed; review the diff, then `bao policy write NAME FILE`");
    }
    Ok(())
}
