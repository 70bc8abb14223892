//! Comments on a line that say: this is known and fine.

/// What the line of a secret says about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Allow {
    No,
    WithoutReason,
    Yes,
}

/// Fewer letters and digits than this are no reason.
const MIN_REASON: usize = 3;

pub(super) fn on_line(line: &[u8]) -> Allow {
    if let Some(rest) = after(line, b"quell:allow") {
        let reason = rest
            .iter()
            .take_while(|byte| **byte != b'\n')
            .filter(|byte| byte.is_ascii_alphanumeric())
            .count();
        return if reason >= MIN_REASON { Allow::Yes } else { Allow::WithoutReason };
    }
    if after(line, b"gitleaks:allow").is_some() { Allow::Yes } else { Allow::No }
}

fn after<'a>(line: &'a [u8], marker: &[u8]) -> Option<&'a [u8]> {
    let at = line.windows(marker.len()).position(|window| window == marker)?;
    line.get(at + marker.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_required() {
        assert_eq!(on_line(b"x = 1"), Allow::No);
        assert_eq!(on_line(b"x = 1 # quell:allow"), Allow::WithoutReason);
        assert_eq!(on_line(b"x = 1 /* quell:allow */"), Allow::WithoutReason);
        assert_eq!(on_line(b"x = 1 # quell:allow test fixture"), Allow::Yes);
        assert_eq!(on_line(b"x = 1 # gitleaks:allow"), Allow::Yes);
    }
}
