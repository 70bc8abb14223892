//! The timeline as Parquet (<https://parquet.apache.org/docs/file-format/>), one row a record, for `DuckDB`, Spark and others.
//!
//! The names are those of the CSV. Texts are as the log has them, escaped by nobody: what reads them shows them. `time` is in
//! microseconds of UTC, and what a log says beyond that is cut. Two files of the same records are the same bytes.

use std::sync::Arc;

use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::parser::parse_message_type;

use crate::record::{Access, Made, Role};

/// Columns and their types (<https://github.com/apache/parquet-format/blob/master/LogicalTypes.md>). What a log need not say is
/// optional; `made` is a list, and empty where nothing was made.
const SCHEMA: &str = "message access {
    optional int64 time (TIMESTAMP(MICROS, true));
    required binary credential (STRING);
    required binary role (STRING);
    required binary action (STRING);
    optional binary resource (STRING);
    optional binary actor (STRING);
    optional binary address (STRING);
    optional binary agent (STRING);
    required binary outcome (STRING);
    optional binary detail (STRING);
    optional boolean reads;
    required group made (LIST) {
        repeated group list {
            required group element {
                required binary kind (STRING);
                required binary id (STRING);
            }
        }
    }
    required binary format (STRING);
    optional binary account (STRING);
    optional binary region (STRING);
    optional binary request (STRING);
    optional int64 bytes (INTEGER(64, false));
    required binary object (STRING);
    required int64 place (INTEGER(64, false));
    required binary sha256 (STRING);
}";

/// Rows that are written together: what a reader can skip, and what the writer holds.
const GROUP: usize = 100_000;

/// What a leaf of the schema is filled from.
enum Column {
    Bytes,
    Made(fn(&Made) -> &str),
    Maybe(fn(&Access) -> Option<&str>),
    Need(fn(&Access) -> &str),
    Place,
    Reads,
    Time,
}

/// In the order of the schema.
const COLUMNS: [Column; 21] = [
    Column::Time,
    Column::Need(|it| &it.credential),
    Column::Need(|it| match it.role {
        Role::Mentioned => "mentioned",
        Role::Used => "used",
    }),
    Column::Need(|it| &it.action),
    Column::Maybe(|it| it.resource.as_deref()),
    Column::Maybe(|it| it.actor.as_deref()),
    Column::Maybe(|it| it.address.as_deref()),
    Column::Maybe(|it| it.agent.as_deref()),
    Column::Need(|it| it.outcome.word()),
    Column::Maybe(|it| it.outcome.detail()),
    Column::Reads,
    Column::Made(|it| it.kind.word()),
    Column::Made(|it| &it.id),
    Column::Need(|it| it.format.word()),
    Column::Maybe(|it| it.account.as_deref()),
    Column::Maybe(|it| it.region.as_deref()),
    Column::Maybe(|it| it.request.as_deref()),
    Column::Bytes,
    Column::Need(|it| &it.object),
    Column::Place,
    Column::Need(|it| &it.sha256),
];

/// Why the records could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the records could not be written as Parquet: {0}")]
pub struct WriteError(#[from] ParquetError);

/// A file with all records.
///
/// # Errors
/// When the schema and what is written do not fit together, or a text is longer than the format can hold.
pub fn file(accesses: &[Access]) -> Result<Vec<u8>, WriteError> {
    Ok(in_groups(accesses, GROUP)?)
}

fn in_groups(accesses: &[Access], rows: usize) -> Result<Vec<u8>, ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let by = format!("quell {}", env!("CARGO_PKG_VERSION"));
    let properties = Arc::new(WriterProperties::builder().set_created_by(by).build());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, properties)?;
    for rows in accesses.chunks(rows) {
        let mut group = writer.next_row_group()?;
        for column in &COLUMNS {
            let missing = || ParquetError::General("the schema has fewer columns".to_owned());
            let mut to = group.next_column()?.ok_or_else(missing)?;
            column.write(&mut to, rows)?;
            to.close()?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(out)
}

impl Column {
    /// Writes the values of some rows. A level of 0 is a value that is not there.
    fn write(&self, to: &mut SerializedColumnWriter<'_>, rows: &[Access]) -> Result<usize, ParquetError> {
        match self {
            Self::Bytes => {
                let values: Vec<i64> =
                    rows.iter().filter_map(|row| row.bytes).map(u64::cast_signed).collect();
                let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.bytes.is_some())).collect();
                to.typed::<Int64Type>().write_batch(&values, Some(&levels), None)
            }
            Self::Made(get) => {
                let all = || rows.iter().flat_map(|row| &row.made);
                let values: Vec<ByteArray> = all().map(|made| ByteArray::from(get(made))).collect();
                let (definition, repetition) = list_levels(rows);
                to.typed::<ByteArrayType>().write_batch(&values, Some(&definition), Some(&repetition))
            }
            Self::Maybe(get) => {
                let values: Vec<ByteArray> = rows.iter().filter_map(get).map(ByteArray::from).collect();
                let levels: Vec<i16> = rows.iter().map(|row| i16::from(get(row).is_some())).collect();
                to.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)
            }
            Self::Need(get) => {
                let values: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(get(row))).collect();
                to.typed::<ByteArrayType>().write_batch(&values, None, None)
            }
            Self::Place => {
                // Unsigned by its logical type: the bits are kept.
                let values: Vec<i64> = rows.iter().map(|row| row.place.cast_signed()).collect();
                to.typed::<Int64Type>().write_batch(&values, None, None)
            }
            Self::Reads => {
                let values: Vec<bool> = rows.iter().filter_map(|row| row.reads).collect();
                let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.reads.is_some())).collect();
                to.typed::<BoolType>().write_batch(&values, Some(&levels), None)
            }
            Self::Time => {
                let times = rows.iter().filter_map(|row| row.time);
                let values: Vec<i64> = times.map(jiff::Timestamp::as_microsecond).collect();
                let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.time.is_some())).collect();
                to.typed::<Int64Type>().write_batch(&values, Some(&levels), None)
            }
        }
    }
}

