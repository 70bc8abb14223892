//! `quell notice …`.

use std::io::BufRead as _;

use quell_app::AppError;
use quell_app::driver::short;
use quell_core::IncidentId;
use quell_core::incident::RefusedBecause;
use quell_core::incident::notice::{Notice, NoticeState};
use quell_web::view;

use super::{incident_id, read_text};
use crate::cli::{EditArgs, NoticeArg, NoticeCommand, SendArgs};
use crate::desk::Seat;
use crate::exit;
use crate::output::{Out, can_ask};

pub(crate) async fn run(seat: &Seat, command: &NoticeCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        NoticeCommand::Kinds => kinds(seat, out).await,
        NoticeCommand::Draft { id, kind } => draft(seat, id, kind, out).await,
        NoticeCommand::List { id } => list(seat, id, out).await,
        NoticeCommand::Show(arg) => {
            let desk = seat.desk().await?;
            let id = incident_id(&arg.id)?;
            shown(&desk.notice(id, &arg.notice).await?, out)?;
            Ok(exit::OK)
        }
        NoticeCommand::Edit(args) => edit(seat, args, out).await,
        NoticeCommand::Send(args) => send(seat, args, out).await,
        NoticeCommand::Retry(arg) => {
            let desk = seat.desk_with_inventory().await?;
            let id = incident_id(&arg.id)?;
            sent(id, &desk.retry_notice(id, &arg.notice).await?, out)
        }
        NoticeCommand::Drop { notice, reason } => {
            let (id, desk) = (incident_id(&notice.id)?, seat.desk().await?);
            let dropped = desk.drop_notice(id, &notice.notice, reason).await?;
            if out.json() {
                out.object(&dropped)?;
            } else {
                out.status(format!("{} is dropped", dropped.notice));
            }
            Ok(exit::OK)
        }
    }
}

async fn kinds(seat: &Seat, out: &Out) -> Result<u8, AppError> {
    let known = seat.desk_with_inventory().await?.notice_kinds().await?;
    if out.json() {
        out.object(&known)?;
        return Ok(exit::OK);
    }
    let row = |it: &view::NoticeKind| vec![it.kind.clone(), it.name.clone(), it.audience.clone()];
    out.table(&["kind", "what", "for"], known.kinds.iter().map(row).collect())?;
    let usual = |it: &view::NoticeChannel| {
        if it.usual { format!("{} (told unless you name others)", it.channel) } else { it.channel.clone() }
    };
    let channels: Vec<String> = known.channels.iter().map(usual).collect();
    if channels.is_empty() {
        out.status("no channel of the inventory tells people anything");
    } else {
        out.status(format!("channels: {}", channels.join(", ")));
    }
    Ok(exit::OK)
}

async fn draft(seat: &Seat, id: &str, kind: &str, out: &Out) -> Result<u8, AppError> {
    let (id, desk) = (incident_id(id)?, seat.desk_with_inventory().await?);
    let drafted = desk.draft_notice(id, kind).await?;
    shown(&drafted, out)?;
    if !out.json() {
        out.hint(format!(
            "`quell notice edit {id} {0} --file TEXT` changes it, `quell notice send {id} {0} --seen {1}` sends it",
            drafted.notice,
            short(&drafted.sha256)
        ));
    }
    Ok(exit::OK)
}

async fn list(seat: &Seat, id: &str, out: &Out) -> Result<u8, AppError> {
    let incident = seat.desk().await?.incident(incident_id(id)?).await?;
    if out.json() {
        out.object(&view::Notices::of(&incident))?;
    } else if incident.notices.is_empty() {
        out.status("no notice; `quell notice draft INC KIND` begins one");
    } else {
        let row = |it: &Notice| {
            vec![
                it.notice.clone(),
                it.kind.clone(),
                it.state().word().to_owned(),
                it.by.clone(),
                it.title.clone(),
            ]
        };
        out.table(&["notice", "kind", "state", "by", "title"], incident.notices.iter().map(row).collect())?;
    }
    Ok(exit::OK)
}

fn shown(notice: &view::Notice, out: &Out) -> Result<(), AppError> {
    if out.json() {
        return out.object(notice);
    }
    out.data(&notice.title)?;
    out.data("")?;
    out.data(&notice.body)?;
    out.status(format!("{} ({}) is {}, by {}", notice.notice, notice.kind, notice.state.word(), notice.by));
    out.status(format!("its hash, for --seen: {}", short(&notice.sha256)));
    for told in notice.sent.iter().flat_map(|sent| &sent.channels) {
        out.status(format!("{}: {}", told.channel, told.words()));
    }
    Ok(())
}

