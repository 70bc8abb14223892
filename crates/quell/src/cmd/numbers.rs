//! `quell numbers`.

use jiff::SignedDuration;
use quell_app::AppError;
use quell_app::report::duration;
use quell_web::view::Spreads;

use crate::desk::Seat;
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn numbers(seat: &Seat, out: &Out) -> Result<u8, AppError> {
    let known = seat.desk().await?.numbers().await?;
    if out.json() {
        out.object(&known)?;
        return Ok(exit::OK);
    }
    out.data(format!("{} open incident(s), {} not contained", known.open, known.not_contained))?;
    let row = |name: &str, times: Spreads| {
        let [median, p90, most] = [times.median_ms, times.p90_ms, times.most_ms].map(span);
        vec![name.to_owned(), times.count.to_string(), median, p90, most]
    };
    let rows = vec![
        row("first response", known.response),
        row("cut off at the issuer", known.contain),
        row("proven inert", known.proof),
    ];
    out.table(&["time to", "incidents", "half within", "nine of ten within", "slowest"], rows)?;
    for clock in &known.clocks {
        let state = if clock.missed { tone(Tone::Bad, "missed") } else { tone(Tone::Good, "runs") };
        out.data(format!("{} {}: {state}, due {}", clock.incident, clock.clock, clock.due))?;
    }
    Ok(exit::OK)
}

fn span(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| duration(SignedDuration::from_millis(ms)))
}
