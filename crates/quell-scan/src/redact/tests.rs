use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::rule::template::expand;

fn text(template: &str, seed: u64) -> String {
    expand(template, seed).unwrap()
}

/// Gives its bytes in pieces of a given size.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.max(1).min(self.0.len()).min(buffer.len());
        let (now, later) = self.0.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.0 = later;
        Ok(length)
    }
}

static RULES: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::builtin().unwrap());

fn filtered(input: &[u8], piece: usize, strict: bool) -> (String, Redacted) {
    let mut output = Vec::new();
    let sum = Redactor::new(&RULES).strict(strict).filter(&mut Pieces(input, piece), &mut output).unwrap();
    assert_eq!(sum.bytes, u64::try_from(input.len()).unwrap());
    (String::from_utf8_lossy(&output).into_owned(), sum)
}

fn redacted(input: &str) -> String {
    filtered(input.as_bytes(), usize::MAX, false).0
}

#[test]
fn secrets_are_replaced_and_the_rest_stays() {
    let token = text("npm_{alnum:36}", 1);
    let password = text("{alnum:20}", 2);
    let input = format!("a line\r\nusing {token} now\nconnect postgres://app:{password}@db:5432/x ok\nlast");
    let said = redacted(&input);
    assert!(!said.contains(&token) && !said.contains(&password), "{said}");
    assert!(
        said.starts_with("a line\r\nusing [REDACTED:npm-token] now\nconnect postgres://app:[REDACTED:"),
        "{said}"
    );
    assert!(said.ends_with("]@db:5432/x ok\nlast"), "{said}");
}

#[test]
fn encoded_secrets_are_replaced_too() {
    let token = text("npm_{alnum:36}", 1);
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("using {token} now"));
    let hex = hex::encode(&token);
    let said =
        redacted(&format!("header {base64} sent\n\ndump {hex}.\nimage 0123456789abcdef0123456789abcdef\n"));
    assert_eq!(
        said,
        "header [REDACTED:npm-token] sent\n\ndump [REDACTED:npm-token].\nimage 0123456789abcdef0123456789abcdef\n"
    );
}

#[test]
fn secrets_between_json_escapes_are_replaced_alone() {
    let password = text("{alnum:20}", 2);
    let token = text("npm_{alnum:36}", 1);
    let input = format!(
        "{{\"url\":\"postgres:\\/\\/app:{password}@db\\/orders\",\"n\":1}}\n\
         {{\"url\": \"postgres://app:{password}\\u0026x\\u003d1@db/orders?a\\u003db\\u0026c\"}}\n\
         {{\"a\":\"https:\\/\\/x.example\\/{token}\\/y\"}}\n"
    );
    for piece in [1, 13, 10_000] {
        let (said, sum) = filtered(input.as_bytes(), piece, false);
        assert_eq!(
            said,
            "{\"url\":\"postgres:\\/\\/app:[REDACTED:postgres-url]@db\\/orders\",\"n\":1}\n\
             {\"url\": \"postgres://app:[REDACTED:postgres-url]@db/orders?a\\u003db\\u0026c\"}\n\
             {\"a\":\"https:\\/\\/x.example\\/[REDACTED:npm-token]\\/y\"}\n"
        );
        assert_eq!((sum.secrets, sum.withheld), (3, 0));
    }
}

/// UTF-16 in both orders of bytes, with and without a mark.
fn wide_texts(text: &str) -> Vec<Vec<u8>> {
    let low = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let high = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = format!("\u{feff}{text}");
    vec![low(text), high(text), low(&marked), high(&marked)]
}

