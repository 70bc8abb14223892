//! The result of an engine: JSON lines, or CSV with a header, with the columns `object`, `place` and `record`.

use std::collections::BTreeSet;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Engine, Source};
use crate::format::{self, Format, Spot, cloudtrail, vault};
use crate::hint::Hints;
use crate::hunt::{Followed, Hunt, sort};
use crate::needle::Needles;
use crate::object::Coverage;
use crate::record::Access;

/// Why a result cannot be taken for one: half of it would be taken for all.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// A row that is no row.
    #[error("row {row} of the result cannot be read: {why}")]
    Row {
        /// From 1, without the header.
        row: u64,
        /// What is wrong.
        why: String,
    },
    /// Not the columns of our query.
    #[error("the result has no column `{0}`: it is not that of a query of `quell hunt query`")]
    Column(&'static str),
    /// A record without any of the ids.
    #[error("row {0} of the result has none of the ids in it: it is the answer to another question")]
    Foreign(u64),
}

/// What an engine was asked, and who it is.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The engine.
    pub engine: Engine,
    /// Its id of the run.
    pub query_id: &'a str,
    /// The query's text.
    pub query: Option<&'a [u8]>,
    /// Where the logs lie; cut off from the names of objects, which are then those that a hunt of our own shows.
    pub location: &'a str,
    /// The ids that were asked for.
    pub needles: &'a Needles,
    /// What the logs do not say of themselves.
    pub hints: &'a Hints,
    /// The result.
    pub rows: &'a [u8],
}

#[derive(Deserialize)]
struct Row {
    object: String,
    #[serde(deserialize_with = "number")]
    place: u64,
    record: String,
}

/// Some engines write numbers of 64 bits as text.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// Reads a result as a hunt. What the engine looked at is not known: that is said in [`Hunt::missing`].
///
/// # Errors
/// When the result is not whole, or not of this question.
pub fn read(answer: &Answer<'_>) -> Result<Hunt, RowsError> {
    let rows = parse(answer.rows)?;
    let mut accesses: Vec<Access> = Vec::new();
    let mut unparsed = 0;
    let prefix = format!("{}/", answer.location.trim_end_matches('/'));
    for (row, number) in rows.iter().zip(1_u64..) {
        let object = row.object.strip_prefix(&prefix).unwrap_or(&row.object);
        unparsed += self::row(answer, row, object, number, &mut accesses)?;
    }
    vault::pair(&mut accesses);
    let searched: BTreeSet<String> =
        answer.needles.list().iter().map(|needle| needle.label.clone()).collect();
    let mut followed: Vec<Followed> = Vec::new();
    for access in &accesses {
        for made in access.made.iter().filter(|made| made.kind.is_credential()) {
            if !followed.iter().any(|known| known.id == made.id) {
                followed.push(Followed {
                    id: made.id.clone(),
                    kind: made.kind,
                    made_with: access.credential.clone(),
                    at: access.time,
                    uses: 0,
                });
            }
        }
    }
    sort(&mut accesses, &mut followed);
    let closed = followed.iter().all(|one| searched.contains(&one.id));
    let times = || accesses.iter().filter_map(|access| access.time);
    let source = Source {
        engine: answer.engine,
        query_id: answer.query_id.to_owned(),
        query_sha256: answer.query.map(|text| hex::encode(Sha256::digest(text))),
        rows_sha256: hex::encode(Sha256::digest(answer.rows)),
        rows: rows.len() as u64,
    };
    let missing = vec![format!(
        "{} searched these logs (query {}): which objects it read, and whether to their end, is not known here",
        source.engine.word(),
        source.query_id
    )];
    Ok(Hunt {
        span: times().min().zip(times().max()),
        accesses,
        followed,
        searched,
        coverage: Coverage { unparsed, ..Coverage::default() },
        passes: 1,
        closed,
        missing,
        source: Some(source),
        ..Hunt::default()
    })
}

/// The records of a row; how many of them nobody could read.
fn row(
    answer: &Answer<'_>,
    row: &Row,
    object: &str,
    number: u64,
    accesses: &mut Vec<Access>,
) -> Result<u64, RowsError> {
    let bytes = row.record.as_bytes();
    let labels = answer.needles.labels(bytes);
    if labels.is_empty() {
        return Err(RowsError::Foreign(number));
    }
    let mut unparsed = 0;
    let is_event = memchr::memmem::find(bytes, b"\"eventVersion\"").is_some();
    let format = if is_event { Format::Cloudtrail } else { Format::detect(bytes).unwrap_or(Format::Text) };
    for credential in labels {
        let spot = Spot { object, place: row.place, bytes, credential };
        let read = if is_event {
            cloudtrail::record(spot, answer.needles).map(Some)
        } else {
            format::line(format, spot, answer.needles, answer.hints)
        };
        match read {
            Ok(access) => accesses.extend(access),
            Err(why) => {
                unparsed += 1;
                accesses.push(format::unparsed(format, spot, &why));
            }
        }
    }
    Ok(unparsed)
}