/// For the list of each row: definition 0 is an empty one, repetition 1 goes on with the one before.
fn list_levels(rows: &[Access]) -> (Vec<i16>, Vec<i16>) {
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    for row in rows {
        for place in 0..row.made.len().max(1) {
            definition.push(i16::from(!row.made.is_empty()));
            repetition.push(i16::from(place > 0));
        }
    }
    (definition, repetition)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;
    use crate::record::Outcome;
    use crate::report::sample::access;

    /// Rows as JSON, and the columns of the file.
    fn read(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
        let (rows, columns, _) = read_all(bytes);
        (rows, columns)
    }

    fn read_all(bytes: &[u8]) -> (Vec<String>, Vec<String>, usize) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let columns = schema.columns().iter().map(|it| it.path().string()).collect();
        let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string());
        (rows.collect(), columns, reader.num_row_groups())
    }

    fn bare(place: u64) -> Access {
        Access {
            time: None,
            actor: None,
            resource: None,
            address: None,
            agent: None,
            request: None,
            account: None,
            region: None,
            reads: None,
            bytes: None,
            made: Vec::new(),
            outcome: Outcome::Unknown,
            place,
            ..access(0, "x")
        }
    }

    #[test]
    fn what_is_written_is_read_again_with_what_is_missing() {
        let hostile = "a\"\u{202e}\u{0}\n=1+1";
        let (rows, columns) = read(&file(&[access(5, hostile), bare(u64::MAX), access(6, "")]).unwrap());
        assert_eq!(columns.len(), COLUMNS.len());
        assert_eq!(columns.first().map(String::as_str), Some("time"));
        let [first, second, third] = rows.as_slice() else { panic!("{rows:?}") };
        assert!(first.contains("time: 2026-03-01 00:05:00.000000 +00:00"), "{first}");
        assert!(first.contains(&format!("resource: \"{hostile}\"")), "{first}");
        assert!(
            first.contains(&format!("made: [{{kind: \"key\", id: \"{hostile}\"}}, {{kind: \"policy\"")),
            "{first}"
        );
        for missing in ["time: null", "actor: null", "detail: null", "reads: null", "made: []", "bytes: null"]
        {
            assert!(second.contains(missing), "{missing} in {second}");
        }
        assert!(second.contains("place: 18446744073709551615"), "{second}");
        assert!(first.contains("bytes: 113"), "{first}");
        // An empty text is not the same as none.
        assert!(third.contains("actor: \"\""), "{third}");
    }

    #[test]
    fn the_names_are_those_of_the_csv() {
        let (_, columns) = read(&file(&[]).unwrap());
        let mut csv = Vec::new();
        crate::report::csv::write(&mut csv, &[], None).unwrap();
        let names: Vec<&str> =
            columns.iter().map(|it| it.split('.').next().unwrap()).filter(|it| *it != "made").collect();
        let header = String::from_utf8(csv).unwrap();
        let header: Vec<&str> = header.trim().split(',').filter(|it| *it != "made").collect();
        assert_eq!(names, header);
    }

    #[test]
    fn many_rows_are_several_groups_and_the_same_bytes_each_time() {
        let all: Vec<Access> = (0..203).map(bare).collect();
        let bytes = in_groups(&all, 100).unwrap();
        assert!(bytes == in_groups(&all, 100).unwrap());
        let (rows, _, groups) = read_all(&bytes);
        assert_eq!((rows.len(), groups), (all.len(), 3));
        assert!(rows.iter().zip(0..).all(|(row, place)| row.contains(&format!("place: {place},"))));
    }
}
