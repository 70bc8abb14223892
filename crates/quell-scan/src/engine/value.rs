//! Whether a value that is assigned to a secret's name is one: by its form, not by one threshold.

use super::letters::{randomness, separator};
use super::lexicon::Lexicon;
use super::name::Class;
use super::placeholder::{placeholder, worded};
use crate::rule::contains;

/// How a value is written where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    /// In quotes, or between tags.
    Quoted,
    /// Bare, as in `.env` and YAML files: nothing around the sign of assignment, or a colon and a blank.
    Bare,
    /// Bare with blanks around the sign: code, more often than not.
    Spaced,
}

/// Half bits of [`randomness`] from which a value is called random.
const RANDOM: i32 = 10;

/// Half bits from which it needs no name that promises much.
pub(super) const VERY_RANDOM: i32 = 24;

/// The same for a value that some `key` names.
const KEYLIKE: i32 = 18;

/// The randomness of a value that may be a secret, `None` for one that is none.
pub(super) fn judge(value: &[u8], class: Class, written: Written) -> Option<i32> {
    if placeholder(value) || regular(value) || reference(value) || code(value, written) || hashed(value) {
        return None;
    }
    let score = randomness(value);
    if uuid(value) {
        return (class != Class::Key).then_some(VERY_RANDOM - 1);
    }
    let secret = match class {
        Class::Password => password(value, score, written),
        Class::Token => token(value, score, written),
        Class::Key => value.len() >= 16 && score >= KEYLIKE && mixed(value),
    };
    secret.then_some(score)
}

/// A generated value: long enough, and unlike words.
fn token(value: &[u8], score: i32, written: Written) -> bool {
    let least = if value.len() < 16 { 4 } else { RANDOM };
    let bar = if written == Written::Spaced { RANDOM + 4 } else { least };
    let digits = value.iter().any(u8::is_ascii_digit);
    let bar = if digits || !letters_only(value) { bar } else { bar + RANDOM };
    value.len() >= 8
        && value.iter().any(u8::is_ascii_alphabetic)
        && score >= bar
        && (score >= VERY_RANDOM || !worded(value))
}

/// Something that a person may have made up: letters and digits or signs, but no name and no phrase of words.
fn password(value: &[u8], score: i32, written: Written) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    // Without a digit only much randomness tells a password from a word of some language.
    let bar = if digits > 0 { RANDOM } else { VERY_RANDOM };
    if score >= bar && value.len() >= 8 && (score >= VERY_RANDOM || !worded(value)) {
        return true;
    }
    let letters = value.iter().any(u8::is_ascii_alphabetic);
    let signs = value.iter().any(|byte| b"!@#$%^&*".contains(byte));
    if value.len() < 6
        || (digits == 0 && !signs)
        || (!letters && !signs && (digits < 6 || written != Written::Quoted))
    {
        return false;
    }
    let name_like = worded(value) && !signs && (digits < 3 || value.iter().any(|byte| separator(*byte)));
    let name_like =
        name_like || (value.iter().any(|byte| separator(*byte)) && !signs && score < 0 && digits < 2);
    let sentence = !letters_and_digits(value) && contains(value, b" ");
    let variable =
        written == Written::Spaced && !signs && score < RANDOM && (digits < 2 || contains(value, b"_"));
    !name_like && !sentence && !variable && distinct(value) >= 4
}

/// Letters of one case and nothing else are words of some language, unless they are many.
fn letters_only(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_alphabetic)
}

fn letters_and_digits(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_alphanumeric)
}

/// Letters and digits, or both cases.
fn mixed(value: &[u8]) -> bool {
    let any = |class: fn(&u8) -> bool| value.iter().any(class);
    let lower = any(u8::is_ascii_lowercase);
    let upper = any(u8::is_ascii_uppercase);
    any(u8::is_ascii_digit) && (lower || upper)
}

