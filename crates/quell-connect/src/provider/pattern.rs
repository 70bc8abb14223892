//! Values from patterns, so that no text in the repository looks like a live key: `ghp_{alnum:36}`.

/// Makes a value; the same pattern and seed give the same. Classes: `alnum`, `alpha`, `lower`, `upper`, `digit`, `hex`.
/// What is no placeholder stays as it is.
pub fn expand(pattern: &str, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((class, after)) = after.split_once('}') else {
            rest = after;
            continue;
        };
        let (class, count) = class.split_once(':').unwrap_or((class, "1"));
        let set = match class {
            "alpha" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "lower" => "abcdefghijklmnopqrstuvwxyz",
            "upper" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "digit" => "0123456789",
            "hex" => "0123456789abcdef",
            _ => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        };
        for _ in 0..count.parse::<usize>().unwrap_or(1).min(512) {
            // Marsaglia's xorshift64 (*Xorshift RNGs*, 2003). Not for secrets.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let len = u64::try_from(set.len()).unwrap_or(1).max(1);
            let at = usize::try_from((state >> 11).checked_rem(len).unwrap_or(0)).unwrap_or(0);
            out.extend(set.chars().nth(at));
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_gives_a_value_of_its_form_and_another_for_another_seed() {
        let value = expand("ghp_{alnum:36}-{digit:3}", 1);
        assert_eq!(value.len(), 4 + 36 + 4);
        assert!(value.starts_with("ghp_") && value.chars().rev().take(3).all(|c| c.is_ascii_digit()));
        assert_eq!(value, expand("ghp_{alnum:36}-{digit:3}", 1));
        assert_ne!(value, expand("ghp_{alnum:36}-{digit:3}", 2));
    }
}
