//! `quell ingest`.

use std::io::Read as _;
use std::path::Path;

use quell_app::AppError;
use quell_app::ingest::{self, Done, Format, Group, MAX_REPORT, Response};
use quell_core::secret::SecretValue;
use serde_json::json;

use super::word;
use crate::cli::IngestArgs;
use crate::desk::{Seat, ToolReport};
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn ingest(seat: &Seat, args: &IngestArgs, out: &Out) -> Result<u8, AppError> {
    let format = args.format.as_deref().map(str::parse::<Format>).transpose()?;
    let response = Response {
        channel: args.channel.as_deref().map(word).transpose()?,
        audience: args.audience.as_deref().map(word).transpose()?,
    };
    // All files are read before anything is recorded: a broken one leaves nothing half done.
    let mut reports = Vec::new();
    for file in &args.files {
        let name =
            if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
        let content = content(file, &name)?;
        let text = content
            .expose_text()
            .ok_or_else(|| AppError::Usage(format!("{name} is not UTF-8 text, so not a report in JSON")))?;
        let (format, found) = ingest::read(&name, text, format)?;
        let Some(format) = format else {
            out.status(format!("{name}: the report is empty"));
            continue;
        };
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        // A server reads it itself; here it was read to know that it is whole.
        let content = seat.server().is_some().then_some(content);
        reports.push(ToolReport { name, bytes, format, found, content });
    }
    let desk = seat.desk_with_inventory().await?;
    let mut all = Vec::new();
    for report in reports {
        let taken = desk.ingest(report, (!args.no_open).then_some(response)).await?;
        out.status(format!(
            "{}: {} finding(s) of {}, {} of them new, about {} secret(s)",
            taken.report,
            taken.findings,
            taken.format,
            taken.new,
            taken.secrets.len()
        ));
        if !out.json() {
            for secret in &taken.secrets {
                print(out, &secret.group, secret.done.as_ref())?;
            }
        }
        all.push(taken);
    }
    if out.json() {
        out.object(&json!({ "reports": all }))?;
    }
    let any = all.iter().any(|report| report.findings != 0);
    Ok(if any { exit::FINDINGS } else { exit::OK })
}

/// The whole report, in memory that is wiped afterwards: most tools write values into it.
fn content(file: &Path, name: &str) -> Result<SecretValue, AppError> {
    let io = |source| AppError::Io { path: name.to_owned(), source };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_REPORT + 1).read_to_end(&mut bytes).map_err(io)?;
    } else {
        std::fs::File::open(file).map_err(io)?.take(MAX_REPORT + 1).read_to_end(&mut bytes).map_err(io)?;
    }
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_REPORT {
        return Err(AppError::Usage(format!("{name} is larger than {} MiB; split it", MAX_REPORT >> 20)));
    }
    Ok(SecretValue::new(bytes))
}

/// Places shown per secret.
const SHOWN: usize = 5;

fn print(out: &Out, group: &Group, done: Option<&Done>) -> Result<(), AppError> {
    let Some(first) = group.findings.first() else { return Ok(()) };
    let name = group.secret.as_ref().map_or_else(|| first.description.clone(), ToString::to_string);
    let live = match group.live {
        Some(true) => ", it works",
        Some(false) => ", it was refused when the tool tried",
        None => "",
    };
    out.data(format!("{}  {}{live}", tone(Tone::Name, &first.id), tone(Tone::Strong, name)))?;
    for finding in group.findings.iter().take(SHOWN) {
        let commit = finding.place.commit.as_deref().map(|id| format!(" @{}", id.get(..12).unwrap_or(id)));
        out.data(format!(
            "    at {}:{}{}",
            finding.place.file,
            finding.place.line,
            commit.unwrap_or_default()
        ))?;
    }
    if group.findings.len() > SHOWN {
        out.data(format!("    and {} more places", group.findings.len() - SHOWN))?;
    }
    match done {
        Some(Done::Opened { incident }) => {
            out.data(format!("    {} {incident}; `quell plan {incident}` shows what will happen", tone(Tone::Bad, "opened")))
        }
        Some(Done::Joined { incident }) => out.data(format!("    joined {incident}, which is open")),
        Some(Done::Known { incident }) => out.data(format!("    known already, in {incident}")),
        Some(Done::Resolved) => out.data(format!(
            "    resolved there ({}); nothing was opened",
            group.resolved.as_deref().unwrap_or("no reason given")
        )),
        Some(Done::Unmatched) => out.data(format!(
            "    which secret of the inventory it is, is not known: `quell incident open --finding {} --secret ID`",
            first.id
        )),
        None => Ok(()),
    }
}
