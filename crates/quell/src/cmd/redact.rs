//! `quell redact`.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write as _};
use std::os::fd::AsFd as _;

use quell_app::{AppError, Options, scan};
use quell_core::secret::FingerprintKey;
use quell_scan::Redactor;
use quell_scan::known::Known;

use super::app;
use crate::cli_gate::RedactArgs;
use crate::exit;
use crate::output::Out;

/// Output is written in pieces of this size, in bytes, or when the input pauses.
const PIECE: usize = 256 << 10;

/// With the values of the inventory.
pub(super) async fn with_known(options: &Options, args: &RedactArgs, out: &Out) -> Result<u8, AppError> {
    let app = app(options).await?;
    let values = scan::values(&app).await?;
    let mut whole = true;
    let mut lacks = |words: String| {
        whole = false;
        out.warning(words);
    };
    for missed in &values.missed {
        lacks(format!("{}: {}; only its earlier values are looked for", missed.what, missed.why));
    }
    for refused in values.known.refused() {
        lacks(format!("{} is not looked for: {}", refused.secret, refused.why));
    }
    for secret in values.known.of_several_lines() {
        lacks(format!("{secret} has a value of several lines, which is not looked for in a log"));
    }
    let code = filter(args, Some((&values.known, &app.store.keys().fingerprint)), out)?;
    Ok(if args.strict && !whole { exit::INCOMPLETE } else { code })
}

/// With what the rules describe.
pub(super) fn redact(args: &RedactArgs, out: &Out) -> Result<u8, AppError> {
    filter(args, None, out)
}

fn filter(args: &RedactArgs, known: Option<(&Known, &FingerprintKey)>, out: &Out) -> Result<u8, AppError> {
    let rules = scan::rules(&args.rules)?;
    for warning in rules.warnings() {
        out.warning(warning);
    }
    let io = |path: &str| {
        let path = path.to_owned();
        move |source| AppError::Io { path, source }
    };
    // Not through the standard library's buffers: one of them flushes at every line.
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(io("standard input"))?;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().map_err(io("standard output"))?;
    let mut output = BufWriter::with_capacity(PIECE, File::from(stdout));
    let mut redactor = Redactor::new(&rules).strict(args.strict);
    if let Some((known, key)) = known {
        redactor = redactor.known(known, key);
    }
    let done = redactor.filter(&mut File::from(stdin), &mut output);
    let sum = match done.and_then(|sum| output.flush().map(|()| sum)) {
        Ok(sum) => sum,
        // Nobody reads on (`| head`).
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            // What is left in the buffer has no reader either; its second error would say nothing new.
            drop(output.into_parts());
            return Ok(exit::OK);
        }
        Err(error) => {
            drop(output.into_parts());
            return Err(io("standard input or output")(error));
        }
    };
    if !args.quiet {
        out.status(format!("{} secrets redacted, {} pieces withheld", sum.secrets, sum.withheld));
    }
    Ok(if args.strict && sum.withheld > 0 { exit::INCOMPLETE } else { exit::OK })
}
