//! Jupyter notebooks, format 4: <https://nbformat.readthedocs.io/en/latest/format_description.html>. Code and output are JSON
//! strings, one for each line; a quoted secret is only one when they are joined and unescaped.

use std::io::Read as _;

use serde_json::Value;

use super::lookahead::Lookahead;
use super::{Job, Place};

/// Scans the file as it is, then the text of its cells.
pub(super) fn scan(job: &mut Job<'_, '_>, place: &Place, reader: &mut Lookahead<'_>) {
    job.with_buffer(place, reader, |job, bytes, rest| {
        if let Some(rest) = rest {
            job.skip(place, "the notebook is large; its cells were searched as they are written");
            return job.raw(place, &mut bytes.chain(rest));
        }
        job.sink.bytes(bytes.len() as u64);
        let known = job.searcher.slice(bytes);
        let notebook = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        let cells = notebook.get("cells").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (number, cell) in (1..).zip(cells) {
            let source = joined(cell.get("source"));
            job.text(&place.part(&format!("cell {number}")), source.as_bytes(), &known);
            let mut printed = String::new();
            for output in cell.get("outputs").and_then(Value::as_array).into_iter().flatten() {
                output_text(output, &mut printed);
            }
            job.text(&place.part(&format!("cell {number} output")), printed.as_bytes(), &known);
        }
        if !known.is_empty() {
            job.sink.hits(&place.path, known);
        }
    });
}

fn output_text(output: &Value, text: &mut String) {
    let data = output.get("data").and_then(Value::as_object);
    let texts = data.into_iter().flatten().filter(|(kind, _)| kind.starts_with("text/"));
    let parts = [output.get("text"), output.get("traceback")];
    for part in parts.into_iter().flatten().chain(texts.map(|(_, value)| value)) {
        text.push_str(&joined(Some(part)));
        text.push('\n');
    }
}

/// A string, or the strings of a list.
fn joined(value: Option<&Value>) -> String {
    let lines = value.and_then(Value::as_array).into_iter().flatten();
    lines.chain(value).filter_map(Value::as_str).collect()
}