#[test]
fn secrets_in_utf_16_are_replaced_and_the_rest_stays() {
    let token = text("npm_{alnum:36}", 1);
    let password = text("{alnum:20}", 2);
    let key = text(
        "-----BEGIN EC PRIVATE KEY-----\r\n{base64:64}\r\n{base64:20}==\r\n-----END EC PRIVATE KEY-----\r\n",
        3,
    );
    let hex = hex::encode(&token);
    let line = |password: &str, token: &str, hex: &str, key: &str| {
        format!(
            "a line, äöü, 中文Ċ😀\r\nusing {token}中文 now\r\n中文{token}\nconnect postgres://app:{password}@db:5432/x ok\n\
             machine api.example.com login app\n  password {password}4\nhex {hex}\n{key}\r\nlast {token}"
        )
    };
    let input = line(&password, &token, &hex, &key);
    // One by one, since a rule's name is not what is asked here.
    let gone = "[REDACTED:npm-token]";
    for (wide, plain) in
        wide_texts(&input).into_iter().zip(wide_texts(&line("P", gone, gone, "[REDACTED:private-key]\r\n")))
    {
        for piece in [1, 2, 3, 7, 100, 101, 100_000] {
            let mut output = Vec::new();
            let sum = Redactor::new(&RULES).filter(&mut Pieces(&wide, piece), &mut output).unwrap();
            assert_eq!((sum.secrets, sum.withheld), (7, 0), "pieces of {piece}");
            let said = narrow(&output, &wide);
            assert!(!said.contains(&token) && !said.contains(&password) && !said.contains(&hex), "{said}");
            let said =
                said.replace("[REDACTED:postgres-url]", "P").replace("[REDACTED:netrc-password]", "P4");
            assert_eq!(said, narrow(&plain, &wide), "pieces of {piece}");
        }
    }
}

/// UTF-16 as it says, or as another text does.
fn narrow(bytes: &[u8], like: &[u8]) -> String {
    let high = like.starts_with(b"\0") || like.starts_with(b"\xfe\xff");
    let (units, rest) = bytes.as_chunks::<2>();
    assert!(rest.is_empty());
    let units: Vec<u16> = units
        .iter()
        .map(|unit| if high { u16::from_be_bytes(*unit) } else { u16::from_le_bytes(*unit) })
        .collect();
    String::from_utf16(&units).unwrap()
}

#[test]
fn utf_16_and_other_text_may_follow_each_other() {
    let token = text("npm_{alnum:36}", 1);
    for wide in wide_texts(&format!("key {token}\n")) {
        let input = [b"one line\n", wide.as_slice(), format!("using {token}\n").as_bytes()].concat();
        for piece in [1, 2, 5, 1000] {
            let mut output = Vec::new();
            let sum = Redactor::new(&RULES).filter(&mut Pieces(&input, piece), &mut output).unwrap();
            assert_eq!(sum.secrets, 2);
            let said: String = output
                .iter()
                .filter(|byte| byte.is_ascii() && **byte != 0)
                .map(|byte| char::from(*byte))
                .collect();
            assert_eq!(said, "one line\nkey [REDACTED:npm-token]\nusing [REDACTED:npm-token]\n");
        }
    }
}

#[test]
fn utf_16_that_cannot_be_decided_is_withheld() {
    let key = text("{base64:64}\r\n", 4).repeat(1500);
    let key = format!("before\n-----BEGIN RSA PRIVATE KEY-----\r\n{key}then text again\n");
    let long = format!("before\n{}\nthen text again\n", "x".repeat(1 << 20));
    for (input, said) in [
        (key, "before\n[WITHHELD:a private key without an end]then text again\n"),
        (long, "before\n[WITHHELD:a line of more than 1 MiB]\nthen text again\n"),
    ] {
        for wide in wide_texts(&input) {
            for piece in [999, 1_000_000] {
                let mut output = Vec::new();
                let sum = Redactor::new(&RULES).filter(&mut Pieces(&wide, piece), &mut output).unwrap();
                assert_eq!(narrow(&output, &wide).trim_start_matches('\u{feff}'), said, "{piece}");
                assert_eq!((sum.secrets, sum.withheld), (0, 1));
            }
        }
    }
    let token = text("npm_{alnum:36}", 1);
    let [low, ..] = wide_texts(&format!("using {token} now")).try_into().unwrap_or([const { Vec::new() }; 4]);
    let (said, sum) = filtered(&low, 3, true);
    assert_eq!(
        (said.as_str(), sum.secrets),
        ("[WITHHELD:a line that is no text]", 0),
        "strict takes the line"
    );
}