fn parse(rows: &[u8]) -> Result<Vec<Row>, RowsError> {
    let first = rows.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') { json(rows) } else { csv(rows) }
}

fn json(rows: &[u8]) -> Result<Vec<Row>, RowsError> {
    let lines = rows.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let wrong = |row, error: serde_json::Error| RowsError::Row { row, why: error.to_string() };
    lines
        .zip(1..)
        .map(|(line, row)| serde_json::from_slice(line).map_err(|error| wrong(row, error)))
        .collect()
}

fn csv(rows: &[u8]) -> Result<Vec<Row>, RowsError> {
    let mut reader = csv::ReaderBuilder::new().from_reader(rows);
    let wrong = |row, error: csv::Error| RowsError::Row { row, why: error.to_string() };
    let header = reader.headers().map_err(|error| wrong(0, error))?.clone();
    for column in ["object", "place", "record"] {
        if !header.iter().any(|name| name == column) {
            return Err(RowsError::Column(column));
        }
    }
    let all = reader.deserialize::<Row>().zip(1..);
    all.map(|(read, row)| read.map_err(|error| wrong(row, error))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::needle::Needle;
    use crate::record::Role;

    const LEAKED: &str = "AKIAEXAMPLELEAKED001";

    fn record(name: &str, made: &str) -> String {
        format!(
            r#"{{"eventVersion":"1.08","userIdentity":{{"accessKeyId":"{LEAKED}"}},"eventTime":"2026-03-02T10:00:00Z","eventSource":"iam.amazonaws.com","eventName":"{name}","sourceIPAddress":"203.0.113.9"{made}}}"#
        )
    }

    fn ask(rows: &str) -> Result<Hunt, RowsError> {
        let needles = Needles::new(vec![Needle::id(LEAKED).unwrap()]).unwrap();
        read(&Answer {
            engine: Engine::Athena,
            query_id: "q-1",
            query: Some(b"SELECT"),
            location: "s3://logs",
            needles: &needles,
            hints: &Hints::default(),
            rows: rows.as_bytes(),
        })
    }

    #[test]
    fn csv_and_json_lines_give_the_same_records() {
        let text = record("GetUser", "");
        let csv = format!(
            "\"object\",\"place\",\"record\"\n\"s3://logs/a.json.gz\",\"2\",\"{}\"\n",
            text.replace('"', "\"\"")
        );
        let json =
            serde_json::json!({"object": "s3://logs/a.json.gz", "place": 2, "record": text}).to_string();
        let (csv, json) = (ask(&csv).unwrap(), ask(&json).unwrap());
        assert_eq!(csv.accesses, json.accesses);
        let [one] = csv.accesses.as_slice() else { panic!("{:?}", csv.accesses) };
        assert_eq!((one.object.as_str(), one.place, one.role), ("a.json.gz", 2, Role::Used));
        assert_eq!(one.action, "iam:GetUser");
        assert!(csv.closed && csv.missing[0].contains("query q-1"));
        assert_eq!(csv.source.unwrap().rows, 1);
    }

    #[test]
    fn what_was_made_is_to_be_asked_for_next() {
        let made = r#","responseElements":{"accessKey":{"accessKeyId":"AKIAEXAMPLEBACKDOOR3"}}"#;
        let row = serde_json::json!({"object": "a", "place": "1", "record": record("CreateAccessKey", made)});
        let found = ask(&row.to_string()).unwrap();
        assert!(!found.closed);
        assert_eq!(found.followed[0].id, "AKIAEXAMPLEBACKDOOR3");
    }

    #[test]
    fn what_is_no_whole_result_of_this_question_is_refused() {
        let row = serde_json::json!({"object": "a", "place": 1, "record": record("GetUser", "")}).to_string();
        let cut = row.split_at(row.len() / 2).0;
        assert!(matches!(ask(&format!("{row}\n{cut}")), Err(RowsError::Row { row: 2, .. })));
        let other = row.replace(LEAKED, "AKIAEXAMPLEANOTHER01");
        assert!(matches!(ask(&format!("{row}\n{other}")), Err(RowsError::Foreign(2))));
        assert!(matches!(ask("object,record\na,b\n"), Err(RowsError::Column("place"))));
        assert!(matches!(ask("object,place,record\na,b\n"), Err(RowsError::Row { row: 1, .. })));
        assert!(matches!(ask("object,place,record\na,-1,b\n"), Err(RowsError::Row { row: 1, .. })));
        assert!(ask("object,place,record\n").unwrap().accesses.is_empty());
    }
}
