//! Comma-separated values, RFC 4180, a record a line.

use std::borrow::Cow;

/// The fields of a line. A record that goes on in the next line, as a field with a line break does, is refused: lines are read one
/// by one, so neither half of it is evidence by itself.
pub(crate) fn fields(line: &str) -> Result<Vec<Cow<'_, str>>, String> {
    fields_by(line, ',')
}

/// The same with another character between fields.
pub(crate) fn fields_by(line: &str, delimiter: char) -> Result<Vec<Cow<'_, str>>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            in_quotes(quoted).ok_or("a quote is not closed in this line")?
        } else {
            let end = rest.find(delimiter).unwrap_or(rest.len());
            let (field, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if field.contains('"') {
                return Err("a quote stands within a field that has none around it".to_owned());
            }
            (Cow::Borrowed(field), after)
        };
        fields.push(field);
        match after.strip_prefix(delimiter) {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => return Err("text stands behind the quote that closes a field".to_owned()),
        }
    }
}

/// Up to the quote that closes the field, and what follows. Two quotes are one.
fn in_quotes(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut field = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field += before;
        let Some(more) = after.strip_prefix('"') else { return Some((field, after)) };
        field += "\"";
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_and_quotes_undone() {
        assert_eq!(fields("a,,\"b,\"\"c\"\"\",d").unwrap(), ["a", "", "b,\"c\"", "d"]);
        assert_eq!(fields("").unwrap(), [""]);
        assert_eq!(fields("a,").unwrap(), ["a", ""]);
    }

    #[test]
    fn half_a_record_is_refused() {
        for text in ["a,\"b", "b\",c", "\"a\"b,c", "\"", "a,\"b\"\"", "a\"b\""] {
            assert!(fields(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_was_quoted_is_read_back(all in proptest::collection::vec("[a,\" ]{0,6}", 1..6)) {
            let quoted: Vec<String> = all.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
            let line = quoted.join(",");
            proptest::prop_assert_eq!(fields(&line).unwrap(), all);
        }
    }
}
