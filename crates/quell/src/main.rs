//! `quell`: takes a leaked secret from finding to proven inert, with evidence that a stranger can verify.

mod cli;
mod cli_gate;
mod cmd;
mod exit;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let out = output::Out::new(cli.global.json);
    match cmd::run(cli, &out) {
        Ok(code) => code,
        Err(error) => {
            out.error(&error);
            exit::of(&error)
        }
    }
}
