//! JSON as Python's `json.dumps(value, sort_keys=True, separators=(",", ":"))` writes it, of JSON that Python wrote.
//!
//! Numbers stay as they are written: those of Python are in its own shape already. Read in `Lib/json/encoder.py` of `CPython` 3.11
//! (`ESCAPE`, `ESCAPE_ASCII`), <https://docs.python.org/3/library/json.html>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

/// What is nested deeper is no record: each level is read once more.
const MAX_DEPTH: usize = 32;

/// How texts are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Texts {
    /// `ensure_ascii`: other characters are escaped.
    Ascii,
    /// The same, and times are as `datetime.isoformat()` has them: pydantic wrote `Z` where Python signed `+00:00`.
    AsciiTimes,
    /// As they are.
    Plain,
}

/// Writes a value; `None` when it is nested too deep, or no JSON.
pub(super) fn value(raw: &RawValue, texts: Texts, out: &mut String) -> Option<()> {
    nested(raw, texts, MAX_DEPTH, out)
}

fn nested(raw: &RawValue, texts: Texts, depth: usize, out: &mut String) -> Option<()> {
    let source = raw.get().trim_ascii();
    let depth = depth.checked_sub(1)?;
    match source.bytes().next()? {
        b'{' => {
            // Of names that are alike the last one counts, as in Python; in UTF-8 the order of bytes is that of characters.
            let all: BTreeMap<String, &RawValue> = serde_json::from_str(source).ok()?;
            out.push('{');
            for (at, (name, inner)) in all.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                // Names are texts, and never times.
                text(&name, if texts == Texts::Plain { Texts::Plain } else { Texts::Ascii }, out);
                out.push(':');
                nested(inner, texts, depth, out)?;
            }
            out.push('}');
        }
        b'[' => {
            let all: Vec<&RawValue> = serde_json::from_str(source).ok()?;
            out.push('[');
            for (at, inner) in all.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                nested(inner, texts, depth, out)?;
            }
            out.push(']');
        }
        b'"' => {
            let inner: String = serde_json::from_str(source).ok()?;
            text(&inner, texts, out);
        }
        _ => out.push_str(source),
    }
    Some(())
}

/// Writes a text.
pub(super) fn text(text: &str, texts: Texts, out: &mut String) {
    if texts == Texts::AsciiTimes
        && text.ends_with('Z')
        && let Ok(at) = text.parse::<Timestamp>()
    {
        return self::text(&iso(at), Texts::Ascii, out);
    }
    out.push('"');
    for c in text.chars() {
        let plain = texts == Texts::Plain || matches!(c, ' '..='~');
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c >= ' ' && plain => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    write!(out, "\\u{unit:04x}").unwrap_or_default();
                }
            }
        }
    }
    out.push('"');
}

/// `datetime.isoformat()` of a time in UTC: microseconds only if there are some.
pub(super) fn iso(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    let format = if at.subsec_nanosecond() / 1000 == 0 {
        "%Y-%m-%dT%H:%M:%S+00:00"
    } else {
        "%Y-%m-%dT%H:%M:%S.%6f+00:00"
    };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str, texts: Texts) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let mut out = String::new();
        value(raw, texts, &mut out).map(|()| out)
    }

    /// Made by `CPython` 3.11 of the same values.
    #[test]
    fn it_is_what_python_writes() {
        let json = r#"{ "é": -0.0, "a": [1, 2.0, 1e+22, 1e-07, null, true, {"b": "x", "a": "ü😀\u007f\n\"\\ /\u2028\u0001"}], "a b": {}, "t": "2026-03-02T10:00:00Z" }"#;
        insta::assert_snapshot!(written(json, Texts::Ascii).unwrap(), @r#"{"a":[1,2.0,1e+22,1e-07,null,true,{"a":"\u00fc\ud83d\ude00\u007f\n\"\\ /\u2028\u0001","b":"x"}],"a b":{},"t":"2026-03-02T10:00:00Z","\u00e9":-0.0}"#);
        let plain = written(json, Texts::Plain).unwrap();
        assert!(
            plain.contains("\"ü😀\u{7f}\\n\\\"\\\\ /\u{2028}\\u0001\"") && plain.ends_with("\"é\":-0.0}"),
            "{plain}"
        );
        assert!(written(json, Texts::AsciiTimes).unwrap().contains(r#""t":"2026-03-02T10:00:00+00:00""#));
    }

    #[test]
    fn times_are_as_python_writes_them() {
        for (text, expected) in [
            ("2026-03-02T10:00:00Z", "2026-03-02T10:00:00+00:00"),
            ("2026-03-02T10:00:00.000007Z", "2026-03-02T10:00:00.000007+00:00"),
            ("2026-03-02T12:00:00.5+02:00", "2026-03-02T10:00:00.500000+00:00"),
        ] {
            assert_eq!(iso(text.parse().unwrap()), expected);
        }
    }

    #[test]
    fn what_is_nested_deep_is_given_up() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(written(&deep(30), Texts::Plain), Some(deep(30)));
        assert_eq!(written(&deep(100), Texts::Plain), None);
        assert_eq!(written(r#"{"a":1,"a":2}"#, Texts::Plain).unwrap(), r#"{"a":2}"#);
    }
}
