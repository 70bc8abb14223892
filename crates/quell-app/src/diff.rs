//! Two texts, line by line, as people review a change.

use std::fmt::Write as _;

/// Lines that stand unchanged around a change.
const AROUND: usize = 3;

/// More cells than these are not compared: then everything goes and everything comes.
const CELLS_MAX: usize = 4 << 20;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change<'a> {
    Both(&'a str),
    New(&'a str),
    Old(&'a str),
}

/// A unified diff; empty when the texts are the same.
pub(crate) fn unified(old_name: &str, new_name: &str, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let changes = compared(&a, &b);
    let mut out = format!("--- {old_name}\n+++ {new_name}\n");
    let is_change = |change: &Change<'_>| !matches!(change, Change::Both(_));
    let mut at = 0;
    while let Some(first) = changes.iter().skip(at).position(is_change).map(|n| n + at) {
        let start = first.saturating_sub(AROUND).max(at);
        // A hunk goes on while the next change is near.
        let mut end = first + 1;
        while let Some(next) = changes.iter().skip(end).take(2 * AROUND + 1).position(is_change) {
            end += next + 1;
        }
        let end = (end + AROUND).min(changes.len());
        hunk(&changes, start, end, &mut out);
        at = end;
    }
    out
}

fn hunk(changes: &[Change<'_>], start: usize, end: usize, out: &mut String) {
    let (mut before_old, mut before_new, mut len_old, mut len_new) = (0, 0, 0, 0);
    for (n, change) in changes.iter().take(end).enumerate() {
        let (old, new) = match change {
            Change::Both(_) => (1, 1),
            Change::New(_) => (0, 1),
            Change::Old(_) => (1, 0),
        };
        if n < start {
            before_old += old;
            before_new += new;
        } else {
            len_old += old;
            len_new += new;
        }
    }
    // A side without lines is counted from the line before it.
    let from = |before: usize, len: usize| if len == 0 { before } else { before + 1 };
    let (at_old, at_new) = (from(before_old, len_old), from(before_new, len_new));
    let _infallible = writeln!(out, "@@ -{at_old},{len_old} +{at_new},{len_new} @@");
    for change in changes.iter().take(end).skip(start) {
        let _infallible = match change {
            Change::Both(line) => writeln!(out, " {line}"),
            Change::New(line) => writeln!(out, "+{line}"),
            Change::Old(line) => writeln!(out, "-{line}"),
        };
    }
}

/// By the longest common subsequence.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Change<'a>> {
    let width = new.len() + 1;
    let cells = (old.len() + 1).saturating_mul(width);
    if cells > CELLS_MAX {
        let gone = old.iter().map(|line| Change::Old(line));
        return gone.chain(new.iter().map(|line| Change::New(line))).collect();
    }
    // The length of the longest common rest, from each pair of places on.
    let mut rest = vec![0_u32; cells];
    let get = |rest: &[u32], row: usize, column: usize| rest.get(row * width + column).copied().unwrap_or(0);
    for (row, left) in old.iter().enumerate().rev() {
        for (column, right) in new.iter().enumerate().rev() {
            let longest = if left == right {
                get(&rest, row + 1, column + 1) + 1
            } else {
                get(&rest, row + 1, column).max(get(&rest, row, column + 1))
            };
            if let Some(cell) = rest.get_mut(row * width + column) {
                *cell = longest;
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut changes = Vec::new();
    loop {
        match (old.get(row), new.get(column)) {
            (Some(left), Some(right)) if left == right => {
                changes.push(Change::Both(left));
                row += 1;
                column += 1;
            }
            (Some(left), right)
                if right.is_none() || get(&rest, row + 1, column) >= get(&rest, row, column + 1) =>
            {
                changes.push(Change::Old(left));
                row += 1;
            }
            (_, Some(right)) => {
                changes.push(Change::New(right));
                column += 1;
            }
            (_, None) => return changes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changed_and_three_lines_around() {
        let lines: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
        let old = lines.join("\n") + "\n";
        let new = old.replace("5\n6\n", "five\n").replace("19\n", "19\nmore\n");
        insta::assert_snapshot!(unified("a", "b", &old, &new), @"
        --- a
        +++ b
        @@ -2,8 +2,7 @@
         2
         3
         4
        -5
        -6
        +five
         7
         8
         9
        @@ -17,4 +16,5 @@
         17
         18
         19
        +more
         20
        ");
        assert_eq!(unified("a", "b", &old, &old), "");
        assert_eq!(unified("a", "b", "x\n", ""), "--- a\n+++ b\n@@ -1,1 +0,0 @@\n-x\n");
    }

    /// The patch program is the judge.
    #[test]
    fn what_it_shows_can_be_applied() {
        let folder = tempfile::tempdir().unwrap();
        let mut seed = 1_u32;
        for _ in 0..40 {
            let mut text = || {
                let mut lines = String::new();
                for _ in 0..30 {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    lines += ["a\n", "b\n", "c\n", "", "a\n"][usize::try_from(seed >> 29).unwrap() % 5];
                }
                lines
            };
            let (old, new) = (text(), text());
            let file = folder.path().join("f");
            std::fs::write(&file, &old).unwrap();
            std::fs::write(folder.path().join("d"), unified("f", "f", &old, &new)).unwrap();
            let git = std::process::Command::new("git")
                .args(["apply", "--unsafe-paths", "-p0", "--unidiff-zero", "d"])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
            assert_eq!(std::fs::read_to_string(&file).unwrap(), new);
        }
    }
}
