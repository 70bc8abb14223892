//! The text of a query, with all that it names quoted for the engine.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Engine, Layout, Query};
use crate::layout::Delivery;

/// Why there is no query.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// A text that could end the literal that it is put into.
    #[error("`{what}` has a character that cannot stand in a query: {text:?}")]
    Text {
        /// What it is.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// Nothing to look for.
    #[error("nothing to look for: give --id")]
    Nothing,
    /// Partitions cannot be known without.
    #[error("Athena needs to know the folders: give --account, --region, --from and --to")]
    Folders,
    /// The engine cannot read there.
    #[error("{engine} reads {wanted}, not `{location}`")]
    Location {
        /// The engine.
        engine: &'static str,
        /// What it reads.
        wanted: &'static str,
        /// What was given.
        location: String,
    },
}

/// Writes the query, with the statement that makes its table before it where there is one. Its result has the columns `object`, `place`
/// and `record`.
///
/// # Errors
/// When the engine cannot be asked that.
pub fn write(query: &Query) -> Result<String, QueryError> {
    if query.ids.is_empty() {
        return Err(QueryError::Nothing);
    }
    let lists = [("--id", &query.ids), ("--account", &query.accounts), ("--region", &query.regions)];
    for (what, list) in lists {
        for text in list {
            plain(what, text)?;
        }
    }
    plain("--logs", &query.location)?;
    let location = query.location.trim_end_matches('/');
    let word = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    if query.table.is_empty() || !word(&query.table) {
        return Err(QueryError::Text { what: "--table", text: query.table.clone() });
    }
    let scheme = |wanted: &'static str, schemes: &[&str]| {
        if schemes.iter().any(|scheme| location.starts_with(scheme)) {
            return Ok(());
        }
        Err(QueryError::Location { engine: query.engine.word(), wanted, location: location.to_owned() })
    };
    match query.engine {
        Engine::Athena => {
            scheme("s3://BUCKET/FOLDER", &["s3://"])?;
            athena(query, location)
        }
        Engine::Bigquery => {
            scheme("gs://BUCKET/FOLDER", &["gs://"])?;
            Ok(bigquery(query, location))
        }
        Engine::Clickhouse => Ok(clickhouse(query, location)),
        Engine::Trino => {
            scheme("s3://BUCKET/FOLDER", &["s3://", "s3a://", "gs://", "abfs://", "abfss://"])?;
            Ok(trino(query, location))
        }
    }
}

/// Engines differ in what a backslash in a literal is: none may stand there, nor anything that is not shown.
fn plain(what: &'static str, text: &str) -> Result<(), QueryError> {
    if text.is_empty() || text.contains(['\\', '`']) || text.chars().any(char::is_control) {
        return Err(QueryError::Text { what, text: text.to_owned() });
    }
    Ok(())
}

/// A literal of standard SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A literal for engines that know no doubled quote.
fn escaped(text: &str) -> String {
    format!("'{}'", text.replace('\'', "\\'"))
}

fn list(texts: &[String], quote: fn(&str) -> String) -> String {
    texts.iter().map(|text| quote(text)).collect::<Vec<String>>().join(", ")
}

/// Days of delivery that may hold events of the window, as CloudTrail's folders are named.
fn days(query: &Query) -> (Option<String>, Option<String>) {
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
    let from = query.from.and_then(|at| at.checked_sub(Delivery::EARLY).ok()).map(day);
    let to = query.to.and_then(|at| at.checked_add(Delivery::LATE).ok()).map(day);
    (from, to)
}

/// Conditions on the names of CloudTrail's objects; `part` gives an expression for a group of a regular expression over the name.
fn folders(query: &Query, quote: fn(&str) -> String, part: &dyn Fn(&str) -> String) -> String {
    let mut out = String::new();
    if query.layout == Layout::Lines {
        return out;
    }
    let (from, to) = days(query);
    let file = |group: &str| part(&format!("([0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}})/[^/]*{group}$"));
    for (sign, day) in [(">=", from), ("<=", to)] {
        if let Some(day) = day {
            let _infallible = write!(out, "\n  AND {} {sign} {}", file(""), quote(&day));
        }
    }
    let own = [
        ("([0-9]{12})_CloudTrail_[^/]*$", &query.accounts),
        ("_CloudTrail_([a-z0-9-]+)_[^/]*$", &query.regions),
    ];
    for (group, texts) in own {
        if !texts.is_empty() {
            let _infallible = write!(out, "\n  AND {} IN ({})", part(group), list(texts, quote));
        }
    }
    out
}

fn any(query: &Query, quote: fn(&str) -> String, test: &dyn Fn(&str) -> String) -> String {
    let all: Vec<String> = query.ids.iter().map(|id| test(&quote(id))).collect();
    format!("({})", all.join(" OR "))
}

