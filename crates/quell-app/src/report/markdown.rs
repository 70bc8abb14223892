//! The template engine, set up for Markdown: whatever comes from data is inert by default.
//!
//! HTML escaping is off. In its place every printed text that is not marked safe is escaped for Markdown, so that
//! a hostile title can neither break a table row nor become a link, also in an operator's own template.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

/// Name of the template in error messages.
pub(super) const NAME: &str = "post-mortem.md.j2";

/// Longest document, in bytes. A template that prints more is wrong.
pub(super) const DOCUMENT_MAX: usize = 64 << 20;

/// An engine that reads no files, knows no undefined variable and stops after `fuel` instructions.
pub(super) fn engine<'a>(fuel: u64) -> Result<Environment<'a>, Error> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    // Any mode but `None`, so that what a macro printed counts as safe and is not escaped twice.
    engine.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    engine.set_syntax(syntax.build()?);
    engine.set_fuel(Some(fuel));
    engine.set_formatter(|out, _state, value| {
        if value.is_none() || value.is_undefined() {
            return Ok(());
        }
        let written = match value.as_str() {
            Some(text) if !value.is_safe() => out.write_str(&inert(text)),
            Some(text) => out.write_str(text),
            None if value.is_number() => out.write_str(&value.to_string()),
            None => out.write_str(&inert(&value.to_string())),
        };
        written.map_err(|e| Error::new(ErrorKind::WriteFailure, "cannot write").with_source(e))
    });
    filters(&mut engine);
    Ok(engine)
}

/// The same, for text that nobody reads as Markdown.
pub(super) fn plain_engine<'a>(fuel: u64) -> Result<Environment<'a>, Error> {
    let mut engine = engine(fuel)?;
    engine.set_formatter(|out, _state, value| {
        let text = if value.is_none() || value.is_undefined() { String::new() } else { value.to_string() };
        let shown: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
        out.write_str(&shown).map_err(|e| Error::new(ErrorKind::WriteFailure, "cannot write").with_source(e))
    });
    Ok(engine)
}

fn filters(engine: &mut Environment<'_>) {
    for name in ["e", "escape"] {
        engine.add_filter(name, |text: &str| Value::from_safe_string(inert(text)));
    }
    engine.add_filter("code", |text: &str| Value::from_safe_string(code(text)));
    engine.add_filter("fence", |text: &str| Value::from_safe_string(fence(text)));
}

/// Text that Markdown shows as it is, inside a table cell too.
pub(super) fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    if starts_block(text) {
        out.push('\\');
    }
    let numbered = ends_number(text);
    let mut before = ' ';
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let after = rest.peek().map_or(' ', |(_, c)| *c);
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' if starts_entity(text.get(at + 1..)) => out.push_str("&amp;"),
            '\\' | '`' | '|' | '*' | '[' | ']' => out.extend(['\\', c]),
            '~' if before == '~' || after == '~' => out.extend(['\\', c]),
            '_' if !(before.is_alphanumeric() && after.is_alphanumeric()) => out.extend(['\\', c]),
            '.' | ')' if numbered == Some(at) => out.extend(['\\', c]),
            _ => out.push(c),
        }
        before = c;
    }
    out
}

/// True for texts that would begin a heading, a quote, a list or a rule.
fn starts_block(text: &str) -> bool {
    text.starts_with(['#', '>', '-', '+', '='])
}

/// True when what follows an ampersand would turn it into another character.
fn starts_entity(after: Option<&str>) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '#';
    after.is_some_and(|text| text.starts_with(inside) && text.trim_start_matches(inside).starts_with(';'))
}

/// Where the delimiter stands when the text would begin a numbered list.
fn ends_number(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.get(digits..)?;
    let ends = rest.starts_with(['.', ')']) && rest.chars().nth(1).is_none_or(char::is_whitespace);
    (ends && (1..=9).contains(&digits)).then_some(digits)
}

/// Inline code for ids and hashes; anything else is shown as text.
fn code(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b" -_.:/+=@,#".contains(&b);
    if !text.is_empty() && text.trim() == text && text.bytes().all(plain) {
        format!("`{text}`")
    } else {
        inert(text)
    }
}

/// A code block around text that stays exactly as it is.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let ticks = "`".repeat(longest.max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{ticks}text\n{text}{end}{ticks}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_data_is_shown_and_does_nothing() {
        let shown: Vec<String> = [
            "a | b\nc",
            "`rm -rf`",
            "[click](http://x) ![i](y)",
            "<script>alert(1)</script> &lt; R&D a & b",
            "*x* __init__ snake_case _y_ ~~z~~ ~5",
            "# heading",
            "1. list",
            "2026.11 and 0.12 s",
            "- item",
            r"back\slash",
        ]
        .map(inert)
        .to_vec();
        insta::assert_snapshot!(shown.join("\n"), @r"
        a \| b c
        \`rm -rf\`
        \[click\](http://x) !\[i\](y)
        &lt;script>alert(1)&lt;/script> &amp;lt; R&D a & b
        \*x\* \_\_init\_\_ snake_case \_y\_ \~\~z\~\~ ~5
        \# heading
        1\. list
        2026.11 and 0.12 s
        \- item
        back\\slash
        ");
    }

    #[test]
    fn code_is_only_for_plain_words_and_fences_cannot_be_left() {
        assert_eq!(code("orders-db.disable"), "`orders-db.disable`");
        assert_eq!(code("a`|b"), r"a\`\|b");
        assert_eq!(code(""), "");
        assert_eq!(fence("a\n```\nb"), "````text\na\n```\nb\n````");
        assert_eq!(fence("a\n"), "```text\na\n```");
    }
}
