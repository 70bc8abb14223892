//! Many findings at once: a handful of queries for a page, however many findings there are, and an end to looking when few of them are wanted.

use quell_core::IncidentId;
use quell_core::event::Entry;

use super::{Found, Said, Standing, Wanted, found_in, said_in};
use crate::{App, AppError, projection, scan};

/// Findings that are read at once.
const AT_ONCE: usize = 500;
/// Findings that are looked at for one page of what only their content tells. Whoever wants more goes on from there.
const LOOKED_AT: usize = 2_000;

/// Findings in the order of their ids, those after `after`. Where the next ones begin, if there may be more: a page of
/// those of one secret or one rule ends after so many that were looked at, though it may hold fewer than wanted.
pub async fn list(
    app: &App,
    wanted: &Wanted,
    after: &str,
    most: usize,
) -> Result<(Vec<Standing>, Option<String>), AppError> {
    let any = wanted.secret.is_none() && wanted.rule.is_none();
    // One more than wanted, to know whether there is a next page.
    let step = if any { most.saturating_add(1).min(AT_ONCE) } else { AT_ONCE };
    let (mut out, mut last, mut looked): (Vec<Standing>, _, _) = (Vec::new(), after.to_owned(), 0);
    loop {
        let ids = projection::findings_after(app, &last, wanted.open, step).await?;
        let Some(newest) = ids.last() else { return Ok((out, None)) };
        for stands in standings(app, &ids).await?.into_iter().filter(|it| wanted.fits(&it.matched)) {
            if out.len() == most {
                let next = out.last().map(|last| last.matched.finding.id.clone());
                return Ok((out, next));
            }
            out.push(stands);
        }
        looked += ids.len();
        last.clone_from(newest);
        if ids.len() < step {
            return Ok((out, None));
        }
        if looked >= LOOKED_AT {
            return Ok((out, Some(last)));
        }
    }
}

/// What of the inbox is shown.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    /// Only those of which nobody has said what they are.
    pub open: bool,
    /// In its id, its description, its place or its rule.
    pub text: String,
    /// Only those before this mark.
    pub before: Option<i64>,
}

/// A page of the inbox.
#[derive(Clone, Debug)]
pub struct InboxPage {
    /// Findings, newest first.
    pub found: Vec<Found>,
    /// Where the next ones begin, if there may be more.
    pub next: Option<i64>,
}

/// Findings, newest first.
pub async fn inbox(app: &App, wanted: &Inbox, most: usize) -> Result<InboxPage, AppError> {
    let text = wanted.text.trim().to_lowercase();
    let step = if text.is_empty() { most.saturating_add(1).min(AT_ONCE) } else { AT_ONCE };
    let (mut out, mut last, mut looked) = (Vec::new(), wanted.before.unwrap_or(i64::MAX), 0);
    loop {
        let some = projection::findings_before(app, last, wanted.open, step).await?;
        let ids: Vec<String> = some.iter().map(|(id, _)| id.clone()).collect();
        for (found, (_, mark)) in each(app, &ids).await?.into_iter().zip(&some) {
            let Some(found) = found.filter(|found| says(found, &text)) else { continue };
            if out.len() == most {
                // The mark of the last one that is shown or was passed over.
                return Ok(InboxPage { found: out, next: Some(last) });
            }
            out.push(found);
            last = *mark;
        }
        looked += some.len();
        let Some((_, newest)) = some.last() else { return Ok(InboxPage { found: out, next: None }) };
        last = *newest;
        if some.len() < step {
            return Ok(InboxPage { found: out, next: None });
        }
        if looked >= LOOKED_AT {
            return Ok(InboxPage { found: out, next: Some(last) });
        }
    }
}

/// How many findings there are, and of how many nobody has said what they are.
pub async fn count(app: &App) -> Result<(u64, u64), AppError> {
    projection::findings_count(app).await
}

fn says(found: &Found, text: &str) -> bool {
    [&found.id, &found.description, &found.place, &found.rule]
        .iter()
        .any(|known| known.to_lowercase().contains(text))
}

/// What is written of one finding.
type Written = (Vec<Entry>, Option<Said>, Vec<IncidentId>);

/// What is written of each, in the order that was asked.
async fn written(app: &App, ids: &[String]) -> Result<Vec<Written>, AppError> {
    let mut recorded = projection::entries_of(app, "finding", ids).await?;
    let mut triaged = projection::entries_of(app, "triaged", ids).await?;
    let mut exposed = projection::exposed(app, ids).await?;
    let of = |id: &String| {
        let said = triaged.remove(id).and_then(|mut all| all.pop()).and_then(said_in);
        (recorded.remove(id).unwrap_or_default(), said, exposed.remove(id).unwrap_or_default())
    };
    Ok(ids.iter().map(of).collect())
}

async fn standings(app: &App, ids: &[String]) -> Result<Vec<Standing>, AppError> {
    let mut all = Vec::new();
    for (mut entries, said, incidents) in written(app, ids).await? {
        if let Some(matched) = entries.pop().map_or(Ok(None), scan::matched_in)? {
            all.push(Standing { matched, said, incidents });
        }
    }
    Ok(all)
}

async fn each(app: &App, ids: &[String]) -> Result<Vec<Option<Found>>, AppError> {
    let all = written(app, ids).await?.into_iter().map(|(entries, said, incidents)| {
        let mut found = found_in(&entries)?;
        (found.said, found.incidents) = (said, incidents);
        Some(found)
    });
    Ok(all.collect())
}
