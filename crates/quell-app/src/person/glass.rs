//! Breaking the glass: more rights for a while, when whoever could give them cannot be reached. With a reason, told to everybody, and looked at by somebody
//! else afterwards.

use jiff::{SignedDuration, Timestamp};
use quell_connect::connector::{Notice, Stage};
use quell_core::event::Event;
use quell_core::outcome::{Facts, Outcome};
use quell_core::person::{BreakGlass, Role};

use super::decide;
use crate::{App, AppError};

/// How long it lasts.
pub const LASTS: SignedDuration = SignedDuration::from_hours(1);
/// Shortest reason, in characters: whoever reads it afterwards was not there.
const REASON: usize = 10;
/// Longest one: every page shows it, and so does everybody's pager.
const LONGEST: usize = 500;

/// Takes the rights of an approver, or those of an admin, for an hour. Whoever is told of it is in what is given back.
pub async fn open(
    app: &App,
    own: Role,
    role: Role,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<String>, AppError> {
    let person = app.named_actor()?;
    crate::words::refuse_values(app, None, &[reason]).await?;
    let usage = |words: &str| Err(AppError::Usage(words.to_owned()));
    if own < Role::Responder {
        return usage("only responders may break the glass; report what you know at /report");
    }
    if role <= own {
        return usage("you may do all of that already");
    }
    let length = reason.trim().chars().count();
    if length < REASON {
        return usage(
            "say in a sentence why it cannot wait: somebody else will look at what you did with it",
        );
    }
    if length > LONGEST {
        return usage("say it in 500 characters: every page shows it; notes of the incident take the rest");
    }
    let glass = BreakGlass {
        person: person.clone(),
        role,
        until: now.checked_add(LASTS).unwrap_or(Timestamp::MAX),
        reason: reason.trim().to_owned(),
        opened: 0,
        reviewed: None,
    };
    decide(app, now, |people| {
        // Asked again and again, it would fill pages, pagers and the ledger.
        let most = people.broken(now).filter(|it| it.person == person).max_by_key(|it| it.role);
        if let Some(holds) = most.filter(|it| it.role >= role) {
            let words = format!("you broke it already, and are {} until {}", holds.role, holds.until);
            return Err(AppError::Usage(words));
        }
        Ok((vec![Event::BreakGlassOpened { glass: glass.clone() }], ()))
    })
    .await?;
    let words = format!("{person} broke the glass and is {role} until {}: {}", glass.until, glass.reason);
    Ok(tell(app, &words, now).await)
}

/// Somebody else looked at what was done with it. It ends with that.
pub async fn review(app: &App, opened: u64, statement: &str, now: Timestamp) -> Result<(), AppError> {
    let by = app.named_actor()?;
    crate::words::refuse_values(app, None, &[statement]).await?;
    if statement.trim().chars().count() < REASON {
        return Err(AppError::Usage(
            "say in a sentence what was done with it and whether that was right".to_owned(),
        ));
    }
    decide(app, now, |people| {
        let Some(glass) = people.break_glass.iter().find(|glass| glass.opened == opened) else {
            return Err(AppError::NotFound { what: "broken glass", id: opened.to_string() });
        };
        if let Some(same) = people.one_person(&glass.person, &by, now) {
            return Err(AppError::Usage(format!("somebody else must look at it: {}", same.words())));
        }
        if glass.reviewed.is_some() {
            return Err(AppError::Usage("it was looked at already".to_owned()));
        }
        Ok((vec![Event::BreakGlassReviewed { opened, statement: statement.trim().to_owned() }], ()))
    })
    .await
}

/// Says it on every channel that the policy names. Gives the channels that took it; that one is down keeps nobody from acting.
async fn tell(app: &App, words: &str, now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    let mut channels: Vec<&String> = app.inventory.policy.notify.values().collect();
    channels.sort();
    channels.dedup();
    for name in channels {
        let Ok(notifier) = crate::systems::notifier(&app.inventory, name, &app.context) else { continue };
        let checkpoint =
            app.store.checkpoint().await.ok().flatten().map(|(_, note)| note).unwrap_or_default();
        let notice = Notice {
            id: format!("{}/break-glass/{}", app.store.origin(), now.as_microsecond()),
            // An alert of its own, at a pager that puts together what has one name.
            incident: format!("break-glass-{}", now.as_microsecond()),
            installation: app.store.origin().split('/').nth(1).unwrap_or_default().to_owned(),
            stage: Stage::Opened,
            update: false,
            severity: "SEV-1".to_owned(),
            title: words.to_owned(),
            body: words.to_owned(),
            link: app
                .inventory
                .policy
                .site
                .as_ref()
                .map(|site| format!("{}/settings", site.trim_end_matches('/'))),
            asks: Vec::new(),
            first: Facts::new(),
            checkpoint,
        };
        if let Outcome::Applied { .. } = notifier.send(&notice).await {
            told.push(name.clone());
        }
    }
    told
}