#[test]
fn known_values_go_from_utf_16() {
    use crate::known::{Known, KnownValue};
    use quell_core::secret::{FingerprintKey, SecretValue};
    let value = text("{lower:14}", 9);
    let key = FingerprintKey::new([5; 32]);
    let values =
        [KnownValue { secret: "orders-db".parse().unwrap(), value: SecretValue::from_text(value.clone()) }];
    let known = Known::new(&key, &values, std::collections::BTreeSet::new()).unwrap();
    for wide in wide_texts(&format!("a {value} b\n")) {
        let mut output = Vec::new();
        Redactor::new(&RULES).known(&known, &key).filter(&mut Pieces(&wide, 5), &mut output).unwrap();
        let said = narrow(&output, &wide);
        assert_eq!(said.trim_start_matches('\u{feff}'), "a [REDACTED:known-secret] b\n");
    }
}

#[test]
fn text_without_secrets_comes_out_byte_for_byte() {
    let input = b"plain \xff\xfe bytes\0\n\n\r\nno newline at the end";
    let mut output = Vec::new();
    let sum = Redactor::new(&RULES).filter(&mut input.as_slice(), &mut output).unwrap();
    assert_eq!((output.as_slice(), sum.secrets, sum.withheld), (input.as_slice(), 0, 0));
}

#[test]
fn a_key_over_many_lines_is_one_secret_however_it_arrives() {
    let key = text(
        "-----BEGIN EC PRIVATE KEY-----\n{base64:64}\n{base64:64}\n{base64:20}==\n-----END EC PRIVATE KEY-----\n",
        3,
    );
    let input = format!("before\n{key}after\n");
    for piece in [1, 7, 64, 100_000] {
        let (said, sum) = filtered(input.as_bytes(), piece, false);
        assert_eq!(said, "before\n[REDACTED:private-key]\nafter\n", "pieces of {piece}");
        assert_eq!(sum.secrets, 1);
    }
}

#[test]
fn a_key_that_does_not_end_is_withheld() {
    let lines = text("{base64:64}\n", 4).repeat(3000);
    for (input, after) in [
        (format!("before\n-----BEGIN RSA PRIVATE KEY-----\n{lines}then text again\n"), "then text again\n"),
        (format!("before\n-----BEGIN RSA PRIVATE KEY-----\n{}", lines.get(..200).unwrap()), ""),
    ] {
        for piece in [100, 1_000_000] {
            let (said, sum) = filtered(input.as_bytes(), piece, false);
            assert_eq!(said, format!("before\n[WITHHELD:a private key without an end]{after}"), "{piece}");
            assert_eq!((sum.secrets, sum.withheld), (0, 1));
        }
    }
}

#[test]
fn a_name_on_the_line_before_explains_a_value() {
    let password = text("{alnum:16}4", 5);
    let input = format!("machine api.example.com login app\n  password {password}\n");
    for piece in [1, 1000] {
        let (said, _) = filtered(input.as_bytes(), piece, false);
        assert!(!said.contains(&password), "{said}");
    }
}

#[test]
fn very_long_lines_pass_in_pieces_or_are_withheld() {
    let token = text("npm_{alnum:36}", 6);
    let words = "word ".repeat(300_000);
    let (said, sum) = filtered(format!("{words}{token} {words}\nnext\n").as_bytes(), 10_000, false);
    assert!(!said.contains(&token) && said.contains("[REDACTED:npm-token]") && said.ends_with("\nnext\n"));
    assert_eq!((sum.secrets, sum.withheld), (1, 0));
    let blank = "x".repeat(3 << 20);
    let (said, sum) = filtered(format!("{blank}{token}\nnext\n").as_bytes(), 10_000, false);
    assert_eq!((said.as_str(), sum.withheld), ("[WITHHELD:a line of more than 1 MiB]\nnext\n", 1));
    let (said, _) = filtered(format!("{words}{token} {words}\nnext\n").as_bytes(), 10_000, true);
    assert_eq!(said, "[WITHHELD:a line of more than 1 MiB]\nnext\n");
}

