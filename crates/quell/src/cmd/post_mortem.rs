//! `quell incident post-mortem`.

use quell_app::AppError;
use quell_app::incident::Change;
use quell_core::incident::Section;
use quell_web::view;

use super::{incident_id, read_text, word};
use crate::cli::PostMortemArgs;
use crate::desk::Seat;
use crate::exit;
use crate::output::Out;

/// Most that is read of a file, in bytes. What a section may hold is less, and said by whoever refuses it.
const TEXT_MAX: u64 = 64 << 10;

pub(super) async fn run(seat: &Seat, args: &PostMortemArgs, out: &Out) -> Result<u8, AppError> {
    let id = incident_id(&args.id)?;
    let section: Option<Section> = args.section.as_deref().map(word).transpose()?;
    let text = args.file.as_deref().map(|path| read_text(path, TEXT_MAX)).transpose()?;
    let desk = seat.desk().await?;
    let incident = match (section, text) {
        (Some(section), Some(text)) => {
            let written = desk.change(id, &Change::PostMortem(section, text)).await?;
            if !out.json() {
                out.status(format!("section {section} of the post-mortem of {id} is written"));
                out.hint(format!("`quell report {id}` puts it beside the facts"));
                return Ok(exit::OK);
            }
            written
        }
        (_, None) | (None, Some(_)) => desk.incident(id).await?,
    };
    let mut all = view::PostMortem::of(&incident);
    all.sections.retain(|one| section.is_none_or(|section| one.section == section));
    if out.json() {
        out.object(&all)?;
    } else if section.is_some() {
        // As it stands, so that it can be changed and written again.
        for one in all.sections.iter().filter(|one| !one.text.is_empty()) {
            out.data(&one.text)?;
        }
        all.sections.iter().for_each(|one| out.status(who(one)));
    } else {
        shown(&all, out)?;
        out.hint(format!("`quell incident post-mortem {id} --section SECTION --file FILE` writes one"));
    }
    Ok(exit::OK)
}

fn shown(all: &view::PostMortem, out: &Out) -> Result<(), AppError> {
    for one in &all.sections {
        out.data(format!("{} ({})", one.title, one.section))?;
        if one.text.is_empty() {
            out.data(format!("  not written yet: {}", one.asks))?;
        } else {
            for line in one.text.lines() {
                out.data(format!("  {line}").trim_end())?;
            }
            out.data(format!("  ({})", who(one)))?;
        }
    }
    Ok(())
}

fn who(one: &view::Section) -> String {
    match (&one.by, one.at) {
        (Some(by), Some(at)) => {
            let what = if one.text.is_empty() { "taken back" } else { "written" };
            format!("{what} by {by}, {at:.0}")
        }
        (None, _) | (_, None) => format!("not written yet: {}", one.asks),
    }
}
