//! TOML text to drafts of rules, with errors that name file, rule and key.

use toml::{Table, Value};

use super::draft::Draft;
use super::keys::Keys;
use super::part::{MAX_WITHIN, Part, Required};
use super::{Allowlist, Checksum, Condition, Pattern, Target};
use crate::RuleError;

/// Whether a file's author is there to be told, or its tests have already proven it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trust {
    Builtin,
    User,
}

/// What one file holds.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) extend: Option<Extend>,
    pub(super) drafts: Vec<Draft>,
    pub(super) allowlists: Vec<Allowlist>,
    pub(super) warnings: Vec<String>,
}

/// `[extend]`: what a file builds on.
#[derive(Debug, Default)]
pub(super) struct Extend {
    pub(super) use_default: bool,
    pub(super) path: Option<String>,
    pub(super) disabled: Vec<String>,
}

/// A window larger than what scanning keeps in view would be a promise that is not held.
const MAX_WINDOW: usize = 32 << 10;

/// The version of gitleaks whose keys are all known here.
const GITLEAKS: [u64; 3] = [8, 30, 999];

pub(super) fn parse(file: &str, text: &str, trust: Trust) -> Result<Parsed, Box<RuleError>> {
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
    top.ignore(&["title", "description"]);
    if let Some(version) = top.string("minVersion")? {
        minimum(&mut top, &version);
    }
    if let Some(table) = top.table("extend")? {
        let mut keys = top.inner(table);
        parsed.extend = Some(extend(&mut keys)?);
        keys.finish(&mut top.warnings);
    }
    for (index, table) in top.tables("rules")?.into_iter().enumerate() {
        parsed.drafts.push(rule(file, index, table, trust, &mut parsed.warnings)?);
    }
    parsed.allowlists = allowlists(&mut top)?;
    top.finish(&mut parsed.warnings);
    Ok(parsed)
}

fn minimum(top: &mut Keys<'_>, version: &str) {
    let wanted: Vec<u64> =
        version.trim_start_matches('v').split('.').map_while(|part| part.parse().ok()).collect();
    if wanted.as_slice() > GITLEAKS.as_slice() {
        let text = "newer than the format known here (gitleaks 8.30): a key may not be known";
        top.warn("minVersion", text);
    }
}

fn extend(keys: &mut Keys<'_>) -> Result<Extend, Box<RuleError>> {
    if keys.take("url").is_some() {
        return Err(keys.error(
            "extend.url",
            "rules are not fetched over the network",
            "download the file once and name it with `path`",
        ));
    }
    Ok(Extend {
        use_default: keys.flag("useDefault")?.unwrap_or(false),
        path: keys.string("path")?.filter(|path| !path.is_empty()),
        disabled: keys.strings("disabledRules")?,
    })
}

fn rule(
    file: &str,
    index: usize,
    table: Table,
    trust: Trust,
    warnings: &mut Vec<String>,
) -> Result<Draft, Box<RuleError>> {
    let name =
        table.get("id").and_then(Value::as_str).map_or_else(|| format!("#{}", index + 1), str::to_owned);
    let mut keys = Keys::new(file, Some(name), table, trust);
    let Some(id) = keys.string("id")?.filter(|id| !id.trim().is_empty()) else {
        return Err(keys.error("id", "missing", "give every rule a unique `id`"));
    };
    let pattern = pattern(&mut keys)?;
    let window = keys.size("window")?;
    if window.is_some_and(|window| window == 0 || window > MAX_WINDOW) {
        return Err(keys.error("window", "out of range", "it is a number of bytes from 1 to 32768"));
    }
    let keywords: Vec<String> =
        keys.strings("keywords")?.iter().map(|word| word.to_ascii_lowercase()).collect();
    if keywords.iter().any(String::is_empty) {
        return Err(keys.error("keywords", "one of them is empty", "leave the key out to search everywhere"));
    }
    let draft = Draft {
        file: file.to_owned(),
        trust,
        description: keys.string("description")?.filter(|text| !text.is_empty()),
        kind: keys.string("kind")?,
        pattern,
        secret_group: keys.size("secretGroup")?,
        // gitleaks reads 0 as "not given".
        entropy: keys.float("entropy")?.filter(|least| *least > 0.0),
        keywords,
        keywords_inside: keys.flag("keywords_inside")?,
        path: keys.pattern("path")?,
        tags: keys.strings("tags")?,
        allowlists: allowlists(&mut keys)?,
        prefix: keys.size("prefix")?,
        window,
        examples: keys.strings("examples")?,
        non_examples: keys.strings("non_examples")?,
        source: keys.string("source")?,
        checksum: checksum(&mut keys)?,
        parts: parts(&mut keys)?,
        required: required(&mut keys)?,
        skip_report: keys.flag("skipReport")?,
        id,
    };
    keys.finish(warnings);
    Ok(draft)
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
    let (name, value) = (keys.translate("name", name)?, keys.translate("value", value)?);
    keys.compile("value", assigned(&name, &value)).map(Some)
}

