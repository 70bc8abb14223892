//! `quell incident post-mortem` as words.

use std::path::PathBuf;

use clap::Args;

/// Read or write what only people can say: the sections of the post-mortem
///
/// Sections: summary, impact, detection, root-cause, contributing-causes, went-well, went-badly, lucky, lessons, validation.
/// Each is written for itself, before or after closing, and the newest text stands; `quell report` puts them beside the facts.
/// An empty text takes a section back. A value is refused. Examples:
///
///   quell incident post-mortem INC-2026-0001
///   quell incident post-mortem INC-2026-0001 --section root-cause > cause.txt
///   quell incident post-mortem INC-2026-0001 --section root-cause --file cause.txt
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct PostMortemArgs {
    /// Which incident
    pub(crate) id: String,
    /// Only this section
    #[arg(long, value_name = "SECTION")]
    pub(crate) section: Option<String>,
    /// Write the section: a file with its text, at most 20,000 bytes, or `-` for standard input
    #[arg(long, value_name = "FILE", requires = "section")]
    pub(crate) file: Option<PathBuf>,
}
