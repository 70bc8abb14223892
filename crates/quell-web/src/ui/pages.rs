//! Long lists, a page at a time: whatever has happened, a page opens as quickly as any other.

/// Which part of a list is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pages {
    /// Lines before those that are shown.
    pub(crate) skip: usize,
    /// Number of the page before, if there is one.
    pub(crate) before: Option<usize>,
    /// Number of the page after, if there is one.
    pub(crate) after: Option<usize>,
}

impl Pages {
    /// The page that somebody asked for, of so many lines. What is no number is the first one, what is too large the last one.
    pub(crate) fn of(asked: &str, lines: usize, at_once: usize) -> Self {
        let last = lines.div_ceil(at_once).max(1);
        let number = asked.trim().parse::<usize>().unwrap_or(1).clamp(1, last);
        Self {
            skip: (number - 1) * at_once,
            before: (number > 1).then(|| number - 1),
            after: (number < last).then(|| number + 1),
        }
    }
}

/// What an address says about it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    pub(crate) page: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_on_one_page_and_no_page_is_beyond_the_end() {
        let said = |asked: &str, lines: usize| {
            let it = Pages::of(asked, lines, 100);
            (it.skip, it.before, it.after)
        };
        assert_eq!(said("", 0), (0, None, None));
        assert_eq!(said("1", 100), (0, None, None));
        assert_eq!(said("1", 101), (0, None, Some(2)));
        assert_eq!(said("2", 101), (100, Some(1), None));
        assert_eq!(said("99999999999999999999", 250), (0, None, Some(2)));
        assert_eq!(said("77", 250), (200, Some(2), None));
        assert_eq!(said("-1", 250), (0, None, Some(2)));
    }
}
