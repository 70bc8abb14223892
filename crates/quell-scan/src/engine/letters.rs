//! How likely letters follow each other in words: what tells `orders_password` from letters of a random generator.

/// By first and second letter: how much less likely the pair is in a word than among random letters, as one hex digit.
/// `7` is as likely; each step up is half a bit less likely, each step down half a bit more.
///
/// Counted over 2.9 million letter pairs of identifiers and prose in the sources of this project, ripgrep, cargo,
/// flask and ansible; each word once per file, the parts of `camelCase` names apart, with one added to every count.
const PAIRS: [&[u8; 26]; 26] = [
    b"e757fc7f7fb474f7f3539aee9f",
    b"4dac3fff59f1ef4ef77d3fff9f",
    b"4f9f4df47f56cf2ff6b37fefbf",
    b"5ef70fef2ff9dd4ffa6f6fffaf",
    b"7c5498bfcff784f8b336f9b6bf",
    b"4fef47bf1ff7df2ff5c86fff8f",
    b"7fcf1f963ff8b55af65d6fffdf",
    b"2fff1fff3ffedf3ffab6afffbf",
    b"9867888fffd57149f754f9fbfa",
    b"6fef0fff7fefff2fff3f4fffff",
    b"3ffb0b9f3ffcf6bbfc3d8f9fed",
    b"4ff72aff3ff4ff4bfe766cef6f",
    b"29fb1fff5ff86f43ff8d7fffdf",
    b"6f64483f6fbad95eff4389efaf",
    b"ba77cbbfacb75286f376587dff",
    b"3dfb3fec7fd4ff46f3856fff8f",
    b"bfaeeffffff7ddfffdef0fefff",
    b"5e991d7f4f9b884cf6667cef7f",
    b"8f9e2ef64facec66fc525ecfaf",
    b"4f9a2cf33ffadf6af5687fbd8f",
    b"97895c8f7ff474e6f343fffeff",
    b"2fdf0fbf3fffef8ffffffbffff",
    b"3ffa5ff32ffdf53ff57fff7fff",
    b"4f4e4efd4fffafe3fff1fffc9f",
    b"88af7eda5ff88543f833ff9fdd",
    b"5bbd0bdd5ffbbc8bfd9c9fffa8",
];

/// Half bits by which a text is less likely among words than among random characters: negative for names and prose,
/// clearly positive for generated values. It grows with the length.
pub(super) fn randomness(text: &[u8]) -> i32 {
    text.windows(2).map(|pair| if let [first, second] = *pair { step(first, second) } else { 0 }).sum()
}

/// One neighbour after another, in half bits. The weights other than those of letters are judged by hand: digits and
/// signs stand at the ends of words, seldom inside.
fn step(first: u8, second: u8) -> i32 {
    let sign = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_alphanumeric() && !separator(byte);
    if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() {
        let camel = first.is_ascii_lowercase() && second.is_ascii_uppercase();
        if camel {
            1
        } else {
            letters(first, second) + i32::from(first.is_ascii_lowercase() != second.is_ascii_lowercase())
        }
    } else if first.is_ascii_digit() && second.is_ascii_digit() {
        if first.abs_diff(second) <= 1 { -1 } else { 1 }
    } else if first.is_ascii_digit() && second.is_ascii_alphabetic() {
        3
    } else if first.is_ascii_alphabetic() && second.is_ascii_digit() {
        1
    } else if sign(first) || sign(second) {
        2
    } else {
        0
    }
}

fn letters(first: u8, second: u8) -> i32 {
    let place = |byte: u8| usize::from(byte.to_ascii_lowercase().saturating_sub(b'a'));
    let digit = PAIRS.get(place(first)).and_then(|row| row.get(place(second))).copied().unwrap_or(b'7');
    let level = char::from(digit).to_digit(16).and_then(|level| i32::try_from(level).ok()).unwrap_or(7);
    level - 7
}

/// Signs that stand between the words of names, paths and dates.
pub(super) fn separator(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b' ' | b',' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::template::expand;

    #[test]
    fn generated_text_scores_above_words() {
        for word in [
            "correct-horse-battery",
            "getUserPassword",
            "the quick brown fox",
            "DB_PASSWORD",
            "oauth2callback",
        ] {
            assert!(randomness(word.as_bytes()) < 0, "{word}: {}", randomness(word.as_bytes()));
        }
        for template in ["{lower:20}", "{alnum:16}", "{hex:32}", "{base64:40}", "{upper:20}", "{A-Z2-7:32}"] {
            let low = (0..50)
                .filter(|seed| randomness(expand(template, seed + 1).unwrap().as_bytes()) < 10)
                .count();
            assert!(low <= 2, "{template}: {low} of 50 look like words");
        }
    }
}
