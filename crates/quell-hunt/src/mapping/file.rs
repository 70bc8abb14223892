//! TOML to mappings, with the line of whatever is wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use globset::GlobBuilder;
use serde::Deserialize;
use toml::Spanned;

use super::moment::Form;
use super::{BadMapping, Ending, Kind, Map, Place, Words};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    map: Vec<Spanned<RawMap>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMap {
    objects: Spanned<String>,
    kind: RawKind,
    delimiter: Option<Spanned<String>>,
    time: Option<RawTime>,
    #[serde(default)]
    credential: Vec<Spanned<String>>,
    actor: Option<Spanned<String>>,
    action: Option<Spanned<String>>,
    resource: Option<Spanned<String>>,
    address: Option<Spanned<String>>,
    agent: Option<Spanned<String>>,
    request: Option<Spanned<String>>,
    account: Option<Spanned<String>>,
    region: Option<Spanned<String>>,
    outcome: Option<Spanned<RawOutcome>>,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Csv,
    Jsonl,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTime {
    from: Spanned<String>,
    form: Spanned<String>,
    zone: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutcome {
    from: Spanned<String>,
    #[serde(default)]
    http: bool,
    #[serde(default)]
    allowed: Vec<Spanned<String>>,
    #[serde(default)]
    denied: Vec<Spanned<String>>,
    #[serde(default)]
    failed: Vec<Spanned<String>>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Map>, BadMapping> {
    let text = std::str::from_utf8(bytes).map_err(|error| BadMapping {
        line: line(bytes, error.valid_up_to()),
        what: "it is not UTF-8".to_owned(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let wrong =
        |span: Range<usize>, what: String| BadMapping { line: line(text.as_bytes(), span.start), what };
    let file: File = toml::from_str(text)
        .map_err(|error| wrong(error.span().unwrap_or_default(), error.message().to_owned()))?;
    if file.map.is_empty() {
        return Err(wrong(0..0, "there is no `[[map]]` in it".to_owned()));
    }
    file.map.into_iter().map(|raw| map(raw).map_err(|(span, what)| wrong(span, what))).collect()
}

/// The line of a byte, from 1.
fn line(text: &[u8], at: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', text.get(..at).unwrap_or(text)).count()
}

/// What is wrong, and the bytes where.
type Wrong = (Range<usize>, String);

fn map(raw: Spanned<RawMap>) -> Result<Map, Wrong> {
    let whole = raw.span();
    let raw = raw.into_inner();
    let glob = GlobBuilder::new(raw.objects.get_ref()).literal_separator(true).build();
    let glob = glob.map_err(|error| (raw.objects.span(), format!("`objects`: {error}")))?;
    let kind = kind(raw.kind, raw.delimiter)?;
    let place = |text: Option<Spanned<String>>| text.map(|text| place(raw.kind, text)).transpose();
    let map = Map {
        glob: glob.compile_matcher(),
        objects: raw.objects.into_inner(),
        kind,
        time: raw.time.map(|time| moment(raw.kind, time)).transpose()?,
        credential: raw
            .credential
            .into_iter()
            .map(|text| self::place(raw.kind, text))
            .collect::<Result<_, _>>()?,
        actor: place(raw.actor)?,
        action: place(raw.action)?,
        resource: place(raw.resource)?,
        address: place(raw.address)?,
        agent: place(raw.agent)?,
        request: place(raw.request)?,
        account: place(raw.account)?,
        region: place(raw.region)?,
        outcome: raw.outcome.map(|outcome| self::outcome(raw.kind, outcome)).transpose()?,
    };
    if map.credential.is_empty() && map.actor.is_none() {
        let what = "neither `credential` nor `actor` says where a credential that is used would stand";
        return Err((whole, what.to_owned()));
    }
    Ok(map)
}

fn kind(kind: RawKind, delimiter: Option<Spanned<String>>) -> Result<Kind, Wrong> {
    match (kind, delimiter) {
        (RawKind::Jsonl, None) => Ok(Kind::Json),
        (RawKind::Jsonl, Some(text)) => {
            Err((text.span(), "`delimiter` is for `kind = \"csv\"`: lines of JSON have none".to_owned()))
        }
        (RawKind::Csv, None) => Ok(Kind::Csv { delimiter: ',' }),
        (RawKind::Csv, Some(text)) => {
            let mut characters = text.get_ref().chars();
            match (characters.next(), characters.next()) {
                (Some(delimiter), None) if !matches!(delimiter, '"' | '\r' | '\n') => {
                    Ok(Kind::Csv { delimiter })
                }
                _ => Err((
                    text.span(),
                    "`delimiter` is one character, and neither a quote nor a line break".to_owned(),
                )),
            }
        }
    }
}

/// A column as it is called; in JSON, names with dots between, where `\.` is a dot in a name and `\\` a backslash.
fn place(kind: RawKind, text: Spanned<String>) -> Result<Place, Wrong> {
    let span = text.span();
    let text = text.into_inner();
    if text.is_empty() {
        return Err((span, "a name is empty".to_owned()));
    }
    if kind == RawKind::Csv {
        return Ok(Place(vec![text]));
    }
    let mut names = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '.' => {
                names.push(String::new());
                continue;
            }
            '\\' => characters.next().filter(|it| matches!(it, '.' | '\\')).ok_or_else(|| {
                (span.clone(), "a backslash stands only before a dot or a backslash".to_owned())
            })?,
            other => other,
        };
        if let Some(name) = names.last_mut() {
            name.push(character);
        }
    }
    if names.iter().any(String::is_empty) {
        return Err((
            span,
            format!("`{text}` has an empty part; a dot that is part of a name is written `\\.`"),
        ));
    }
    Ok(Place(names))
}

fn moment(kind: RawKind, raw: RawTime) -> Result<(Place, Form), Wrong> {
    let span = raw.form.span();
    let zone = match raw.zone {
        None => None,
        Some(name) => Some(jiff::tz::TimeZone::get(name.get_ref()).map_err(|_error| {
            (
                name.span(),
                format!("there is no zone `{}`; use a name such as UTC or Europe/Berlin", name.get_ref()),
            )
        })?),
    };
    let form = Form::new(raw.form.get_ref(), zone).map_err(|what| (span, what))?;
    Ok((place(kind, raw.from)?, form))
}

fn outcome(kind: RawKind, raw: Spanned<RawOutcome>) -> Result<(Place, Words), Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let mut words = BTreeMap::new();
    for (list, ending) in
        [(raw.allowed, Ending::Allowed), (raw.denied, Ending::Denied), (raw.failed, Ending::Failed)]
    {
        for word in list {
            let at = word.span();
            if words.insert(word.get_ref().clone(), ending).is_some() {
                return Err((at, format!("`{}` stands twice", word.get_ref())));
            }
        }
    }
    let words = match (raw.http, words.is_empty()) {
        (true, true) => Words::Http,
        (false, false) => Words::Named(words),
        (true, false) => return Err((span, "`http` has its own words: leave the lists out".to_owned())),
        (false, true) => {
            let what = "no word says how it ended: give `allowed`, `denied` or `failed`, or `http = true`";
            return Err((span, what.to_owned()));
        }
    };
    Ok((place(kind, raw.from)?, words))
}
