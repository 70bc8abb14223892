//! `quell kill -`: from a leaked value to a dead one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::Path;

use quell_app::driver::{Ended, Failpoint, PATIENCE, Run};
use quell_app::incident::Report;
use quell_app::kill::{self, Asked, Killed, Session, Shown, Target};
use quell_app::{AppError, Options, scan};
use quell_connect::provider::{self, Who};
use quell_core::outcome::Probe;
use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use super::{ask_passphrase, read_value, word};
use crate::cli::KillArgs;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn kill(options: &Options, args: &KillArgs, out: &Out) -> Result<u8, AppError> {
    if args.input != "-" {
        // What was given is not repeated: it may be the value.
        return Err(AppError::Usage(
            "the value is read from standard input only: `quell kill -`. If the value was given in its place, it now stands in the \
             shell's history and was seen by every process list: remove it there"
                .to_owned(),
        ));
    }
    let options = Options { providers: args.providers.clone(), ..options.clone() };
    let value = value()?;
    let target = kill::recognize(&value, &asked(args)?, &scan::rules(&[])?, &args.providers)?;
    let seen = kill::look(&target, &value, &options).await?;
    if !out.json() {
        preview(&target, &seen, &kill::warnings(&target, &value, &options).await?, out);
    }
    if args.dry_run {
        if out.json() {
            out.object(&json!({ "dry_run": true, "kind": target.kind, "provider": target.provider.file.id, "seen": seen }))?;
        }
        out.status("nothing was revoked and nothing was written down");
        return Ok(exit::OK);
    }
    let session = Session::open(&options, &target, &value, args.even_in_use, ask_passphrase).await?;
    for missed in &session.missed {
        out.warning(format!(
            "could not be read, so whether the value is in use there is not known: {missed}"
        ));
    }
    if let Some(running) = session.running().await? {
        out.status(format!("{} is open about it: it is taken up where it is", running.id));
    }
    match if args.yes { Answer::Yes } else { asked_for(&target, out)? } {
        Answer::Yes => {}
        Answer::No => {
            out.status("nothing was revoked");
            return Ok(exit::WAITING);
        }
        Answer::NobodyThere => {
            out.status("nothing was revoked: there is no terminal to ask at");
            out.hint("--yes does not ask, for scripts");
            return Ok(exit::WAITING);
        }
    }
    let report = Report {
        channel: args.channel.as_deref().map(word).transpose()?,
        audience: args.audience.as_deref().map(word).transpose()?,
        place: args.place.clone(),
        title: Some(format!("a key leaked: {}", target.provider.file.name)),
        ..Report::default()
    };
    let run = Run { failpoint: args.failpoint.as_deref().and_then(Failpoint::parse), ..stoppable() };
    let mut show = super::respond::Show::new(out);
    let killed = session.kill(value, (report, &seen), run, &mut |progress| show.progress(progress)).await?;
    finish(&target, &killed, out)
}

/// Ctrl-C ends running steps and leaves an incident that the same command takes up again.
fn stoppable() -> Run {
    let (stop_tx, stop) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _receivers_may_be_gone = stop_tx.send(true);
            // Hold the sender: a dropped one would look like a change.
            stop_tx.closed().await;
        }
    });
    Run { stop, return_when_idle: true, failpoint: None, patience: PATIENCE, only: None }
}

/// From standard input; typed without an echo when that is a terminal.
fn value() -> Result<SecretValue, AppError> {
    if !std::io::stdin().is_terminal() {
        return read_value(Path::new("-"));
    }
    let typed = crate::prompt::hidden("the leaked value (not shown): ")
        .map_err(|source| AppError::Io { path: "the terminal".to_owned(), source })?;
    if typed.trim().is_empty() {
        return Err(AppError::Usage("no value was given".to_owned()));
    }
    Ok(SecretValue::from_text(typed))
}

fn asked(args: &KillArgs) -> Result<Asked, AppError> {
    let mut vars = BTreeMap::new();
    for pair in &args.set {
        let (name, text) = pair
            .split_once('=')
            .ok_or_else(|| AppError::Usage("--set is NAME=TEXT, such as --set org=acme".to_owned()))?;
        vars.insert(name.to_owned(), text.to_owned());
    }
    Ok(Asked {
        kind: args.kind.clone(),
        provider: args.provider.clone(),
        url: args.url.clone(),
        control: args.control.clone(),
        admin: args.admin.clone(),
        key_id: args.key_id.clone(),
        vars,
    })
}

fn preview(target: &Target, seen: &Probe, warnings: &[String], out: &Out) {
    let file = &target.provider.file;
    out.status(format!("{} ({})", tone(Tone::Strong, &file.name), target.kind));
    out.status(format!(
        "  at         {}",
        target.config.get("url").and_then(Value::as_str).unwrap_or(&file.url)
    ));
    out.status(match seen {
        Probe::Accepted { facts } => {
            let facts: Vec<String> = facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
            format!("  now        {} {}", tone(Tone::Bad, "it opens the door"), facts.join(", "))
        }
        Probe::Refused { code, .. } => format!("  now        {} ({code})", tone(Tone::Good, "it is refused")),
        Probe::Inconclusive { reason } => {
            format!("  now        {}: {reason}", tone(Tone::Careful, "not known"))
        }
    });
    let administrator = target.config.get("admin").is_some();
    let possible = |call: &&provider::Call| administrator || call.who != Who::Admin;
    match file.revoke.iter().map(|call| &call.value).find(possible) {
        Some(call) => {
            out.status(format!("  will be    {} {}, then tried until it is refused", call.method, call.path));
        }
        None if file.revoke.is_empty() => out.status("  will be    tried; no call revokes it, a person does"),
        None => out.status(
            "  will be    tried; only an administrator's credential revokes it (--admin REF), or a person",
        ),
    }
    for warning in warnings {
        out.status(format!("  {warning}"));
    }
}

