//! What is done with hunts that are done: put together, shown, asked, triaged.

use quell_app::hunt::sql;
use quell_app::{AppError, Options};
use quell_core::event::Decision;
use quell_hunt::report::saved::Saved;
use quell_hunt::report::{clean, csv};
use serde_json::{Value, json};

use super::super::word;
use super::{check, incident, report_at, tell};
use crate::cli::{HuntMergeArgs, HuntReport, HuntShowArgs, HuntSqlArgs, HuntTriageArgs};
use crate::desk::Seat;
use crate::exit;
use crate::output::Out;

pub(super) async fn merge(options: &Options, args: &HuntMergeArgs, out: &Out) -> Result<u8, AppError> {
    check(&args.say, out)?;
    let mut parts = Vec::with_capacity(args.reports.len());
    for path in &args.reports {
        parts.push(report_at(path)?);
    }
    let saved = Saved::merge(parts).map_err(|error| AppError::Usage(error.to_string()))?;
    tell(options, &saved, incident(args.incident.as_ref())?, args.record, &args.say, out).await
}

pub(super) async fn show(seat: &Seat, args: &HuntShowArgs, out: &Out) -> Result<u8, AppError> {
    check(&args.say, out)?;
    let saved = load(seat, &args.source).await?;
    tell(&seat.options, &saved, None, false, &args.say, out).await
}

/// A report from where it lies; of an incident, with what people said since.
async fn load(seat: &Seat, source: &HuntReport) -> Result<Saved, AppError> {
    match (&source.report, &source.incident) {
        (Some(path), _) => report_at(path),
        (None, Some(id)) => seat.desk_with_inventory().await?.hunted(word(id)?).await,
        (None, None) => Err(AppError::Usage("give --report or --incident".to_owned())),
    }
}

pub(super) async fn sql(seat: &Seat, args: &HuntSqlArgs, out: &Out) -> Result<u8, AppError> {
    let saved = load(seat, &args.source).await?;
    let opinion = saved.opinion();
    let answer = sql::ask(&saved.report(&opinion), &args.question).await?;
    if out.json() {
        out.object(&json!({ "columns": answer.columns, "rows": answer.rows }))?;
        return Ok(exit::OK);
    }
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let rows = answer.rows.iter().map(|row| row.iter().map(text).collect::<Vec<String>>());
    if args.csv {
        let lines = std::iter::once(answer.columns.clone()).chain(rows);
        out.raw(lines.map(|row| csv::row(&row)).collect::<String>().as_bytes())?;
    } else {
        let header: Vec<String> = answer.columns.iter().map(|name| clean(name)).collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        out.table(&header, rows.map(|row| row.iter().map(|text| clean(text)).collect()).collect())?;
    }
    Ok(exit::OK)
}

pub(super) async fn triage(seat: &Seat, args: &HuntTriageArgs, out: &Out) -> Result<u8, AppError> {
    let (id, desk) = (word(&args.incident)?, seat.desk_with_inventory().await?);
    let said = [(Decision::Benign, &args.benign), (Decision::Confirmed, &args.confirmed)];
    let said = said.into_iter().find_map(|(decision, reason)| Some((decision, reason.as_ref()?)));
    if let (Some(finding), Some((decision, reason))) = (&args.finding, said) {
        let before = desk.incident(id).await?.items.len();
        let incident = desk.judge(id, finding, decision, reason).await?;
        out.status(format!("{finding} is {}", decision.word()));
        for item in incident.items.iter().skip(before) {
            out.status(format!("{}: {} (owner {}, due {})", item.item, item.title, item.owner, item.due));
        }
        if let (false, Some((verdict, because))) = (out.json(), &incident.verdict) {
            out.status(format!("Verdict: {} ({})", verdict.sentence(), clean(because)));
        }
    }
    let saved = desk.hunted(id).await?;
    let opinion = saved.opinion();
    let rows = opinion.detection.anomalies.iter().map(|it| {
        let (decision, reason) = saved.asked.knowledge.standing(it).words().unwrap_or(("open", ""));
        (it, decision, reason)
    });
    if out.json() {
        let findings: Vec<Value> = rows
            .map(|(it, decision, reason)| json!({ "finding": it, "decision": decision, "reason": reason }))
            .collect();
        out.object(&json!({ "verdict": opinion.judgement.verdict, "findings": findings }))?;
    } else {
        let rows = rows.map(|(it, decision, reason)| {
            let when = it.from.map(|at| at.to_string()).unwrap_or_default();
            let texts = [&it.id, it.weight.word(), &when, decision, &clean(&it.title), &clean(reason)];
            texts.map(str::to_owned).to_vec()
        });
        out.table(&["FINDING", "WEIGHT", "SINCE", "IS", "WHAT", "WHY"], rows.collect())?;
    }
    Ok(exit::OK)
}
