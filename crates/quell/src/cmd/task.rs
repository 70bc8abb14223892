//! `quell incident task …`.

use quell_app::AppError;
use quell_app::clock::now;
use quell_app::incident::Change;
use quell_core::incident::TaskEnd;
use quell_core::incident::task::Task;

use super::incident::carry_out;
use super::incident_id;
use crate::cli::{TaskArg, TaskCommand};
use crate::desk::Seat;
use crate::exit;
use crate::output::Out;

pub(super) async fn run(seat: &Seat, command: TaskCommand, out: &Out) -> Result<u8, AppError> {
    let (id, change) = match command {
        TaskCommand::List { id, mine } => return list(seat, &id, mine, out).await,
        TaskCommand::Add { id, title, owner, due } => (id, Change::Task(title, owner, due)),
        // Whoever asks; a server knows them by their token.
        TaskCommand::Give { task: TaskArg { id, task }, owner } => {
            (id, Change::TaskGiven(task, owner.unwrap_or_default()))
        }
        TaskCommand::Done { task: TaskArg { id, task }, reason } => {
            (id, Change::TaskEnded(task, TaskEnd::Done, reason))
        }
        TaskCommand::Drop { task: TaskArg { id, task }, reason } => {
            (id, Change::TaskEnded(task, TaskEnd::Dropped, reason))
        }
    };
    carry_out(seat, &id, &change, out).await
}

async fn list(seat: &Seat, id: &str, mine: bool, out: &Out) -> Result<u8, AppError> {
    let id = incident_id(id)?;
    let known = seat.desk().await?.tasks(id, mine).await?;
    if out.json() {
        out.object(&known)?;
    } else if known.tasks.is_empty() && mine {
        out.status("no task of yours");
    } else if known.tasks.is_empty() {
        out.status(format!("no task; `quell incident task add {id} TITLE` adds one"));
    } else {
        let at = now();
        let row = |it: &Task| {
            let owner = it.owner.clone().unwrap_or_else(|| "nobody yet".to_owned());
            let due = it.due.map(|due| format!("{due:.0}")).unwrap_or_default();
            let came = it.ended.as_ref().map(|ended| ended.reason.clone()).unwrap_or_default();
            vec![it.task.clone(), it.word(at).to_owned(), owner, due, it.title.clone(), came]
        };
        let rows = known.tasks.iter().map(row).collect();
        out.table(&["task", "state", "owner", "due", "what", "what came of it"], rows)?;
    }
    Ok(exit::OK)
}

/// Who has it, in words.
pub(super) fn whose(task: &Task) -> String {
    match &task.owner {
        Some(owner) => format!("{} is {owner}'s", task.task),
        None => format!("{} is nobody's yet", task.task),
    }
}