/// What somebody said, if somebody is there.
enum Answer {
    No,
    NobodyThere,
    Yes,
}

/// Asks at the terminal, which is not standard input when the value comes from there.
fn asked_for(target: &Target, out: &Out) -> Result<Answer, AppError> {
    let failed = |source| AppError::Io { path: "the terminal".to_owned(), source };
    if !std::io::stderr().is_terminal() {
        return Ok(Answer::NobodyThere);
    }
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return Ok(Answer::NobodyThere) };
    let id = &target.provider.file.id;
    let question = format!("This cannot be taken back. Type {id} to revoke the key, anything else to stop: ");
    out.ask(question).map_err(failed)?;
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line).map_err(failed)?;
    Ok(if line.trim() == id { Answer::Yes } else { Answer::No })
}

fn finish(target: &Target, killed: &Killed, out: &Out) -> Result<u8, AppError> {
    let proof = killed.incident.proof(&killed.secret);
    let id = killed.incident.id;
    if out.json() {
        out.object(&json!({
            "incident": id.to_string(),
            "secret": killed.secret,
            "fingerprint": killed.fingerprint,
            "kind": target.kind,
            "provider": target.provider.file.id,
            "ended": killed.ended,
            "shown": killed.shown,
            "proof": proof,
        }))?;
    }
    let code = match killed.shown {
        Shown::Proven => {
            out.status(format!(
                "{} refused twice, beside a control that was accepted",
                tone(Tone::Good, "proven dead:")
            ));
            exit::OK
        }
        Shown::RefusedBesideControl => {
            let line = "refused twice, beside a control that was accepted; nobody here ever saw it accepted";
            out.status(format!("{} {line}", tone(Tone::Careful, "refused here:")));
            out.hint("a key of another site or server is refused as well, and so is one that was cut off: compare it, and where it was used");
            elsewhere(target, out);
            exit::REFUSED
        }
        Shown::RefusedAfterAccepted { seconds } => {
            let line = format!("refused twice, {seconds} s after the same door had accepted it");
            out.status(format!("{} {line}", tone(Tone::Good, "dead:")));
            out.hint(
                "a control makes it a proof: run it again with --control REF, a good key of the same kind",
            );
            exit::OK
        }
        Shown::Refused => {
            out.status(format!("{} and nobody here ever saw it accepted", tone(Tone::Careful, "refused,")));
            out.hint("a key that this door never accepts is refused as well; --control REF, or another --url or --provider, tells");
            elsewhere(target, out);
            exit::REFUSED
        }
        Shown::NotDead => not_dead(target, killed, out),
    };
    out.hint(format!(
        "`quell incident show {id}`; `quell evidence export {id}`; the incident stays open until it is closed"
    ));
    Ok(code)
}

/// Other doors of the vendor, where the key may live.
fn elsewhere(target: &Target, out: &Out) {
    for fact in &target.provider.file.elsewhere {
        out.hint(format!("refused here although it lives: {}", fact.what));
    }
}

fn not_dead(target: &Target, killed: &Killed, out: &Out) -> u8 {
    match killed.ended {
        Ended::Interrupted => {
            out.status("stopped; run it again to take it up where it is");
            exit::INTERRUPTED
        }
        Ended::NeedsApproval => {
            out.status("policy wants another person's approval");
            let plan = quell_app::plan::machine(&killed.incident).map(|m| m.plan_hash().to_owned());
            let plan = plan.unwrap_or_default();
            let hash = quell_app::driver::short(&plan);
            out.hint(format!(
                "`quell approve {} --plan {hash}` as that person, then run it again",
                killed.incident.id
            ));
            exit::WAITING
        }
        Ended::Held => {
            let id = killed.incident.id;
            let held = killed.incident.machine.as_ref().and_then(|machine| machine.held());
            let why = held.map_or("", |hold| hold.reason.as_str());
            out.status(format!("{} the plan is paused: {why}", tone(Tone::Bad, "NOT shown to be dead:")));
            out.hint(format!("`quell resume {id} --reason WHY`, then run the same command again"));
            exit::WAITING
        }
        Ended::Done | Ended::NeedsPeople | Ended::Stuck => {
            out.status(tone(Tone::Bad, "NOT shown to be dead"));
            for line in killed.incident.proof(&killed.secret).iter().flat_map(|proof| &proof.unmet) {
                out.status(format!("  - {line}"));
            }
            for step in next_steps(target, killed) {
                out.hint(step);
            }
            exit::REMOTE
        }
    }
}

/// What can be done about a key that is not shown to be dead, the surest first.
fn next_steps(target: &Target, killed: &Killed) -> Vec<String> {
    let file = &target.provider.file;
    let mut steps = Vec::new();
    let by_admin = file.revoke.iter().find(|call| call.value.who == Who::Admin);
    if let (Some(call), None) = (by_admin, target.config.get("admin")) {
        let needs = call.value.needs.as_deref().unwrap_or("the right to revoke keys");
        steps.push(format!("run it again with --admin REF, an administrator's credential: {needs}"));
    }
    if let Some(by_hand) = &file.by_hand {
        steps.push(format!("a person can end it: {by_hand}"));
    }
    if file.proves() {
        steps.push("run the same command again: it looks first, and revokes nothing twice".to_owned());
    } else {
        let (id, secret) = (killed.incident.id, &killed.secret);
        steps.push(format!(
            "no refusal of this API proves anything: see that the key is gone, then `quell incident exception {id} {secret} --reason …`"
        ));
    }
    steps
}