/// Partitions by projection: nothing has to be loaded, and only the folders of the window are listed and paid for.
fn athena(query: &Query, location: &str) -> Result<String, QueryError> {
    let table = &query.table;
    if query.layout == Layout::Lines {
        let make = format!(
            "CREATE EXTERNAL TABLE IF NOT EXISTS {table} (line string)\nSTORED AS TEXTFILE\nLOCATION {};\n\n",
            quoted(&format!("{location}/"))
        );
        return Ok(make + &lines(query, "\"$path\""));
    }
    let (Some(from), Some(to)) = days(query) else { return Err(QueryError::Folders) };
    if query.accounts.is_empty() || query.regions.is_empty() {
        return Err(QueryError::Folders);
    }
    let folder = format!("{location}/AWSLogs/${{account}}/CloudTrail/${{region}}/${{day}}");
    let properties = [
        ("projection.enabled", "true".to_owned()),
        ("projection.account.type", "enum".to_owned()),
        ("projection.account.values", query.accounts.join(",")),
        ("projection.region.type", "enum".to_owned()),
        ("projection.region.values", query.regions.join(",")),
        ("projection.day.type", "date".to_owned()),
        ("projection.day.format", "yyyy/MM/dd".to_owned()),
        ("projection.day.range", format!("{from},{to}")),
        ("projection.day.interval", "1".to_owned()),
        ("projection.day.interval.unit", "DAYS".to_owned()),
        ("storage.location.template", folder),
    ];
    let properties: Vec<String> =
        properties.iter().map(|(name, value)| format!("  {} = {}", quoted(name), quoted(value))).collect();
    let id = any(query, quoted, &|id| format!("strpos(line, {id}) > 0"));
    let own = any(query, quoted, &|id| format!("strpos(json_format(record), {id}) > 0"));
    Ok(format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {table} (line string)\nPARTITIONED BY (account string, region string, day string)\n\
         STORED AS TEXTFILE\nLOCATION {}\nTBLPROPERTIES (\n{}\n);\n\n\
         SELECT \"$path\" AS object, place, json_format(record) AS record\nFROM {table}\n\
         CROSS JOIN UNNEST(CAST(json_extract(line, '$.Records') AS array(json))) WITH ORDINALITY AS t (record, place)\n\
         WHERE account IN ({})\n  AND region IN ({})\n  AND day BETWEEN {} AND {}\n  AND {id}\n  AND {own};\n",
        quoted(&format!("{location}/AWSLogs/")),
        properties.join(",\n"),
        list(&query.accounts, quoted),
        list(&query.regions, quoted),
        quoted(&from),
        quoted(&to),
    ))
}

/// Lines of text, for Athena and Trino.
fn lines(query: &Query, path: &str) -> String {
    let id = any(query, quoted, &|id| format!("strpos(line, {id}) > 0"));
    format!("SELECT {path} AS object, 0 AS place, line AS record\nFROM {}\nWHERE {id};\n", query.table)
}

fn trino(query: &Query, location: &str) -> String {
    let table = &query.table;
    let make = format!(
        "-- Subfolders are read with hive.recursive-directories=true in the catalog's properties; without it nothing is found.\n\
         CREATE TABLE IF NOT EXISTS {table} (line varchar)\nWITH (format = 'TEXTFILE', external_location = {});\n\n",
        quoted(&format!("{location}/"))
    );
    if query.layout == Layout::Lines {
        return make + &lines(query, "\"$path\"");
    }
    let id = any(query, quoted, &|id| format!("strpos(line, {id}) > 0"));
    let own = any(query, quoted, &|id| format!("strpos(json_format(record), {id}) > 0"));
    let folders = folders(query, quoted, &|regex| format!("regexp_extract(\"$path\", {}, 1)", quoted(regex)));
    format!(
        "{make}SELECT \"$path\" AS object, place, json_format(record) AS record\nFROM {table}\n\
         CROSS JOIN UNNEST(CAST(json_extract(line, '$.Records') AS array(json))) WITH ORDINALITY AS t (record, place)\n\
         WHERE {id}\n  AND {own}{folders};\n"
    )
}

/// Files as lines: one column, whose separator and quote are characters that JSON never has unescaped.
fn bigquery(query: &Query, location: &str) -> String {
    let table = format!("`{}`", query.table);
    let make = format!(
        "CREATE OR REPLACE EXTERNAL TABLE {table} (line STRING)\nOPTIONS (\n  format = 'CSV',\n  uris = [{}],\n  \
         field_delimiter = '\\x01',\n  quote = '',\n  ignore_unknown_values = FALSE,\n  max_bad_records = 0\n);\n\n",
        escaped(&format!("{location}/*"))
    );
    let id = any(query, escaped, &|id| format!("STRPOS(line, {id}) > 0"));
    if query.layout == Layout::Lines {
        return format!(
            "{make}SELECT _FILE_NAME AS object, 0 AS place, line AS record\nFROM {table}\nWHERE {id};\n"
        );
    }
    let own = any(query, escaped, &|id| format!("STRPOS(record, {id}) > 0"));
    let folders =
        folders(query, escaped, &|regex| format!("REGEXP_EXTRACT(_FILE_NAME, r{})", escaped(regex)));
    format!(
        "{make}SELECT _FILE_NAME AS object, offset + 1 AS place, record\nFROM {table},\n  \
         UNNEST(JSON_QUERY_ARRAY(line, '$.Records')) AS record WITH OFFSET AS offset\nWHERE {id}\n  AND {own}{folders};\n"
    )
}

