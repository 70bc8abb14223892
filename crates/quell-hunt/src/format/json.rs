//! Lines of JSON: which format they are of before they are parsed, and errors that quote nothing of them.

/// A line of JSON. The error says where, and nothing of what stands there, as `serde_json`'s own does.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| told(&error))
}

/// The same of an error.
pub(super) fn told(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Data => "a field has another type than the format says",
        Category::Eof => "the line is cut off",
        Category::Io | Category::Syntax => "the line is not JSON",
    };
    format!("{what}, at column {}", error.column())
}

/// Whether a name of a JSON object stands in a line, which may be cut off and is not parsed yet.
pub(super) fn has_name(line: &[u8], name: &str) -> bool {
    value_after(line, name).next().is_some()
}

/// Whether a JSON object in a line says this text under a name, or one that begins so.
pub(super) fn has_text(line: &[u8], name: &str, text: &str) -> bool {
    value_after(line, name)
        .any(|rest| rest.strip_prefix(b"\"").is_some_and(|rest| rest.starts_with(text.as_bytes())))
}

pub(super) fn value_after<'a>(line: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let name = format!("\"{name}\"");
    let starts: Vec<usize> = memchr::memmem::find_iter(line, name.as_bytes()).collect();
    starts.into_iter().filter_map(move |at| {
        let rest = line.get(at + name.len()..)?.trim_ascii_start();
        Some(rest.strip_prefix(b":")?.trim_ascii_start())
    })
}
