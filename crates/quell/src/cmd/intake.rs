//! `quell intake`.

use std::path::Path;

use quell_app::intake::{self, Deliveries, Ended, Headers, MAX_BODY};
use quell_app::{App, AppError, Options};
use quell_web::view;
use serde_json::json;

use super::app;
use crate::cli::IntakeCommand;
use crate::desk::Seat;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn run(seat: &Seat, command: &IntakeCommand, out: &Out) -> Result<u8, AppError> {
    let options = &seat.options;
    match command {
        IntakeCommand::List { open, most } => {
            let which = if *open { Deliveries::Open } else { Deliveries::All };
            list(which, &seat.desk().await?.deliveries(which, *most).await?, out)
        }
        IntakeCommand::Show { id } => {
            print(&seat.desk().await?.delivery(id).await?, out)?;
            Ok(exit::OK)
        }
        IntakeCommand::Retry { id } => {
            let desk = seat.desk().await?;
            print(&desk.retry_delivery(id).await?, out)?;
            if !desk.is_there() {
                out.hint("`quell serve` or `quell intake work` tries it now");
            }
            Ok(exit::OK)
        }
        IntakeCommand::Receive { name, headers, body, only_accept } => {
            receive(options, (name, headers, body), *only_accept, out).await
        }
        IntakeCommand::Work => {
            let app = app(options).await?;
            work(&app, options, out).await
        }
    }
}

fn list(which: Deliveries, all: &view::Deliveries, out: &Out) -> Result<u8, AppError> {
    if out.json() {
        out.object(all)?;
    } else if all.deliveries.is_empty() {
        out.status(match which {
            Deliveries::All => "nothing was delivered",
            Deliveries::Open => "nothing waits, and nothing was given up",
        });
    } else {
        let rows = all.deliveries.iter().map(|one| {
            let (at, state) = (one.received.to_string(), one.state.word().to_owned());
            vec![one.id.clone(), at, one.source.clone(), state, one.tries.to_string(), one.note.clone()]
        });
        out.table(&["id", "received", "from", "state", "tries", "what became of it"], rows.collect())?;
    }
    Ok(exit::OK)
}

fn print(told: &view::Delivered, out: &Out) -> Result<(), AppError> {
    if out.json() {
        return out.object(told);
    }
    let one = &told.delivery;
    out.data(format!("{} {} ({})", tone(Tone::Strong, &one.id), one.state.word(), one.kind))?;
    out.data(format!("from {}, received {}, {} bytes", one.source, one.received, one.size))?;
    if !one.delivery.is_empty() || !one.topic.is_empty() {
        out.data(format!("the sender's own id {}, about {}", or_none(&one.delivery), or_none(&one.topic)))?;
    }
    out.data(format!("begun {} time(s), next not before {}", one.tries, one.due))?;
    if !one.note.is_empty() {
        out.data(&one.note)?;
    }
    Ok(())
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}

async fn receive(
    options: &Options,
    (name, headers, body): (&str, &Path, &Path),
    only_accept: bool,
    out: &Out,
) -> Result<u8, AppError> {
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |source| AppError::Io { path, source }
    };
    let headers = quell_app::files::read_text(headers, 1 << 20).map_err(io(headers))?;
    let lines = headers.lines().filter_map(|line| line.split_once(':'));
    let headers = Headers::new(lines);
    let most = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    let body = quell_app::files::read(body, most + 1).map_err(io(body))?;
    let app = app(options).await?;
    let answer = intake::accept(&app, name, &headers, &body, quell_app::clock::now()).await;
    out.status(format!("answered {} {}", answer.status, answer.body));
    if !(200..300).contains(&answer.status) {
        if out.json() {
            out.object(&json!({ "status": answer.status, "tries": [] }))?;
        }
        return Ok(exit::REFUSED);
    }
    if only_accept {
        if out.json() {
            out.object(&json!({ "status": answer.status, "tries": [] }))?;
        }
        return Ok(exit::OK);
    }
    work(&app, options, out).await
}

/// What is due, one after the other. One that failed does not stop the others.
async fn work(app: &App, options: &Options, out: &Out) -> Result<u8, AppError> {
    let all: Vec<Ended> = intake::work_off(app, options).await?;
    if out.json() {
        out.object(&json!({ "tries": all }))?;
    } else if all.is_empty() {
        out.status("nothing is due");
    } else {
        for one in &all {
            let state = match one.state {
                "done" => tone(Tone::Good, one.state),
                "failed" => tone(Tone::Bad, one.state),
                _ => tone(Tone::Careful, one.state),
            };
            out.data(format!("{} {} {state}: {}", one.id, one.source, one.note))?;
        }
    }
    let failed = all.iter().any(|one| one.state != "done");
    Ok(if failed { exit::REMOTE } else { exit::OK })
}
