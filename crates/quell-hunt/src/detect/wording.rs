//! Parts of titles.

use std::collections::BTreeSet;

/// Longer names from a log are cut.
const LONGEST: usize = 80;
/// More are counted.
const SHOWN: usize = 3;

/// A name from a log, in backticks of which it has none itself.
pub(super) fn quoted(name: &str) -> String {
    let mut text: String = name.chars().take(LONGEST).map(plain).collect();
    if name.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}

/// No backtick ends the name early, and no character moves the cursor.
fn plain(c: char) -> char {
    match c {
        '`' => '\'',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// Different names, of which three are shown.
pub(super) fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut seen = BTreeSet::new();
    let mut shown: Vec<String> = Vec::new();
    for name in names {
        if seen.insert(name.as_ref().to_owned()) && shown.len() < SHOWN {
            shown.push(quoted(name.as_ref()));
        }
    }
    let rest = seen.len() - shown.len();
    if rest > 0 {
        return format!("{} and {rest} more", shown.join(", "));
    }
    let last = shown.pop().unwrap_or_default();
    if shown.is_empty() { last } else { format!("{} and {last}", shown.join(", ")) }
}

/// `once`, `twice`, `3 times`.
pub(super) fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

/// `1 secret`, `2 secrets`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix("ry")) {
        (1, _) => format!("1 {noun}"),
        (_, Some(start)) => format!("{count} {start}ries"),
        (_, None) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_short() {
        assert_eq!(listed(["b", "a", "b"]), "`b` and `a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(listed(["a", "b", "c", "d", "e"]), "`a`, `b`, `c` and 2 more");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(Vec::<&str>::new()), "");
        assert_eq!(quoted("a`b\n"), "`a'b\u{fffd}`");
        assert_eq!(quoted(&"ä".repeat(200)).chars().count(), 83);
    }
}
