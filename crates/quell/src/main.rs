//! `quell`: takes a leaked secret from finding to proven inert, with evidence that a stranger can verify.

mod cli;
mod cli_gate;
mod cmd;
mod desk;
mod exit;
mod hide;
mod output;
mod prompt;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

fn main() -> ExitCode {
    let parsed = cli::Cli::command().try_get_matches().and_then(|found| {
        let words = cli::words(&found);
        let cli =
            cli::Cli::from_arg_matches(&found).map_err(|error| error.format(&mut cli::Cli::command()))?;
        Ok((cli, words))
    });
    let (cli, words) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return complain(&error),
    };
    let out = output::Out::new(cli.global.json);
    match cmd::run(cli, &words, &out) {
        Ok(code) => code,
        Err(error) => {
            let hidden = hide::Hidden::of(std::env::args_os().skip(1));
            out.error(&error, |text| hidden.in_error(text));
            exit::of(&error)
        }
    }
}

/// Help, the version, or what is wrong with the arguments, without what may be a value among them.
fn complain(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        let hidden = hide::Hidden::of(std::env::args_os().skip(1));
        let text = hidden.in_complaint(&error.render().ansi().to_string());
        // If stderr is gone there is nobody to tell.
        let _told = write!(anstream::stderr(), "{text}");
    } else {
        let _told = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}