/// No table: the function reads the objects by itself, and the name's conditions are looked at before they are opened.
fn clickhouse(query: &Query, location: &str) -> String {
    let source = |format: &str, column: &str| {
        let (function, pattern) = match location.strip_prefix("gs://") {
            Some(rest) => ("gcs", format!("https://storage.googleapis.com/{rest}/**")),
            None if location.starts_with("s3://") || location.starts_with("https://") => {
                ("s3", format!("{location}/**"))
            }
            None => ("file", format!("{location}/**")),
        };
        format!("{function}({}, '{format}', '{column} String')", escaped(&pattern))
    };
    let ids = list(&query.ids, escaped);
    if query.layout == Layout::Lines {
        return format!(
            "SELECT _path AS object, 0 AS place, line AS record\nFROM {}\nWHERE multiSearchAny(line, [{ids}])\n\
             ORDER BY object, record\nFORMAT JSONEachRow\n",
            source("LineAsString", "line")
        );
    }
    let folders = folders(query, escaped, &|regex| format!("extract(_path, {})", escaped(regex)));
    format!(
        "SELECT object, place, record\nFROM (\n  SELECT _path AS object, JSONExtractArrayRaw(doc, 'Records') AS records\n  \
         FROM {}\n  WHERE multiSearchAny(doc, [{ids}]){folders}\n)\n\
         ARRAY JOIN records AS record, arrayEnumerate(records) AS place\nWHERE multiSearchAny(record, [{ids}])\n\
         ORDER BY object, place\nFORMAT JSONEachRow\n",
        source("RawBLOB", "doc")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(engine: Engine, layout: Layout) -> Query {
        let location = if engine == Engine::Bigquery { "gs://logs/org" } else { "s3://logs/org" };
        Query {
            engine,
            layout,
            location: format!("{location}/"),
            table: "quell_hunt".to_owned(),
            ids: vec!["AKIAEXAMPLELEAKED001".to_owned(), "o'brien-key".to_owned()],
            from: Some("2026-03-02T00:30:00Z".parse().unwrap()),
            to: Some("2026-03-03T12:00:00Z".parse().unwrap()),
            accounts: vec!["111122223333".to_owned()],
            regions: vec!["eu-west-1".to_owned()],
        }
    }

    #[test]
    fn every_engine_is_asked_for_the_ids_within_the_folders_of_the_window() {
        for engine in [Engine::Athena, Engine::Bigquery, Engine::Clickhouse, Engine::Trino] {
            let text = write(&query(engine, Layout::Cloudtrail)).unwrap();
            // The slop of delivery: an hour before, a day after.
            for part in
                ["2026/03/01", "2026/03/04", "111122223333", "eu-west-1", "AKIAEXAMPLELEAKED001", "AS object"]
            {
                assert!(text.contains(part), "{engine:?} lacks {part}: {text}");
            }
            let lines = write(&query(engine, Layout::Lines)).unwrap();
            assert!(lines.contains("line AS record") && !lines.contains("2026/03"), "{lines}");
        }
    }

    #[test]
    fn quotes_stay_within_their_literals() {
        for engine in [Engine::Athena, Engine::Trino] {
            assert!(write(&query(engine, Layout::Lines)).unwrap().contains("'o''brien-key'"));
        }
        for engine in [Engine::Bigquery, Engine::Clickhouse] {
            assert!(write(&query(engine, Layout::Lines)).unwrap().contains("'o\\'brien-key'"));
        }
        for bad in ["a\\' OR 1=1 --", "two\nlines", "", "tick`tick"] {
            let wrong = Query { ids: vec![bad.to_owned()], ..query(Engine::Clickhouse, Layout::Lines) };
            assert!(matches!(write(&wrong), Err(QueryError::Text { .. })), "{bad:?}");
            let wrong = Query { location: format!("s3://{bad}\u{1}"), ..query(Engine::Trino, Layout::Lines) };
            assert!(matches!(write(&wrong), Err(QueryError::Text { .. })), "{bad:?}");
        }
        let wrong = Query { table: "t; DROP TABLE x".to_owned(), ..query(Engine::Trino, Layout::Lines) };
        assert!(matches!(write(&wrong), Err(QueryError::Text { what: "--table", .. })));
    }

    #[test]
    fn what_an_engine_cannot_do_is_said() {
        let open = Query { from: None, ..query(Engine::Athena, Layout::Cloudtrail) };
        assert_eq!(write(&open), Err(QueryError::Folders));
        let none = Query { ids: Vec::new(), ..query(Engine::Athena, Layout::Lines) };
        assert_eq!(write(&none), Err(QueryError::Nothing));
        let elsewhere = Query { location: "/var/log".to_owned(), ..query(Engine::Bigquery, Layout::Lines) };
        assert!(matches!(write(&elsewhere), Err(QueryError::Location { .. })));
        let here = Query { location: "/var/log".to_owned(), ..query(Engine::Clickhouse, Layout::Lines) };
        assert!(write(&here).unwrap().contains("file('/var/log/**', 'LineAsString'"));
    }
}