/// Longest text, in bytes.
const TEXT_MAX: u64 = 64 << 10;

async fn edit(seat: &Seat, args: &EditArgs, out: &Out) -> Result<u8, AppError> {
    let NoticeArg { id, notice } = &args.notice;
    let (id, desk) = (incident_id(id)?, seat.desk().await?);
    let known = desk.notice(id, notice).await?;
    let body = match &args.file {
        Some(path) => read_text(path, TEXT_MAX)?,
        None => known.body.clone(),
    };
    let title = args.title.as_ref().unwrap_or(&known.title);
    // Whoever wrote it has read it.
    let own = known.by == desk.person().await?;
    if !own || args.seen.is_some() {
        read(&known, args.seen.as_deref(), id)?;
    }
    let changed = desk.edit_notice(id, notice, (title, &body), &known.sha256).await?;
    if out.json() {
        out.object(&changed)?;
    } else {
        out.status(format!("{} is changed", changed.notice));
        let (name, hash) = (&changed.notice, short(&changed.sha256));
        out.hint(format!("`quell notice send {id} {name} --seen {hash}` sends it"));
    }
    Ok(exit::OK)
}

/// Refuses what its user has not read.
fn read(notice: &view::Notice, seen: Option<&str>, id: IncidentId) -> Result<(), AppError> {
    let name = &notice.notice;
    let fits = |seen: &str| seen.len() >= HASH_MIN && notice.sha256.starts_with(seen);
    let look = format!("`quell notice show {id} {name}` shows it, and the hash for --seen");
    let what = match seen {
        Some(seen) if fits(seen) => return Ok(()),
        Some(seen) if seen.len() < HASH_MIN => {
            return Err(AppError::Usage(format!(
                "--seen takes the hash of a notice, or at least {HASH_MIN} digits of it: {look}"
            )));
        }
        Some(_) => {
            format!("{name} is another text than the one that you have read; {} changed it", notice.by)
        }
        None => format!("{name} was not read: nothing says that you know its text"),
    };
    Err(AppError::Refused(RefusedBecause { what, unmet: vec![look] }))
}

/// So many digits of a hash name a text.
const HASH_MIN: usize = 12;

async fn send(seat: &Seat, args: &SendArgs, out: &Out) -> Result<u8, AppError> {
    let NoticeArg { id, notice } = &args.notice;
    let (id, desk) = (incident_id(id)?, seat.desk_with_inventory().await?);
    let known = desk.notice(id, notice).await?;
    // At a terminal it is shown here, and what is sent is what was shown.
    if args.seen.is_none() && known.state == NoticeState::Draft && !out.json() && can_ask() {
        shown(&known, out)?;
        if !confirmed(&known.notice, out).await? {
            out.status("nothing was sent");
            return Ok(exit::OK);
        }
    } else {
        read(&known, args.seen.as_deref(), id)?;
    }
    sent(id, &desk.send_notice(id, notice, &args.channel, &known.sha256).await?, out)
}

async fn confirmed(notice: &str, out: &Out) -> Result<bool, AppError> {
    // If stderr is gone there is nobody to ask, and nothing is typed.
    let _asked =
        out.ask(format!("It cannot be taken back. Type {notice} to send it, anything else to stop: "));
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let failed = |source| AppError::Io { path: "standard input".to_owned(), source };
    let line = line.await.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)?;
    Ok(line.trim() == notice)
}

fn sent(id: IncidentId, notice: &view::Notice, out: &Out) -> Result<u8, AppError> {
    let failed = matches!(notice.state, NoticeState::InPart | NoticeState::Failed);
    if out.json() {
        out.object(notice)?;
    } else {
        out.status(format!("{} is {}", notice.notice, notice.state.word()));
        for told in notice.sent.iter().flat_map(|sent| &sent.channels) {
            out.status(format!("{}: {}", told.channel, told.words()));
        }
        if failed {
            out.hint(format!("`quell notice retry {id} {}` tries again where it gave up", notice.notice));
        } else if notice.state == NoticeState::Sending {
            out.hint(format!(
                "the server goes on; `quell notice show {id} {}` says how it stands",
                notice.notice
            ));
        }
    }
    Ok(if failed { exit::REMOTE } else { exit::OK })
}
