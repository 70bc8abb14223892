//! The text of a policy: JSON, or the part of HCL that policies are written in.
//!
//! Source: openbao.org/docs/concepts/policies (2026-11-23). A server refuses a policy that it cannot read, so what is met here
//! is well-formed; what is not understood is an error all the same, and never an empty policy.

use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

use serde_json::{Map, Value};

/// Blocks inside of blocks; a policy has three levels.
const DEPTH_MAX: usize = 16;

/// A `path` block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) pattern: String,
    pub(super) body: Map<String, Value>,
    /// Where it stands in the text; JSON does not tell.
    pub(super) span: Option<Range<usize>>,
}

/// The `path` blocks of a policy, in the order of the text.
pub(super) fn blocks(text: &str) -> Result<Vec<Block>, String> {
    if text.trim_start().starts_with('{') {
        return from_json(text);
    }
    let mut parser = Parser { tokens: tokens(text)?.into_iter().peekable(), end: 0 };
    let mut blocks = Vec::new();
    while let Some((start, token)) = parser.start() {
        let (Token::Word(key) | Token::Text(key)) = token else {
            return Err(format!("`{}` stands where a block begins", token.shown()));
        };
        if key != "path" {
            // `name = "…"`, which older servers kept there.
            parser.expect(&Token::Equals)?;
            parser.value(0)?;
            continue;
        }
        let Some(Token::Text(pattern) | Token::Word(pattern)) = parser.next() else {
            return Err("a `path` has no pattern".to_owned());
        };
        parser.skip(&Token::Equals);
        parser.expect(&Token::Open)?;
        let body = parser.object(0)?;
        blocks.push(Block { pattern, body, span: Some(start..parser.end) });
    }
    Ok(blocks)
}

fn from_json(text: &str) -> Result<Vec<Block>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let paths = match value.get("path") {
        None => return Ok(Vec::new()),
        // HCL lets a block be a list of blocks.
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let mut blocks = Vec::new();
    for path in paths {
        let Value::Object(path) = path else { return Err("`path` is no object".to_owned()) };
        for (pattern, body) in path {
            let bodies = if let Value::Array(list) = body { list } else { vec![body] };
            for body in bodies {
                let Value::Object(body) = body else { return Err(format!("`{pattern}` is no object")) };
                blocks.push(Block { pattern: pattern.clone(), body, span: None });
            }
        }
    }
    Ok(blocks)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Close,
    CloseList,
    Comma,
    Equals,
    Open,
    OpenList,
    Text(String),
    Word(String),
}

impl Token {
    fn shown(&self) -> &str {
        match self {
            Self::Close => "}",
            Self::CloseList => "]",
            Self::Comma => ",",
            Self::Equals => "=",
            Self::Open => "{",
            Self::OpenList => "[",
            Self::Text(text) | Self::Word(text) => text,
        }
    }
}

/// A token and where it stands.
type Placed = (Range<usize>, Token);

fn tokens(text: &str) -> Result<Vec<Placed>, String> {
    let mut chars = text.char_indices().peekable();
    let mut tokens = Vec::new();
    while let Some((start, c)) = chars.next() {
        let token = match c {
            '{' => Token::Open,
            '}' => Token::Close,
            '[' => Token::OpenList,
            ']' => Token::CloseList,
            ',' => Token::Comma,
            '=' | ':' => Token::Equals,
            '"' => Token::Text(quoted(&mut chars)?),
            '#' => {
                skip_line(&mut chars);
                continue;
            }
            '/' => {
                comment(&mut chars)?;
                continue;
            }
            c if c.is_whitespace() || c == '\u{feff}' => continue,
            c if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') => {
                let mut word = String::from(c);
                let more = |(_, c): &(usize, char)| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
                while let Some((_, c)) = chars.next_if(more) {
                    word.push(c);
                }
                Token::Word(word)
            }
            c => return Err(format!("`{c}` is not part of a policy that Quell can read")),
        };
        let end = chars.peek().map_or(text.len(), |(at, _)| *at);
        tokens.push((start..end, token));
    }
    Ok(tokens)
}

fn skip_line(chars: &mut Peekable<CharIndices<'_>>) {
    while chars.next().is_some_and(|(_, c)| c != '\n') {}
}

/// After a `/`.
fn comment(chars: &mut Peekable<CharIndices<'_>>) -> Result<(), String> {
    match chars.next().map(|(_, c)| c) {
        Some('/') => skip_line(chars),
        Some('*') => {
            let mut before = ' ';
            loop {
                match chars.next().map(|(_, c)| c) {
                    None => return Err("a comment has no end".to_owned()),
                    Some('/') if before == '*' => break,
                    Some(c) => before = c,
                }
            }
        }
        _ => return Err("a `/` stands alone".to_owned()),
    }
    Ok(())
}

