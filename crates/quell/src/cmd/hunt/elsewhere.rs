//! Hunts in engines where the logs already are: the query, and its result.

use quell_app::{AppError, Options, evidence};
use quell_hunt::engine::{self, Answer, Engine, Layout, Query};
use quell_hunt::hint::Hints;
use quell_hunt::needle::{Needle, Needles};
use quell_hunt::report::Asked;
use quell_hunt::report::saved::Saved;
use quell_hunt::verdict::Knowledge;

use super::super::{app, read_file};
use super::{check, incident, report_at, tell};
use crate::cli::{HuntAskedArgs, HuntEngine, HuntQueryArgs, HuntResultArgs};
use crate::exit;
use crate::output::Out;

impl From<HuntEngine> for Engine {
    fn from(engine: HuntEngine) -> Self {
        match engine {
            HuntEngine::Athena => Self::Athena,
            HuntEngine::Bigquery => Self::Bigquery,
            HuntEngine::Clickhouse => Self::Clickhouse,
            HuntEngine::Trino => Self::Trino,
        }
    }
}

/// What is given, and what an earlier round found.
fn ids(asked: &HuntAskedArgs) -> Result<Vec<String>, AppError> {
    let mut ids = asked.id.clone();
    if let Some(path) = &asked.follow {
        let report = report_at(path)?;
        ids.extend(report.hunt.followed.into_iter().map(|it| it.id));
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

pub(super) fn query(args: &HuntQueryArgs, out: &Out) -> Result<u8, AppError> {
    let query = Query {
        engine: args.asked.engine.into(),
        layout: if args.lines { Layout::Lines } else { Layout::Cloudtrail },
        location: args.asked.logs.clone(),
        table: args.table.clone(),
        ids: ids(&args.asked)?,
        from: args.from,
        to: args.to,
        accounts: args.account.clone(),
        regions: args.region.clone(),
    };
    let text = engine::write(&query).map_err(|error| AppError::Usage(error.to_string()))?;
    match &args.output {
        None => out.raw(text.as_bytes())?,
        Some(path) => evidence::write_whole(path, text.as_bytes())?,
    }
    Ok(exit::OK)
}

pub(super) async fn result(options: &Options, args: &HuntResultArgs, out: &Out) -> Result<u8, AppError> {
    check(&args.say, out)?;
    let usage = |error: &dyn std::fmt::Display| AppError::Usage(error.to_string());
    let id = incident(args.incident.as_ref())?;
    let (mut exposed, mut triaged) = (args.owner.exposed, Vec::new());
    if let Some(id) = id {
        let incident = app(options).await?.incident(id).await?;
        exposed = exposed.or(incident.first_exposed());
        triaged = incident.triaged;
    }
    let ids = ids(&args.asked)?;
    let needles: Result<Vec<Needle>, _> = ids.iter().map(|id| Needle::id(id)).collect();
    let needles = needles.and_then(Needles::new).map_err(|error| usage(&error))?;
    let query = args.query.as_deref().map(read_file).transpose()?;
    let rows = read_file(&args.rows)?;
    let answer = Answer {
        engine: args.asked.engine.into(),
        query_id: &args.query_id,
        query: query.as_deref(),
        location: &args.asked.logs,
        needles: &needles,
        hints: &Hints::default(),
        rows: &rows,
    };
    let found = engine::read(&answer).map_err(|error| usage(&error))?;
    if !found.closed {
        out.hint(
            "it made credentials that were not asked for: ask again with --follow and this report as JSON",
        );
    }
    let knowledge = Knowledge {
        exposed,
        revoked: args.owner.revoked,
        known: args.owner.known.clone(),
        triaged,
        ..Knowledge::default()
    };
    let asked = Asked { credentials: ids, knowledge, ..Asked::default() };
    tell(options, &Saved::new(asked, found), id, args.record, &args.say, out).await
}
