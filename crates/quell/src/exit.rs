//! Exit codes: part of the interface, documented in `docs/reference/exit-codes.md`.

use std::io::ErrorKind;
use std::process::ExitCode;

use quell_app::{AppError, StoreError};
use quell_scan::ScanError;

/// Done.
pub(crate) const OK: u8 = 0;
/// Something unexpected: a full disk, a damaged ledger, a bug.
pub(crate) const UNEXPECTED: u8 = 1;
/// The command's words or the inventory are wrong.
pub(crate) const USAGE: u8 = 2;
/// A rule says no: not proven, not approved by enough people, closed already.
pub(crate) const REFUSED: u8 = 3;
/// People must approve before it goes on.
pub(crate) const WAITING: u8 = 4;
/// An issuer, store or consumer did not do it; or a proof failed.
pub(crate) const REMOTE: u8 = 5;
/// Findings are present, or a verification found problems.
pub(crate) const FINDINGS: u8 = 10;
/// Nothing was found, but something was not read.
pub(crate) const INCOMPLETE: u8 = 11;
/// Stopped by Ctrl-C; the incident can be taken up again.
pub(crate) const INTERRUPTED: u8 = 130;

/// The code for an error.
pub(crate) fn of(error: &AppError) -> ExitCode {
    ExitCode::from(match error {
        AppError::Io { source, .. } | AppError::Store(StoreError::Io { source, .. })
            if source.kind() == ErrorKind::Interrupted =>
        {
            INTERRUPTED
        }
        AppError::Usage(_)
        | AppError::HoldsValue(_)
        | AppError::Inventory(_)
        | AppError::Provider(_)
        | AppError::Config { .. }
        | AppError::NotFound { .. }
        | AppError::Scan(ScanError::Rule(_) | ScanError::Revision { .. } | ScanError::NoRepository { .. })
        | AppError::Rule(_) => USAGE,
        AppError::Store(
            StoreError::InUse(_)
            | StoreError::Moved(_)
            | StoreError::NotEmpty(_)
            | StoreError::Newer { .. }
            | StoreError::Unfinished(_),
        )
        | AppError::Refused(_)
        | AppError::Step(_)
        | AppError::CannotPlan(_)
        | AppError::Moved { .. } => REFUSED,
        AppError::Server { status, .. } => match status {
            400 | 401 | 404 | 413 | 415 | 422 => USAGE,
            403 | 409 | 412 => REFUSED,
            502 => REMOTE,
            _ => UNEXPECTED,
        },
        AppError::Remote(_) => REMOTE,
        AppError::Store(_)
        | AppError::Entry(_)
        | AppError::Scan(_)
        | AppError::Io { .. }
        | AppError::Evidence(_) => UNEXPECTED,
    })
}
