//! TOML text to rules, with errors that name file, rule and key.

use toml::{Table, Value};

use super::{Allowlist, Condition, DEFAULT_WINDOW, Pattern, Rank, Rule, Target};
use crate::RuleError;

/// Whether a file's author is there to be told, or its tests have already proven it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trust {
    Builtin,
    User,
}

/// What one file holds.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) rules: Vec<Rule>,
    pub(crate) allowlists: Vec<Allowlist>,
    pub(crate) warnings: Vec<String>,
}

/// A window larger than what scanning keeps in view would be a promise that is not held.
const MAX_WINDOW: usize = 32 << 10;

pub(crate) fn parse(file: &str, text: &str, trust: Trust) -> Result<Parsed, Box<RuleError>> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        Box::new(RuleError {
            file: file.to_owned(),
            rule: None,
            key: None,
            detail: format!("not valid TOML: {}", error.to_string().trim_end()),
            hint: "rules are `[[rules]]` tables, as in gitleaks".to_owned(),
        })
    })?;
    let mut parsed = Parsed::default();
    let mut top = Keys::new(file, None, table, trust);
    top.ignore(&["title", "description", "minVersion"]);
    if top.take("extend").is_some() {
        top.warn("extend", "not supported yet: list every rule file with `--rules`");
    }
    for (index, table) in top.tables("rules")?.into_iter().enumerate() {
        parsed.rules.push(rule(file, index, table, trust, &mut parsed.warnings)?);
    }
    parsed.allowlists = allowlists(&mut top)?;
    top.finish(&mut parsed.warnings);
    Ok(parsed)
}

fn rule(
    file: &str,
    index: usize,
    table: Table,
    trust: Trust,
    warnings: &mut Vec<String>,
) -> Result<Rule, Box<RuleError>> {
    let name =
        table.get("id").and_then(Value::as_str).map_or_else(|| format!("#{}", index + 1), str::to_owned);
    let mut keys = Keys::new(file, Some(name), table, trust);
    let Some(id) = keys.string("id")?.filter(|id| !id.trim().is_empty()) else {
        return Err(keys.error("id", "missing", "give every rule a unique `id`"));
    };
    let Some(pattern) = pattern(&mut keys)? else {
        return Err(keys.error("regex", "missing", "rules that only look at paths are not supported yet"));
    };
    let secret_group = keys.size("secretGroup")?.unwrap_or(0);
    // To compile built-in rules at every start would take longer than a small scan.
    let groups = || pattern.regex().map_or(1, regex::bytes::Regex::captures_len);
    if trust == Trust::User && secret_group >= groups() {
        let groups = groups();
        let detail = format!("group {secret_group} does not exist; the regex has {}", groups - 1);
        return Err(keys.error("secretGroup", &detail, "groups count from 1"));
    }
    let tags = keys.strings("tags")?;
    let rank = if tags.iter().any(|tag| tag == "generic") {
        Rank::Generic
    } else if pattern.text().contains("(?P<password>") {
        Rank::Url
    } else {
        Rank::Specific
    };
    let placeholders = rank != Rank::Specific || tags.iter().any(|tag| tag == "assigned");
    let window = keys.size("window")?.unwrap_or(DEFAULT_WINDOW);
    if window == 0 || window > MAX_WINDOW {
        return Err(keys.error("window", "out of range", "it is a number of bytes from 1 to 32768"));
    }
    let rule = Rule {
        description: keys.string("description")?.unwrap_or_else(|| id.clone()),
        kind: keys.string("kind")?.unwrap_or_else(|| id.clone()),
        pattern,
        secret_group,
        entropy: keys.float("entropy")?,
        keywords: keys.strings("keywords")?.iter().map(|word| word.to_ascii_lowercase()).collect(),
        path: keys.pattern("path")?,
        tags,
        allowlists: allowlists(&mut keys)?,
        prefix: keys.size("prefix")?.unwrap_or(0),
        window,
        examples: keys.strings("examples")?,
        non_examples: keys.strings("non_examples")?,
        source: keys.string("source")?,
        rank,
        placeholders,
        id,
    };
    if rule.keywords.iter().any(String::is_empty) {
        return Err(keys.error("keywords", "one of them is empty", "leave the key out to search everywhere"));
    }
    keys.finish(warnings);
    Ok(rule)
}