#[test]
fn strict_withholds_what_it_cannot_decide() {
    let unknown = text("{alnum:30}", 8);
    let input = format!("id {unknown} done\nA quiet line with CamelCaseWordsInIt_and_snake_case_ones\n");
    assert!(redacted(&input).contains(&unknown), "no rule knows it");
    let (said, sum) = filtered(input.as_bytes(), 50, true);
    assert_eq!(
        said,
        "id [WITHHELD:an unknown token] done\nA quiet line with CamelCaseWordsInIt_and_snake_case_ones\n"
    );
    assert_eq!((sum.secrets, sum.withheld), (0, 1));
    let (said, _) = filtered(b"one\n\xff\xfe\0\ntwo\n", 3, true);
    assert_eq!(said, "one\n[WITHHELD:a line that is no text]\ntwo\n");
}

#[test]
fn known_values_go_although_no_rule_knows_them() {
    use crate::known::{Known, KnownValue};
    use quell_core::secret::{FingerprintKey, SecretValue};
    let (now, before) = (text("{lower:14}", 9), text("{lower:15}", 10));
    let key = FingerprintKey::new([5; 32]);
    let value = |text: &str| SecretValue::from_text(text.to_owned());
    let secret = "orders-db".parse().unwrap();
    let values = [KnownValue { secret, value: value(&now) }];
    let known = Known::new(&key, &values, [key.fingerprint(&value(&before))].into()).unwrap();
    let input = format!("a {now} b\nhex {}\nold={before}\nrest\n", hex::encode(&now));
    assert_eq!(redacted(&input), input, "no rule knows them");
    for piece in [1, 9, 1000] {
        let mut output = Vec::new();
        let redactor = Redactor::new(&RULES).known(&known, &key);
        let sum = redactor.filter(&mut Pieces(input.as_bytes(), piece), &mut output).unwrap();
        let said = String::from_utf8(output).unwrap();
        let gone = "[REDACTED:known-secret]";
        assert_eq!(said, format!("a {gone} b\nhex {gone}\nold={gone}\nrest\n"), "pieces of {piece}");
        assert_eq!((sum.secrets, sum.withheld), (3, 0));
    }
    let lines = [KnownValue { secret: "key".parse().unwrap(), value: value("line one\nline two\n") }];
    let known = Known::new(&key, &lines, std::collections::BTreeSet::new()).unwrap();
    assert_eq!(known.of_several_lines().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same output whatever the pieces, and never a planted token.
    #[test]
    fn pieces_do_not_matter(
        before in r#"([a-z =:\n"]|\\/|\\u003d){0,80}"#, after in r#"([a-z =:\n"]|\\/|\\u003d){0,80}"#, seed in 0..1000_u64, piece in 1..90_usize,
    ) {
        let token = text("npm_{alnum:36}", seed);
        let input = format!("{before} {token} {after}");
        let whole = filtered(input.as_bytes(), usize::MAX, false);
        let parts = filtered(input.as_bytes(), piece, false);
        prop_assert_eq!(&whole, &parts);
        prop_assert!(!whole.0.contains(&token));
    }

    /// Zeros anywhere: what is no secret comes out byte for byte, and pieces do not matter.
    #[test]
    fn pieces_of_utf_16_do_not_matter(
        before in "[a-z =:\n\"\0中äĊ]{0,80}", after in "[a-z =:\n\"\0中äĊ]{0,80}", seed in 0..1000_u64, piece in 1..90_usize,
        skip in 0..3_usize,
    ) {
        let token = text("npm_{alnum:36}", seed);
        for wide in wide_texts(&format!("{before} {token} {after}")) {
            let input = &wide[skip.min(wide.len())..];
            let whole = filtered(input, usize::MAX, false);
            prop_assert_eq!(&whole, &filtered(input, piece, false));
            prop_assert!(!whole.0.replace('\0', "").contains(&token));
            let plain = wide_texts(&format!("{before} {after}"));
            for wide in plain {
                let mut output = Vec::new();
                Redactor::new(&RULES).filter(&mut Pieces(&wide, piece), &mut output).unwrap();
                prop_assert!(output == wide);
            }
        }
    }

    #[test]
    fn any_bytes_come_through(input in proptest::collection::vec(any::<u8>(), 0..600), piece in 1..90_usize, strict: bool) {
        filtered(&input, piece, strict);
    }
}