fn distinct(value: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in value {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

/// Runs, sequences and repetitions: `aaaa1111`, `abcdefghij`, `abc1abc1abc1`.
fn regular(value: &[u8]) -> bool {
    let length = value.len();
    let steps = value.windows(2).filter(|pair| matches!(pair, [a, b] if a.abs_diff(*b) <= 1)).count();
    let few = if length >= 24 {
        8
    } else if length >= 12 {
        5
    } else {
        3
    };
    let periodic = (1..=length / 2).any(|period| {
        period <= 16 && value.iter().zip(value.iter().skip(period)).all(|(first, second)| first == second)
    });
    (length >= 6 && steps * 5 > length * 3) || distinct(value) < few.min(length) || (length >= 12 && periodic)
}

/// Paths, URLs, addresses, dates and versions: they only say where or when.
fn reference(value: &[u8]) -> bool {
    let starts = |prefix: &[u8]| value.starts_with(prefix);
    let numeric = value.iter().all(|byte| byte.is_ascii_digit() || b".-:/T Z+".contains(byte));
    let mail = value.iter().position(|byte| *byte == b'@').is_some_and(|at| {
        let (user, host) = (value.get(..at).unwrap_or_default(), value.get(at + 1..).unwrap_or_default());
        !user.is_empty()
            && !contains(user, b":")
            && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte))
            && host
                .iter()
                .rposition(|byte| *byte == b'.')
                .is_some_and(|dot| (2..=7).contains(&(host.len() - dot)))
    });
    let ending =
        value.iter().rposition(|byte| *byte == b'.').and_then(|dot| value.get(dot + 1..)).is_some_and(
            |ending| {
                std::str::from_utf8(ending).is_ok_and(|ending| ENDINGS.has(&ending.to_ascii_lowercase()))
            },
        );
    [b"./".as_slice(), b"../", b"~/", b"C:\\", b"c:\\", b"file:", b"classpath:", b"urn:", b"data:", b"cn="]
        .iter()
        .any(|prefix| starts(prefix))
        || (starts(b"/") && randomness(value) < VERY_RANDOM)
        || contains(value, b"://")
        || mail
        || ending
        || (numeric && value.iter().any(|byte| b".-:/".contains(byte)))
}

static ENDINGS: Lexicon = Lexicon::new(
    "pem key crt cer p12 pfx jks json yml yaml txt php js ts py rb go java html xml com org net io local \
    internal conf cfg ini env svg png css md sh toml properties keystore gpg asc pub value password \
    token secret id name",
);

/// Text of a program or a schema.
fn code(value: &[u8], written: Written) -> bool {
    let any = |signs: &[u8]| value.iter().any(|byte| signs.contains(byte));
    let access = [
        b"()".as_slice(),
        b"->",
        b"::",
        b"=>",
        b"&&",
        b"||",
        b"==",
        b"!=",
        b"\\n",
        b"\\d",
        b"\\w",
        b"\\s",
        b".*",
        b"</",
        b"/>",
        b"\\u00",
        b"().",
    ]
    .iter()
    .any(|mark| contains(value, mark));
    let dotted = value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte))
        && value.contains(&b'.')
        && randomness(value) < VERY_RANDOM;
    let bare = written != Written::Quoted;
    let unprintable = value.iter().any(|byte| !byte.is_ascii_graphic());
    (access && randomness(value) < VERY_RANDOM * 2)
        || (dotted && (bare || randomness(value) < 4))
        || unprintable
        || (bare && any(b"()[]{}<>"))
}

/// Hashes of passwords, signatures and digests with their algorithm in front: a risk of another kind.
fn hashed(value: &[u8]) -> bool {
    let modular = value.first() == Some(&b'$') && value.split(|byte| *byte == b'$').count() >= 4;
    let lower = value.get(..value.len().min(16)).unwrap_or_default().to_ascii_lowercase();
    modular
        || [
            b"sha1".as_slice(),
            b"sha256",
            b"sha384",
            b"sha512",
            b"md5",
            b"scram-sha",
            b"{bcrypt",
            b"{ssha",
            b"{sha",
            b"{md5",
            b"{crypt",
            b"pbkdf2",
            b"bcrypt",
            b"argon2",
            b"scrypt",
        ]
        .iter()
        .any(|prefix| lower.starts_with(prefix))
        || [b"ssh-rsa".as_slice(), b"ssh-ed25519", b"ecdsa-", b"-----begin", b"aaaab3nza"]
            .iter()
            .any(|prefix| lower.starts_with(prefix))
}

/// A UUID (RFC 9562, section 4) that is not made up of few digits.
fn uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| {
            if matches!(at, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() }
        })
        && distinct(value) >= 9
}