/// One regex for `NAME = value` in the usual configuration and programming languages, in URLs' queries and on command
/// lines. The name may have other words around it, the value may be in quotes, and it must end where it ends.
fn assigned(name: &str, value: &str) -> String {
    let before = r"(?i:\b[a-z0-9_.\-]{0,40}";
    let after = r#"[a-z0-9_.\- ]{0,24}["'`\\\]]{0,3}[ \t]{0,4}(?:=>|:=|==?|:|,|\|\||\(|>|[ \t])[ \t(]{0,4}["'`\\]{0,3})"#;
    format!(r#"{before}(?:{name}){after}(?P<secret>{value})(?:["'`\\\s;,)<>\]}}&]|$)"#)
}

fn checksum(keys: &mut Keys<'_>) -> Result<Option<Checksum>, Box<RuleError>> {
    let Some(name) = keys.string("checksum")? else { return Ok(None) };
    let known: Vec<&str> = Checksum::NAMES.iter().map(|(name, _)| *name).collect();
    let hint = format!("write one of {}", known.join(", "));
    Checksum::named(&name).map(Some).ok_or_else(|| keys.error("checksum", "not known", &hint))
}

fn parts(keys: &mut Keys<'_>) -> Result<Vec<Part>, Box<RuleError>> {
    let mut all = Vec::new();
    for table in keys.tables("parts")? {
        let mut inner = keys.inner(table);
        let Some(name) = inner.string("name")? else {
            return Err(inner.error("parts.name", "missing", "say what the part is"));
        };
        let Some(pattern) = inner.pattern("regex")? else {
            return Err(inner.error("parts.regex", "missing", "say what the part looks like"));
        };
        let within = inner.size("within")?.unwrap_or(MAX_WITHIN / 2);
        if within == 0 || within > MAX_WITHIN {
            return Err(inner.error("parts.within", "out of range", "it is a number of bytes from 1 to 512"));
        }
        all.push(Part {
            name,
            pattern,
            within,
            public: inner.flag("public")?.unwrap_or(false),
            required: inner.flag("required")?.unwrap_or(false),
        });
        inner.finish(&mut keys.warnings);
    }
    Ok(all)
}

fn required(keys: &mut Keys<'_>) -> Result<Vec<Required>, Box<RuleError>> {
    let mut all = Vec::new();
    for table in keys.tables("required")? {
        let mut inner = keys.inner(table);
        let Some(id) = inner.string("id")? else {
            return Err(inner.error("required.id", "missing", "name the other rule"));
        };
        let mut far = |key| inner.size(key).map(|size| size.and_then(|size| u64::try_from(size).ok()));
        all.push(Required { id, lines: far("withinLines")?, columns: far("withinColumns")? });
        inner.finish(&mut keys.warnings);
    }
    Ok(all)
}

/// Both spellings: `[allowlist]` and `[[allowlists]]`.
fn allowlists(keys: &mut Keys<'_>) -> Result<Vec<Allowlist>, Box<RuleError>> {
    let mut tables = keys.tables("allowlists")?;
    tables.extend(keys.table("allowlist")?);
    let mut lists = Vec::new();
    for table in tables {
        let mut inner = keys.inner(table);
        inner.ignore(&["description"]);
        let condition = match inner.string("condition")?.map(|text| text.to_ascii_uppercase()).as_deref() {
            None | Some("" | "OR" | "||") => Condition::Or,
            Some("AND" | "&&") => Condition::And,
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
            commits: inner.strings("commits")?.iter().map(|id| id.to_ascii_lowercase()).collect(),
            target_rules: inner.strings("targetRules")?,
        };
        let everything = |pattern: &&Pattern| pattern.matches(b"") && pattern.matches(b"\0any text");
        if keys.trust == Trust::User && list.regexes.iter().chain(&list.paths).any(|p| everything(&p)) {
            inner.warn("allowlist", "a pattern matches everything, which switches its rules off");
        }
        inner.finish(&mut keys.warnings);
        lists.push(list);
    }
    Ok(lists)
}
