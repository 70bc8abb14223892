use proptest::prelude::*;

use super::*;
use crate::RuleSet;
use crate::engine::KeywordEngine;
use crate::rule::template::expand;

fn all(bytes: &[u8], within: Range<usize>) -> Vec<Run> {
    let mut found = Vec::new();
    runs(bytes, within, &mut |run| found.push(run));
    found
}

/// The decoded texts of an input.
fn texts(text: &str) -> Vec<(Encoding, String)> {
    let decoded = |run: Run| {
        let text = decode(&text.as_bytes()[run.range], run.encoding)?;
        Some((run.encoding, String::from_utf8(text).unwrap()))
    };
    all(text.as_bytes(), 0..text.len()).into_iter().filter_map(decoded).collect()
}

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4, the slow way: bit by bit.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let sextet = |bits: &[u8]| (0..6).fold(0, |value, at| value << 1 | bits.get(at).copied().unwrap_or(0));
    let mut text: String =
        bits.chunks(6).map(|bits| char::from(ALPHABET[usize::from(sextet(bits))])).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Every character as an escape.
fn to_json(text: &str) -> String {
    text.chars()
        .flat_map(|one| ["\\u".to_owned(), hex::encode(u16::try_from(one).unwrap().to_be_bytes())])
        .collect()
}

fn to_percent(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| ["%".to_owned(), hex::encode_upper([*byte])]).collect()
}

#[test]
fn the_three_encodings_are_decoded() {
    let plain = "user: me, word: äöü\n";
    let base64 = to_base64(plain.as_bytes());
    assert_eq!(texts(&format!("x: {base64}")), [(Encoding::Base64, plain.to_owned())]);
    let unpadded = base64.trim_end_matches('=').replace('+', "-").replace('/', "_");
    assert_eq!(texts(&format!("(\"{unpadded}\")")), [(Encoding::Base64, plain.to_owned())]);
    let hex = hex::encode(plain);
    for before in ["", "0x", "\\x", "key-"] {
        assert_eq!(texts(&format!("a = {before}{hex};")), [(Encoding::Hex, plain.to_owned())]);
    }
    assert_eq!(texts("a=%7B%22k%22%3A1"), [(Encoding::Percent, "a={\"k\":1".to_owned())]);
    assert_eq!(texts("my%20own%20name"), [], "two escapes are a name");
}

