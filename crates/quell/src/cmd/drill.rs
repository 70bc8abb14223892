//! `quell drill`, and the consumer that it plays with.

use quell_app::drill::{self, DrillProgress, DrillReport};
use quell_app::driver::Progress;
use quell_app::{AppError, Options};
use quell_connect::consumer_sandbox::{self, SandboxConsumer, SandboxSource};
use quell_connect::http::Client;
use quell_core::SecretId;
use quell_core::outcome::Outcome;
use quell_core::plan::StepEvent;

use super::{app, word};
use crate::cli::{DrillArgs, SandboxConsumerArgs};
use crate::exit;
use crate::output::{Out, Tone, duration, tone};

pub(crate) async fn drill(options: &Options, args: &DrillArgs, out: &Out) -> Result<u8, AppError> {
    let quiet = out.json();
    let mut tell = |progress: &DrillProgress| {
        if quiet {
            return;
        }
        match progress {
            DrillProgress::Phase(name) => out.status(tone(Tone::Strong, format!("· {name}"))),
            DrillProgress::Step(Progress::Event {
                event: StepEvent::Finished { step, outcome, .. }, ..
            }) => {
                let (mark, why) = match outcome {
                    Outcome::Applied { .. } => (tone(Tone::Good, "applied"), String::new()),
                    Outcome::NotApplied { reason, .. } => {
                        (tone(Tone::Careful, "again  "), format!(": {reason}"))
                    }
                    Outcome::Unknown { reason } => (tone(Tone::Careful, "unknown"), format!(": {reason}")),
                };
                out.status(format!("    {mark} {step}{why}"));
            }
            DrillProgress::Step(_) => {}
        }
    };
    let strategy = super::incident::policy(args.strategy);
    let report = match &args.secret {
        None => {
            let program = std::env::current_exe()
                .map_err(|source| AppError::Io { path: "this program".to_owned(), source })?;
            Box::pin(drill::sandbox(options, &program, strategy, &mut tell)).await?
        }
        Some(secret) => {
            let id: SecretId = word(secret)?;
            let twice = args.really && args.even_production.as_deref() == Some(secret.as_str());
            let app = app(options).await?;
            Box::pin(drill::own(&app, &id, twice, strategy, &mut tell)).await?
        }
    };
    if out.json() {
        out.object(&report)?;
    } else {
        print(&report, out)?;
    }
    let good = report.inert && report.bundle_verified && report.ledger_verified;
    Ok(if good { exit::OK } else { exit::REMOTE })
}

fn print(report: &DrillReport, out: &Out) -> Result<(), AppError> {
    let rows = report
        .steps
        .iter()
        .map(|t| {
            let slow = if report.slowest.contains(&t.id) { "slow" } else { "" };
            vec![t.id.clone(), duration(t.ms), t.attempts.to_string(), slow.to_owned()]
        })
        .collect();
    out.data("")?;
    out.table(&["step", "took", "attempts", ""], rows)?;
    out.data("")?;
    out.table(
        &["phase", "took"],
        report.phases.iter().map(|t| vec![t.id.clone(), duration(t.ms)]).collect(),
    )?;
    out.data("")?;
    for secret in &report.secrets {
        let words =
            if secret.inert { tone(Tone::Good, "proven inert") } else { tone(Tone::Bad, "NOT inert") };
        out.data(format!("{} {words}", secret.id))?;
    }
    out.data(format!("from declaration to proof: {}", tone(Tone::Strong, duration(report.inert_ms))))?;
    if let Some(earlier) = &report.earlier {
        out.data(format!("the drill before ({}): {}", earlier.incident, duration(earlier.inert_ms)))?;
    }
    let verified = |ok| if ok { tone(Tone::Good, "verified") } else { tone(Tone::Bad, "NOT verified") };
    out.data(format!("incident  {}", report.incident))?;
    out.data(format!("report    {}", report.report.display()))?;
    out.data(format!("bundle    {} ({})", report.bundle.display(), verified(report.bundle_verified)))?;
    out.data(format!("ledger    {}", verified(report.ledger_verified)))?;
    out.hint(format!("`quell evidence verify {} --key '{}'`", report.bundle.display(), report.vkey));
    Ok(())
}

pub(crate) async fn consumer(args: SandboxConsumerArgs) -> Result<u8, AppError> {
    let options = SandboxConsumer {
        source: SandboxSource::EnvFile { path: args.env_file, key: args.key },
        port_file: args.port_file,
        pid_file: args.pid_file,
        reload_token_file: None,
        http: Client::new(std::time::Duration::from_secs(10), None)?,
    };
    consumer_sandbox::run(options).await?;
    Ok(exit::OK)
}
