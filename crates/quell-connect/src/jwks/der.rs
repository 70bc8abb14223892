//! As much DER as an RSA key needs (RFC 8017, A.1; X.690, 8.1 and 8.3).

use zeroize::Zeroizing;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The first element, if it has this tag: its content, and what follows it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if length.is_empty() || length.len() > 4 {
            return None;
        }
        (length.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// A sequence of nothing but integers, each without leading zeros.
pub(super) fn integers(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut rest, _) = element(SEQUENCE, bytes)?;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (number, after) = element(INTEGER, rest)?;
        all.push(without_zeros(number));
        rest = after;
    }
    Some(all)
}

/// The key inside of PKCS#8 (RFC 5208, 5): a version, an algorithm, and octets.
pub(super) fn inside_pkcs8(bytes: &[u8]) -> Option<&[u8]> {
    let (content, _) = element(SEQUENCE, bytes)?;
    let (_, rest) = element(INTEGER, content)?;
    let (_, rest) = element(SEQUENCE, rest)?;
    Some(element(OCTETS, rest)?.0)
}

/// Such a sequence, written.
pub(super) fn sequence(numbers: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut content = Zeroizing::new(Vec::new());
    for number in numbers {
        let number = without_zeros(number);
        // A number that begins with a one bit would be read as negative.
        let sign: &[u8] = if number.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
        content.push(INTEGER);
        content.extend(length(sign.len() + number.len()));
        content.extend_from_slice(sign);
        content.extend_from_slice(number);
    }
    wrapped(SEQUENCE, &content)
}

/// One element.
pub(super) fn wrapped(tag: u8, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut all = Zeroizing::new(vec![tag]);
    all.extend(length(content.len()));
    all.extend_from_slice(content);
    all
}

fn length(length: usize) -> Vec<u8> {
    let bytes = length.to_be_bytes();
    let short = without_zeros(&bytes);
    match (short, length) {
        (&[], _) => vec![0],
        (&[only], 0..0x80) => vec![only],
        (several, _) => {
            let mut all = vec![0x80 | u8::try_from(several.len()).unwrap_or(0x7f)];
            all.extend_from_slice(several);
            all
        }
    }
}

pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let long = [0xab_u8; 300];
        let written = sequence(&[&[], &[0x7f], &[0, 0x80], &long]);
        assert_eq!(integers(&written).unwrap(), [&[][..], &[0x7f], &[0x80], &long]);
        assert_eq!(written.get(..4).unwrap(), [0x30, 0x82, 0x01, 0x3b]);
        for odd in [&[][..], &[0x30], &[0x30, 0x05, 2, 1], &[0x30, 0x80], &[0x30, 3, 4, 1, 0], &[2, 1, 1]] {
            assert_eq!(integers(odd), None, "{odd:?}");
        }
        assert_eq!(inside_pkcs8(&[0x30, 0x08, 2, 1, 0, 0x30, 0, 4, 1, 9]), Some(&[9][..]));
    }
}
