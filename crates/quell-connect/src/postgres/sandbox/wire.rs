//! Messages of the frontend/backend protocol 3.0, as far as the sandbox speaks it.
//!
//! Source: PostgreSQL 15 documentation, 55.2 "Message Flow", 55.3 "SASL Authentication", 55.7 "Message Formats" and
//! 55.8 "Error and Notice Message Fields" (read 2026-11).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Larger messages are refused; ours are a few hundred bytes.
const MESSAGE_MAX: usize = 1 << 20;
/// PostgreSQL's own limit, `MAX_STARTUP_PACKET_LENGTH`.
const STARTUP_MAX: usize = 10_000;
const VERSION_3_0: i32 = 196_608;
const CANCEL: i32 = 80_877_102;
const SSL: i32 = 80_877_103;
const GSS_ENCRYPTION: i32 = 80_877_104;
/// The type `text`.
const TEXT_OID: i32 = 25;

/// The first message of a connection.
#[derive(Debug)]
pub(super) enum Opening {
    /// Asks for encryption; the answer is `N`.
    Encryption,
    Cancel,
    Startup {
        user: String,
        database: String,
    },
}

/// A server's error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ServerError {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The C function that a real server names.
    pub(super) routine: &'static str,
}

impl ServerError {
    pub(super) fn new(code: &'static str, message: impl Into<String>, routine: &'static str) -> Self {
        Self { code, message: message.into(), routine }
    }

    /// `ErrorResponse`.
    pub(super) fn message(&self, severity: &str) -> Vec<u8> {
        let mut body = Vec::new();
        let fields = [
            (b'S', severity),
            (b'V', severity),
            (b'C', self.code),
            (b'M', &self.message),
            (b'R', self.routine),
        ];
        for (kind, text) in fields {
            body.push(kind);
            put_text(&mut body, text);
        }
        body.push(0);
        message(b'E', &body)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads the first message.
pub(super) async fn read_opening(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Opening> {
    let body = read_body(from, STARTUP_MAX).await?;
    let (code, rest) = body.split_first_chunk::<4>().ok_or_else(|| bad("short startup message"))?;
    match i32::from_be_bytes(*code) {
        SSL | GSS_ENCRYPTION => Ok(Opening::Encryption),
        CANCEL => Ok(Opening::Cancel),
        VERSION_3_0 => {
            let mut texts =
                rest.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
            let (mut user, mut database) = (String::new(), String::new());
            while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
                match name.as_str() {
                    "user" => user = value,
                    "database" => database = value,
                    _ => {}
                }
            }
            if database.is_empty() {
                database.clone_from(&user);
            }
            Ok(Opening::Startup { user, database })
        }
        _ => Err(bad("unknown protocol")),
    }
}

/// Reads one later message: its kind and body.
pub(super) async fn read_message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await?;
    Ok((kind, read_body(from, MESSAGE_MAX).await?))
}

async fn read_body(from: &mut (impl AsyncRead + Unpin), max: usize) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await?).map_err(|_e| bad("negative length"))?;
    let length = length.checked_sub(4).filter(|n| *n <= max).ok_or_else(|| bad("length out of bounds"))?;
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(body)
}

/// Text that ends at the first zero byte.
pub(super) fn text(body: &[u8]) -> String {
    let end = body.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(end).into_owned()
}

/// The data of `SASLInitialResponse` for SCRAM-SHA-256.
pub(super) fn sasl_initial(body: &[u8]) -> Option<String> {
    let rest = body.strip_prefix(b"SCRAM-SHA-256\0")?;
    let (_length, data) = rest.split_first_chunk::<4>()?;
    String::from_utf8(data.to_vec()).ok()
}

/// An `Authentication…` message.
pub(super) fn authentication(code: i32, data: &[u8]) -> Vec<u8> {
    let mut body = code.to_be_bytes().to_vec();
    body.extend_from_slice(data);
    message(b'R', &body)
}

/// `ParameterStatus`.
pub(super) fn parameter(name: &str, value: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, name);
    put_text(&mut body, value);
    message(b'S', &body)
}

/// `BackendKeyData`.
pub(super) fn key_data(pid: i32) -> Vec<u8> {
    let mut body = pid.to_be_bytes().to_vec();
    body.extend_from_slice(&[0; 4]);
    message(b'K', &body)
}

/// `ReadyForQuery`, outside a transaction.
pub(super) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// `CommandComplete`.
pub(super) fn complete(tag: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, tag);
    message(b'C', &body)
}

/// `RowDescription` and `DataRow`s; every column is text.
pub(super) fn rows(columns: usize, rows: &[Vec<Option<String>>]) -> Vec<u8> {
    let mut body = Vec::new();
    put_count(&mut body, columns);
    for _ in 0..columns {
        put_text(&mut body, "?column?");
        body.extend_from_slice(&0_i32.to_be_bytes());
        body.extend_from_slice(&0_i16.to_be_bytes());
        body.extend_from_slice(&TEXT_OID.to_be_bytes());
        body.extend_from_slice(&(-1_i16).to_be_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        body.extend_from_slice(&0_i16.to_be_bytes());
    }
    let mut bytes = message(b'T', &body);
    for row in rows {
        body.clear();
        put_count(&mut body, row.len());
        for cell in row {
            match cell {
                Some(text) => {
                    body.extend_from_slice(&i32::try_from(text.len()).unwrap_or(i32::MAX).to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
                None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
        }
        bytes.extend_from_slice(&message(b'D', &body));
    }
    bytes
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&i32::try_from(body.len() + 4).unwrap_or(i32::MAX).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn put_count(body: &mut Vec<u8>, count: usize) {
    body.extend_from_slice(&i16::try_from(count).unwrap_or(i16::MAX).to_be_bytes());
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend(text.bytes().filter(|byte| *byte != 0));
    body.push(0);
}