#[test]
fn escapes_of_json_are_undone() {
    let json = |text: &str| match texts(text).as_slice() {
        [(Encoding::Json, one)] => one.clone(),
        other => format!("{other:?}"),
    };
    for (written, read) in [
        (r"a\/b", "a/b"),
        (r"x a\u002fb y", "a/b"),
        (r#"{"k":"a\/b"}"#, r#"k":"a/b""#),
        (r#"{ "my.k-1": "a\/b" }"#, r#"my.k-1": "a/b""#),
        (r#"["a", "b\/c"]"#, r#" "b/c""#),
        (r#"{"k\/l":"m"}"#, "k/l"),
        (r"'k':'a\/b'", "a/b"),
        (r"a\/b\n\t\r\\c\b\d", "a/b\n\t\r\\c\\b\\d"),
        (r"\u00e4\u20AC\/\ud83d\u0000", r"ä€/\ud83d\u0000"),
        (r"a\\\/b\\u0026c\\\\\\\/d", "a/b&c/d"),
        (r#"{\"k\":\"a\\\/b\"}"#, "a/b\\"),
    ] {
        assert_eq!(json(written), read, "{written}");
    }
    for none in [r"C:\Users\me", r"a\nb", r"\u0430\u0431", r"\u00", r"\u00g0", "a/b", "\\", r#""\" /"#] {
        assert_eq!(texts(none), [], "{none}");
    }
    let long = format!("\"{}\": \"a\\/b\"", "n".repeat(200));
    assert!(json(&long).len() < 70, "of a long name the end");
}

#[test]
fn each_byte_of_decoded_json_comes_from_somewhere() {
    let run = br"a\u20acb\/\\\/c";
    assert_eq!(decode(run, Encoding::Json).unwrap(), "a€b//c".as_bytes());
    assert_eq!(json::origins(run), [0, 1, 1, 1, 7, 8, 10, 14, 15]);
}

#[test]
fn many_backslashes_take_no_longer_than_other_bytes() {
    let text = format!("{}/", "\\".repeat(MAX_RUN - 1));
    let start = all(text.as_bytes(), 0..text.len());
    assert_eq!(start.len(), 1);
    assert!(decode(text.as_bytes(), Encoding::Json).is_some());
}

#[test]
fn wide_text_in_base64_is_read() {
    let plain = "Connect-It -Now 'x'";
    let wide: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(texts(&to_base64(&wide)), [(Encoding::Base64, plain.to_owned())]);
}

#[test]
fn a_line_break_written_as_escape_is_no_part_of_a_run() {
    let base64 = to_base64(b"some text that is long enough");
    assert_eq!(texts(&format!("\"a\\n{base64}\\n\"")).len(), 1);
}

#[test]
fn names_hashes_keys_and_images_are_not_text() {
    let noise = expand(
        "aVeryLongIdentifierInCamelCase some/path/to/a/file/that/is_long {hex:40} {hex:64} {HEX:128} \
         {base64:400} {base64url:86} AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA 00000000000000000000000000000000",
        11,
    )
    .unwrap();
    assert!(all(noise.as_bytes(), 0..noise.len()).len() >= 8);
    assert_eq!(texts(&noise), []);
}

#[test]
fn longer_runs_than_the_limit_are_none() {
    for (length, expected) in [(MAX_RUN, 1), (MAX_RUN + 2, 0), (4 * MAX_RUN, 0)] {
        let text = format!(" {} ", "Qk".repeat(length / 2));
        assert_eq!(all(text.as_bytes(), 0..text.len()).len(), expected, "base64 of {length}");
        let text = format!(" {} ", "ab".repeat(length / 2));
        assert_eq!(all(text.as_bytes(), 0..text.len()).len(), expected, "hex of {length}");
        let text = format!(" %20%20%20{} ", ".".repeat(length - 9));
        assert_eq!(all(text.as_bytes(), 0..text.len()).len(), expected, "percent of {length}");
        let text = format!(" \\/{} ", ".".repeat(length - 2));
        assert_eq!(all(text.as_bytes(), 0..text.len()).len(), expected, "JSON of {length}");
    }
}

#[test]
fn the_parts_of_a_long_run_are_none_either() {
    let text = format!("{}%20", "%41%42%43".repeat(MAX_RUN / 2));
    for from in [0, 1, MAX_RUN, 3 * MAX_RUN, text.len() - 1] {
        assert_eq!(all(text.as_bytes(), from..text.len()), [], "from {from}");
    }
    let text = format!("\"k\":\"{}\"", "\\/a".repeat(MAX_RUN));
    for from in [0, 1, 5, MAX_RUN, 2 * MAX_RUN, text.len() - 1] {
        assert_eq!(all(text.as_bytes(), from..text.len()), [], "from {from}");
    }
    let text = "Q".repeat(5 * MAX_RUN);
    for from in [0, 1, MAX_RUN, 3 * MAX_RUN, text.len() - 1] {
        assert_eq!(all(text.as_bytes(), from..text.len()), [], "from {from}");
    }
}

#[test]
fn tokens_are_found_in_runs_and_not_twice() {
    let rules = RuleSet::builtin().unwrap();
    let engine = KeywordEngine::new(&rules);
    let token = expand("ghp_{alnum:36}", 21).unwrap();
    let found = |text: &str| {
        let mut found = Vec::new();
        search(text.as_bytes(), &engine, &mut |decoded, hits| {
            assert_eq!(hits.len(), 1);
            assert_eq!(&decoded.text[hits[0].secret.clone()], token.as_bytes());
            found.push((rules.rules()[hits[0].rule].id.clone(), decoded.run.clone()));
        });
        found
    };
    let base64 = to_base64(format!("({token}").as_bytes());
    let text = format!("data: {base64}\n");
    let run = Run { range: 6..6 + base64.len(), encoding: Encoding::Base64 };
    assert_eq!(found(&text), [("github-token".to_owned(), run)]);
    assert_eq!(found(&hex::encode(format!(" {token}"))).len(), 1);
    assert_eq!(found(&to_percent(token.as_bytes())).len(), 1);
    assert_eq!(found(&format!("a=%20%20%20{token}")), [], "it can be read without decoding");
}

proptest! {
    #[test]
    fn a_part_sees_the_runs_of_the_whole(
        text in "([A-Za-z0-9+/_-]{0,40}={0,3}[ \\\\.:\"n]|[0-9a-f]{20,50}[ x.]|\"?[a-z]{0,4}(\":)?[ \":]{0,3}|\\\\/|\\\\u00[0-9a-f]{2}|\\\\{1,3}|(%[0-9A-F]{2}){0,4}[a-z.:]{0,6} ?|x|0x|%)\
                 {0,25}",
        a in 0_usize..900, b in 0_usize..900,
    ) {
        let bytes = text.as_bytes();
        let (from, until) = (a.min(b).min(bytes.len()), a.max(b).min(bytes.len()));
        let mut expected = all(bytes, 0..bytes.len());
        expected.retain(|run| run.range.start < until && run.range.end > from && from < until);
        prop_assert_eq!(all(bytes, from..until), expected);
    }

    #[test]
    fn a_run_depends_on_itself_two_bytes_before_and_one_behind(
        text in "([A-Za-z0-9+/_-]{0,40}={0,3}[ \\\\.:\"n]|[0-9a-f]{20,50}[ x.]|\"?[a-z]{0,4}(\":)?[ \":]{0,3}|\\\\/|\\\\u00[0-9a-f]{2}|\\\\{1,3}|(%[0-9A-F]{2}){0,4}[a-z.:]{0,6} ?|x|%){0,25}",
    ) {
        let bytes = text.as_bytes();
        for run in all(bytes, 0..bytes.len()) {
            let from = run.range.start.saturating_sub(2);
            let part = &bytes[from..(run.range.end + 1).min(bytes.len())];
            let moved = Run { range: run.range.start - from..run.range.end - from, encoding: run.encoding };
            prop_assert!(all(part, 0..part.len()).contains(&moved), "{:?}", moved);
        }
    }

    #[test]
    fn what_was_encoded_is_decoded(plain in "[ -~äß\n]{16,200}", before in "[ :\"(]", after in "[ ,\")\n]") {
        let bytes = plain.as_bytes();
        for (encoding, text) in [
            (Encoding::Base64, to_base64(bytes)),
            (Encoding::Base64, to_base64(bytes).trim_end_matches('=').to_owned()),
            (Encoding::Hex, hex::encode(bytes)),
            (Encoding::Percent, to_percent(bytes)),
            (Encoding::Json, to_json(&plain)),
        ] {
            // A text with escapes may end up beside characters that belong to its token.
            let escapes = matches!(encoding, Encoding::Json | Encoding::Percent);
            let whole = if escapes { format!(" {text} ") } else { format!("{before}{text}{after}") };
            if encoding == Encoding::Base64 && text.len() < MIN_BASE64 {
                continue;
            }
            prop_assert!(texts(&whole).contains(&(encoding, plain.clone())), "{:?} {}", encoding, whole);
        }
    }

    #[test]
    fn any_bytes_are_no_trouble(
        bytes in prop::collection::vec(any::<u8>(), 0..600), a in 0_usize..700, b in 0_usize..700,
    ) {
        for run in all(&bytes, a..b) {
            prop_assert!(run.range.end <= bytes.len() && !run.range.is_empty());
            let decoded = decode(&bytes[run.range.clone()], run.encoding);
            prop_assert!(decoded.is_none_or(|text| std::str::from_utf8(&text).is_ok()));
        }
        prop_assert!(decode(&bytes, Encoding::Base64).is_none_or(|text| !text.contains(&0)));
        let _hex = decode(&bytes, Encoding::Hex);
        if let Some(text) = decode(&bytes, Encoding::Json) {
            let origins = json::origins(&bytes);
            prop_assert!(origins.len() == text.len() + 1 && origins.is_sorted());
        }
    }
}