/// `regex`, or `name` and `value`: a value of a given form that is assigned to something of a given name.
fn pattern(keys: &mut Keys<'_>) -> Result<Option<Pattern>, Box<RuleError>> {
    let (Some(name), value) = (keys.string("name")?, keys.string("value")?) else {
        return keys.pattern("regex");
    };
    let Some(value) = value else {
        return Err(keys.error(
            "value",
            "missing",
            "`name` says what it is assigned to, `value` what it looks like",
        ));
    };
    if keys.take("regex").is_some() {
        return Err(keys.error("regex", "given beside `name`", "write `regex`, or `name` and `value`"));
    }
    keys.compile("value", assigned(&name, &value)).map(Some)
}

/// One regex for `NAME = value` in the usual configuration and programming languages, in URLs' queries and on command
/// lines. The name may have other words around it, the value may be in quotes, and it must end where it ends.
fn assigned(name: &str, value: &str) -> String {
    let before = r"(?i:\b[a-z0-9_.\-]{0,40}";
    let after = r#"[a-z0-9_.\- ]{0,24}["'`\\\]]{0,3}[ \t]{0,4}(?:=>|:=|==?|:|,|\|\||\(|>|[ \t])[ \t(]{0,4}["'`\\]{0,3})"#;
    format!(r#"{before}(?:{name}){after}(?P<secret>{value})(?:["'`\\\s;,)<>\]}}&]|$)"#)
}

/// Both spellings: `[allowlist]` and `[[allowlists]]`.
fn allowlists(keys: &mut Keys<'_>) -> Result<Vec<Allowlist>, Box<RuleError>> {
    let mut tables = keys.tables("allowlists")?;
    match keys.take("allowlist") {
        None => {}
        Some(Value::Table(table)) => tables.push(table),
        Some(_other) => {
            return Err(keys.error("allowlist", "not a table", "write `[allowlist]` and its keys"));
        }
    }
    let mut lists = Vec::new();
    for table in tables {
        let mut inner = Keys::new(keys.file, keys.rule.clone(), table, keys.trust);
        inner.ignore(&["description"]);
        let condition = match inner.string("condition")?.as_deref() {
            None | Some("OR" | "or" | "||") => Condition::Or,
            Some("AND" | "and" | "&&") => Condition::And,
            Some(_other) => return Err(inner.error("condition", "not known", "write `OR` or `AND`")),
        };
        let target = match inner.string("regexTarget")?.as_deref() {
            None | Some("secret" | "") => Target::Secret,
            Some("match") => Target::Match,
            Some("line") => Target::Line,
            Some(_other) => {
                return Err(inner.error("regexTarget", "not known", "write `secret`, `match` or `line`"));
            }
        };
        let list = Allowlist {
            condition,
            target,
            regexes: inner.patterns("regexes")?,
            stopwords: inner.strings("stopwords")?.iter().map(|word| word.to_ascii_lowercase()).collect(),
            paths: inner.patterns("paths")?,
            commits: inner.strings("commits")?,
            target_rules: inner.strings("targetRules")?,
        };
        let everything = |pattern: &&Pattern| pattern.matches(b"") && pattern.matches(b"\0any text");
        if keys.trust == Trust::User && list.regexes.iter().chain(&list.paths).any(|p| everything(&p)) {
            inner.warn("allowlist", "a pattern matches everything, which switches its rules off");
        }
        keys.warnings.append(&mut inner.warnings);
        inner.finish(&mut keys.warnings);
        lists.push(list);
    }
    Ok(lists)
}

/// The keys of one table, taken one by one; what is left over is unknown.
struct Keys<'a> {
    file: &'a str,
    rule: Option<String>,
    table: Table,
    trust: Trust,
    warnings: Vec<String>,
}

