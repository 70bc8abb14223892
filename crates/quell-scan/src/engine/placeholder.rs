//! Text that stands where a secret goes: variables, templates, and words for "put yours here".

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::lexicon::Lexicon;
use super::name::words;
use crate::rule::contains;

/// Words that people write where a password goes.
static TRIVIAL: Lexicon = Lexicon::new(
    "password passwd pass pwd secret token postgres root admin user username test mysql guest redis mongo \
    mypassword 123456 1234567 12345678 123456789 1234567890 none null true false undefined nil key value \
    string foobar foobarbaz default changeit abc123 foo123 bar123 test123 test1234 password1 password12 \
    password123 password1234 secret123 pass1234",
);

/// Parts of text that stand for a value, long enough that random text does not hold them.
const STAND_INS: &str = "changeme change-me change_me changethis change-this change_this example placeholder redacted your- \
    your_ yourpass yourtoken yoursecret yourkey yourapi insert- insert_ replace- replace_ replaceme xxxx \
    **** .... ____ ---- < not-a-real notreal not_real dummy goes-here goes_here gohere fixme lorem \
    supersecret super-secret super_secret topsecret top-secret invalid incorrect bogus removed censored \
    encrypted deadbeef 0123456789 1234567890 abcdefgh undefined secretkey secret-key secret_key \
    somesecret some-secret some_secret mysecret my-secret my_secret mytoken my-token my_token myapikey \
    my-api-key my_api_key no_log value_specified";

/// Words that stand for a value when they stand alone between signs, and the rest is no random text.
static WEAK_WORDS: Lexicon = Lexicon::new(
    "pwd pass auth login mysql test testing tests fake mock sample demo foo bar baz todo tbd enter here your my some secret \
    password passwd passphrase token key value string null none default temp local dev user username \
    credential credentials api abc hidden masked public wrong expired old new another other first second \
    name id insert replace change vault env config param data field type",
);

/// True for variables, templates, and words that stand for a value.
pub(super) fn placeholder(text: &[u8]) -> bool {
    static PARTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| finder(STAND_INS.split_whitespace()));
    template(text)
        || std::str::from_utf8(text).is_ok_and(|text| TRIVIAL.has(&text.to_ascii_lowercase()))
        || PARTS.as_ref().is_some_and(|parts| parts.is_match(text))
}

/// Finds any of these in any case. Each is far below the limits of the library, so it is there.
fn finder<'w>(words: impl IntoIterator<Item = &'w str>) -> Option<AhoCorasick> {
    AhoCorasick::builder().ascii_case_insensitive(true).build(words).ok()
}

/// True when some word of it says that it is no value, as in `my-test-token-1`.
pub(super) fn worded(text: &[u8]) -> bool {
    words(text)
        .split(' ')
        .any(|word| WEAK_WORDS.has(word.trim_end_matches(|sign: char| sign.is_ascii_digit())))
}

/// True for the variables and templates of shells, build tools and languages, for encrypted values, and for one
/// character over and over: nothing of it is a value, whoever wrote it.
pub(super) fn template(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let starts = |prefix: &str| lower.starts_with(prefix.as_bytes());
    let wrapped = |open: &str, close: &str| starts(open) && lower.ends_with(close.as_bytes());
    let one_byte = text.first().is_some_and(|first| text.iter().all(|byte| byte == first));
    static MARKS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        finder([
            "{{", "}}", "#{", "${", "$(", "<%", "%>", "@{", "{%", "%(", "{0}", "{1}", "{}", "$env:", "\\(",
            "[[", "]]",
        ])
    });
    variable(text)
        || one_byte
        || MARKS.as_ref().is_some_and(|marks| marks.is_match(text))
        || format_verb(text)
        || lower.ends_with(b"...")
        || wrapped("%", "%")
        || wrapped("{", "}")
        || wrapped("[", "]")
        || wrapped("<", ">")
        || wrapped("__", "__")
        || wrapped("@", "@")
        || wrapped("%(", ")s")
        || [
            "enc[",
            "enc(",
            "!vault",
            "$ansible_vault",
            "{cipher}",
            "vault:",
            "op://",
            "arn:aws",
            "secret(",
            "env(",
            "env.",
            "ref+",
            "ssm:",
            "awssm",
            "process.env",
            "os.environ",
            "secret[",
            "valuefrom",
            "sops:",
            "keyvault",
        ]
        .iter()
        .any(|prefix| starts(prefix))
}

/// `$NAME`, `$name`, `:name`, `@name`, `&name` alone.
fn variable(text: &[u8]) -> bool {
    let named = |name: &[u8]| {
        let plain = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let upper =
            name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
        !name.is_empty() && (upper || name.iter().all(plain))
    };
    match text.split_first() {
        Some((b'$', name)) => {
            let access = contains(name, b".") || contains(name, b"->");
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.->".contains(byte);
            named(name.strip_prefix(b"$").unwrap_or(name)) || (access && name.iter().all(plain))
        }
        Some((b':' | b'&' | b'@' | b'*', name)) => named(name),
        _ => false,
    }
}

/// Only a verb of `printf`, as in `%s` or `%08x`.
fn format_verb(text: &[u8]) -> bool {
    contains(text, b"%s")
        || (text.len() <= 5 && text.first() == Some(&b'%') && text.last().is_some_and(u8::is_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known() {
        for text in [
            "${DB}",
            "$DB_PASSWORD",
            "$password",
            "{{ x }}",
            "<secret>",
            "changeme",
            "xxxxxxxx",
            "********",
            "password",
            "%DB%",
            "%s",
            ":password",
            "ENC[AES256_GCM,data:abc]",
            "vault:v1:abc",
            "YOUR_API_KEY",
            "my-token-1",
        ] {
            assert!(placeholder(text.as_bytes()), "{text}");
        }
        for text in ["hunter2-hunter2", "$aLt3d", "p4ssw0rd!!", "Summer2024!", "qwerty123"] {
            assert!(!placeholder(text.as_bytes()), "{text}");
        }
    }
}