/// After the first `"`.
fn quoted(chars: &mut Peekable<CharIndices<'_>>) -> Result<String, String> {
    let open = || "a text has no end".to_owned();
    let mut text = String::new();
    loop {
        match chars.next().ok_or_else(open)?.1 {
            '"' => return Ok(text),
            '\\' => match chars.next().ok_or_else(open)?.1 {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                c @ ('"' | '\\' | '/') => text.push(c),
                c => return Err(format!("`\\{c}` is no escape that Quell can read")),
            },
            c => text.push(c),
        }
    }
}

struct Parser {
    tokens: Peekable<std::vec::IntoIter<Placed>>,
    /// Where the last token ends.
    end: usize,
}

impl Parser {
    /// The next token and where it starts.
    fn start(&mut self) -> Option<(usize, Token)> {
        let (span, token) = self.tokens.next()?;
        self.end = span.end;
        Some((span.start, token))
    }

    fn next(&mut self) -> Option<Token> {
        self.start().map(|(_, token)| token)
    }

    /// Takes the next token if it is this one.
    fn skip(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.next_if(|(_, token)| token == wanted);
        if let Some((span, _)) = &found {
            self.end = span.end;
        }
        found.is_some()
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), String> {
        match self.next() {
            Some(token) if token == *wanted => Ok(()),
            Some(token) => Err(format!("`{}` stands where `{}` is expected", token.shown(), wanted.shown())),
            None => Err(format!("the policy ends where `{}` is expected", wanted.shown())),
        }
    }

    /// After the `{`.
    fn object(&mut self, depth: usize) -> Result<Map<String, Value>, String> {
        let mut object = Map::new();
        loop {
            match self.next() {
                Some(Token::Close) => return Ok(object),
                Some(Token::Comma) => {}
                Some(Token::Word(key) | Token::Text(key)) => {
                    // A block may stand without `=`.
                    self.skip(&Token::Equals);
                    let value = self.value(depth + 1)?;
                    object.insert(key, value);
                }
                Some(token) => return Err(format!("`{}` stands where a key is expected", token.shown())),
                None => return Err("a block has no end".to_owned()),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err("blocks are nested too deep".to_owned());
        }
        match self.next() {
            Some(Token::Text(text)) => Ok(Value::String(text)),
            Some(Token::Word(word)) => Ok(match (word.as_str(), word.parse::<i64>()) {
                ("true", _) => Value::Bool(true),
                ("false", _) => Value::Bool(false),
                (_, Ok(number)) => number.into(),
                (_, Err(_)) => Value::String(word),
            }),
            Some(Token::Open) => self.object(depth).map(Value::Object),
            Some(Token::OpenList) => {
                let mut list = Vec::new();
                loop {
                    if self.skip(&Token::CloseList) {
                        return Ok(Value::Array(list));
                    }
                    if !self.skip(&Token::Comma) {
                        list.push(self.value(depth + 1)?);
                    }
                }
            }
            Some(token) => Err(format!("`{}` stands where a value is expected", token.shown())),
            None => Err("the policy ends where a value is expected".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hcl_and_json_of_one_policy_are_the_same() {
        let hcl = r#"
            # a comment
            name = "orders"
            path "kv/data/apps/*" { capabilities = ["read", "list",] } // another
            path "kv/data/a\"b" {
              policy = "write"
              allowed_parameters = { "ttl" = ["1h", "2h"], "*" = [] }
              min_wrapping_ttl = "1m" /* and
                 one more */ max_wrapping_ttl = 90
            }"#;
        let json = r#"{"path": {"kv/data/apps/*": {"capabilities": ["read", "list"]}, "kv/data/a\"b": {"policy": "write",
            "allowed_parameters": {"ttl": ["1h", "2h"], "*": []}, "min_wrapping_ttl": "1m", "max_wrapping_ttl": 90}}}"#;
        let mut from_json = blocks(json).unwrap();
        from_json.sort_by_key(|block| block.pattern.contains('"'));
        let from_hcl = blocks(hcl).unwrap();
        let same = |(a, b): (&Block, &Block)| (&a.pattern, &a.body) == (&b.pattern, &b.body);
        assert!(from_hcl.len() == 2 && from_hcl.iter().zip(&from_json).all(same), "{from_hcl:?}");
        let first = from_hcl[0].span.clone().unwrap();
        assert_eq!(
            hcl.get(first).unwrap(),
            "path \"kv/data/apps/*\" { capabilities = [\"read\", \"list\",] }"
        );
        assert_eq!(blocks(" # nothing\n").unwrap(), []);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_not_an_empty_policy() {
        let deep = format!("path \"a\" {{ x = {}", "[".repeat(5000));
        for text in [
            "path \"a\" {",
            "path",
            "path \"a",
            "path \"a\" { capabilities = [\"read\" ",
            "{\"path\": 1}",
            "} ",
            "a b",
            "/* x",
            "/",
            "path \"a\" { x = <<EOF\nEOF\n }",
            "path \"\\q\" {}",
            deep.as_str(),
            "{\"path\":{\"a\":1}}",
        ] {
            assert!(blocks(text).is_err(), "{text:.60}");
        }
    }
}