impl<'a> Keys<'a> {
    fn new(file: &'a str, rule: Option<String>, table: Table, trust: Trust) -> Self {
        Self { file, rule, table, trust, warnings: Vec::new() }
    }

    #[expect(clippy::unnecessary_box_returns, reason = "every caller returns it boxed")]
    fn error(&self, key: &str, detail: &str, hint: &str) -> Box<RuleError> {
        Box::new(RuleError {
            file: self.file.to_owned(),
            rule: self.rule.clone(),
            key: Some(key.to_owned()),
            detail: detail.to_owned(),
            hint: hint.to_owned(),
        })
    }

    fn warn(&mut self, key: &str, text: &str) {
        let rule = self.rule.as_ref().map(|rule| format!(", rule `{rule}`")).unwrap_or_default();
        self.warnings.push(format!("{}{rule}, key `{key}`: {text}", self.file));
    }

    fn finish(mut self, warnings: &mut Vec<String>) {
        let left: Vec<String> = self.table.keys().cloned().collect();
        for key in left {
            self.warn(&key, "not known, ignored");
        }
        warnings.append(&mut self.warnings);
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.table.remove(*key);
        }
    }

    fn string(&mut self, key: &str) -> Result<Option<String>, Box<RuleError>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_other) => Err(self.error(key, "not a string", "put it in quotes")),
        }
    }

    fn strings(&mut self, key: &str) -> Result<Vec<String>, Box<RuleError>> {
        let wrong = |keys: &Self| keys.error(key, "not a list of strings", "write `[\"one\", \"two\"]`");
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| if let Value::String(text) = item { Ok(text) } else { Err(wrong(self)) })
                .collect(),
            Some(_other) => Err(wrong(self)),
        }
    }

    fn tables(&mut self, key: &str) -> Result<Vec<Table>, Box<RuleError>> {
        let wrong = |keys: &Self| keys.error(key, "not a list of tables", &format!("write `[[{key}]]`"));
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| if let Value::Table(table) = item { Ok(table) } else { Err(wrong(self)) })
                .collect(),
            Some(_other) => Err(wrong(self)),
        }
    }

    fn size(&mut self, key: &str) -> Result<Option<usize>, Box<RuleError>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let size = value.as_integer().and_then(|number| usize::try_from(number).ok());
        size.map(Some).ok_or_else(|| self.error(key, "not a number from 0", "write a whole number"))
    }

    fn float(&mut self, key: &str) -> Result<Option<f64>, Box<RuleError>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        #[expect(clippy::cast_precision_loss, reason = "entropies are at most 8")]
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        match number {
            Some(number) if (0.0..=8.0).contains(&number) => Ok(Some(number)),
            _ => Err(self.error(key, "not an entropy", "bits per byte: a number from 0 to 8")),
        }
    }

    fn compile(&self, key: &str, text: String) -> Result<Pattern, Box<RuleError>> {
        if self.trust == Trust::Builtin {
            return Ok(Pattern::trusted(text));
        }
        Pattern::checked(text).map_err(|error| {
            self.error(
                key,
                &format!("the regex does not compile: {error}"),
                "look-around and backreferences do not exist here: matching is linear in time",
            )
        })
    }

    fn pattern(&mut self, key: &str) -> Result<Option<Pattern>, Box<RuleError>> {
        self.string(key)?.map(|text| self.compile(key, text)).transpose()
    }

    fn patterns(&mut self, key: &str) -> Result<Vec<Pattern>, Box<RuleError>> {
        let texts = self.strings(key)?;
        texts.into_iter().map(|text| self.compile(key, text)).collect()
    }
}
