//! Kinds of notices: each is a template, one of ours or one of the operator's. A new kind is a new file.

use crate::{App, AppError};

/// What a notice is drafted from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kind {
    /// The name of its file: `update`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// Whom it is for.
    pub audience: String,
    /// The clock that it meets once somebody has it.
    pub meets: Option<String>,
    /// It is the operator's own.
    pub own: bool,
    pub(super) template: String,
}

/// Ours, by the name of the file.
const BUILT_IN: [(&str, &str); 5] = [
    ("affected", include_str!("../../../../documents/notices/affected.md.j2")),
    ("management", include_str!("../../../../documents/notices/management.md.j2")),
    ("public", include_str!("../../../../documents/notices/public.md.j2")),
    ("service-owner", include_str!("../../../../documents/notices/service-owner.md.j2")),
    ("update", include_str!("../../../../documents/notices/update.md.j2")),
];

/// What the name of an operator's file ends with.
const ENDS: &str = ".md.j2";
/// Longest template, in bytes.
const TEMPLATE_MAX: u64 = 256 << 10;
/// Longest name of a kind: it stands in commands and paths.
const NAME_MAX: usize = 40;

/// Every kind, by name. A file of the operator takes the place of ours.
pub fn kinds(app: &App) -> Result<Vec<Kind>, AppError> {
    let mut all: Vec<Kind> =
        BUILT_IN.iter().map(|(kind, template)| read(kind, (*template).to_owned(), false)).collect();
    let Some(folder) = &app.inventory.policy.notices else { return Ok(all) };
    let folder = app.context.path(folder);
    for entry in std::fs::read_dir(&folder).map_err(|source| AppError::io(&folder, source))? {
        let path = entry.map_err(|source| AppError::io(&folder, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(ENDS));
        let Some(name) = name else { continue };
        if !is_name(name) {
            return Err(AppError::Usage(format!(
                "{}: the name of a kind of notice is 1 to {NAME_MAX} lower-case letters, digits and `-`",
                path.display()
            )));
        }
        let template =
            crate::files::read_text(&path, TEMPLATE_MAX).map_err(|source| AppError::io(&path, source))?;
        all.retain(|kind| kind.kind != name);
        all.push(read(name, template, true));
    }
    all.sort_by(|a, b| a.kind.cmp(&b.kind));
    Ok(all)
}

fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// One kind by its name.
pub fn kind(app: &App, name: &str) -> Result<Kind, AppError> {
    let all = kinds(app)?;
    let known = all.iter().map(|kind| kind.kind.as_str()).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|kind| kind.kind == name).cloned();
    found.ok_or_else(|| AppError::Usage(format!("there is no such kind of notice; known are {known}")))
}

/// A template begins with a comment that says what it is: `name:`, `for:`, `meets:`.
fn read(kind: &str, template: String, own: bool) -> Kind {
    let head = template.trim_start().strip_prefix("{#").and_then(|rest| rest.split_once("#}"));
    let head = head.map_or("", |(head, _)| head);
    let said = |key: &str| {
        let mut lines = head.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'));
        lines.next().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Kind {
        kind: kind.to_owned(),
        name: said("name").unwrap_or_else(|| kind.to_owned()),
        audience: said("for").unwrap_or_default(),
        meets: said("meets"),
        own,
        template,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_ours_says_what_it_is_and_one_of_them_is_the_update() {
        let all: Vec<Kind> =
            BUILT_IN.iter().map(|(kind, template)| read(kind, (*template).to_owned(), false)).collect();
        assert!(all.iter().all(|kind| kind.name != kind.kind && !kind.audience.is_empty()), "{all:?}");
        let meets: Vec<(&str, &str)> =
            all.iter().filter_map(|kind| Some((kind.kind.as_str(), kind.meets.as_deref()?))).collect();
        assert_eq!(meets, [("update", "next-update")]);
    }

    #[test]
    fn a_name_is_no_path() {
        for bad in ["", "../x", "a b", "A", "a.b", "a/b", &"x".repeat(41)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_name("to-the-board"));
    }
}
