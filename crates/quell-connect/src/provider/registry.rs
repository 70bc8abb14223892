//! Which providers there are: those that come with the binary, and the user's own, which go before them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quell_core::inventory::Diagnostic;

use super::check;
use super::embedded::EMBEDDED;
use super::file::File;

/// A provider and where it comes from.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the file says.
    pub file: Arc<File>,
    /// The user's file; `None` for one that comes with the binary.
    pub path: Option<PathBuf>,
}

/// Every provider, the user's own first. `places` are files, or folders with `*.yaml` in them.
pub fn all(places: &[PathBuf]) -> Result<Vec<Known>, Vec<Diagnostic>> {
    let mut found: Vec<Known> = Vec::new();
    let mut complaints = Vec::new();
    for path in files(places)? {
        match load(&path) {
            Ok(file) => {
                let twin = found.iter().find(|known| known.file.id == file.id);
                if let Some(path_of_twin) = twin.and_then(|twin| twin.path.as_ref()) {
                    let words = format!("`{}` is also in {}", file.id, path_of_twin.display());
                    complaints.push(complaint(&path, words, "ids are unique among your own files"));
                }
                found.push(Known { file: Arc::new(file), path: Some(path) });
            }
            Err(more) => complaints.extend(more),
        }
    }
    if !complaints.is_empty() {
        return Err(complaints);
    }
    for (name, text) in EMBEDDED {
        let file = check::read(name, text)?;
        if !found.iter().any(|known| known.file.id == file.id) {
            found.push(Known { file: Arc::new(file), path: None });
        }
    }
    Ok(found)
}

/// The user's file with this id, else the one that comes with the binary.
pub fn find(places: &[PathBuf], id: &str) -> Result<Option<Known>, Vec<Diagnostic>> {
    Ok(all(places)?.into_iter().find(|known| known.file.id == id))
}

/// The providers of a kind of finding, the user's own first.
pub fn of_kind(places: &[PathBuf], kind: &str) -> Result<Vec<Known>, Vec<Diagnostic>> {
    let mut all = all(places)?;
    all.retain(|known| known.file.kinds.iter().any(|own| own == kind));
    Ok(all)
}

/// Reads one file of a user's.
pub fn load(path: &Path) -> Result<File, Vec<Diagnostic>> {
    let failed =
        |error: &std::io::Error| vec![complaint(path, error.to_string(), "name a readable YAML file")];
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if !size.is_file() || size.len() > check::FILE_MAX as u64 {
        let hint = "one file describes one kind of key";
        return Err(vec![complaint(path, "it is no regular file, or too large".to_owned(), hint)]);
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    check::read(&path.display().to_string(), &text)
}

/// Every file that is named, or lies in a folder that is named, in order of name.
fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let mut files = Vec::new();
    for place in places {
        if !place.is_dir() {
            files.push(place.clone());
            continue;
        }
        let failed = |error: std::io::Error| {
            vec![complaint(place, error.to_string(), "name a folder with provider files")]
        };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(place).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
                inside.push(path);
            }
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn complaint(path: &Path, message: String, hint: &str) -> Diagnostic {
    Diagnostic {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        key: String::new(),
        message,
        hint: hint.to_owned(),
    }
}
