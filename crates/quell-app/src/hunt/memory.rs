//! The file that `--resume` names: what objects gave in a hunt, so that one that was stopped goes on where it was.
//!
//! The first line is JSON: the version of this shape, of the program (its parsers decide what a log says), a salt, and a hash of the
//! question. Each line after it is `KEY CHECKSUM ANSWER`: 64 digits of hex, the first 16 of the SHA-256 of `KEY ANSWER`, and JSON. A line
//! that was torn when the program was killed is the last one and has no end: it is cut off. One that is damaged otherwise is left and
//! counted, and its object is read again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use quell_hunt::hunt::Question;
use quell_hunt::memory::{self, Key, Memory};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{AppError, clock};

/// The version of the shape of the file.
const VERSION: u32 = 1;

/// Answers and milliseconds after which what is kept goes to the file: what a kill may cost.
const ANSWERS: usize = 256;
const PAUSE_MS: i64 = 200;

/// Digits of a key and of a checksum, and the bytes of a line before its answer.
const KEY: usize = 64;
const CHECK: usize = 16;
const BEFORE: usize = KEY + CHECK + 2;

/// A longer head is none.
const MAX_HEAD: u64 = 4096;

/// Answers of objects in a file. Whoever can write to it can change what the next hunt says.
#[derive(Debug)]
pub struct Answers {
    file: File,
    salt: Vec<u8>,
    /// Where the answers of earlier hunts are, and how long.
    known: BTreeMap<Key, (u64, usize)>,
    /// Lines that are damaged.
    damaged: u64,
    recalled: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: Vec<u8>,
    count: usize,
    /// When it was written, in milliseconds.
    written: i64,
    kept: u64,
    failed: Option<std::io::Error>,
}

/// What a file came to.
#[derive(Debug)]
pub struct Told {
    /// Answers that were there already and were used.
    pub recalled: u64,
    /// Answers that were added.
    pub kept: u64,
    /// Lines of earlier hunts that are damaged.
    pub damaged: u64,
    /// Why not all that should have been added was.
    pub failed: Option<std::io::Error>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Head {
    quell_hunt_answers: u32,
    program: String,
    salt: String,
    question: String,
}

impl Answers {
    /// Opens a file, or makes one that only its owner can read.
    ///
    /// # Errors
    /// When it is something else, of another question or of another version: nothing is changed then. Also when others can write to it
    /// or another hunt uses it.
    pub fn open(path: &Path, question: &Question) -> Result<Self, AppError> {
        let io = |source| AppError::Io { path: path.display().to_string(), source };
        let refused = |why: &str| AppError::Usage(format!("`{}` {why}", path.display()));
        // A pipe would be waited for.
        if std::fs::metadata(path).is_ok_and(|it| !it.is_file()) {
            return Err(refused("is not a file: name one, or a path where none is"));
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(path).map_err(io)?;
        if file.metadata().map_err(io)?.mode() & 0o022 != 0 {
            return Err(refused(
                "can be written by others, who could change what the hunt says: chmod 600 it",
            ));
        }
        if file.try_lock().is_err() {
            return Err(refused("is used by another hunt: wait for that, or name another file"));
        }
        let mut answers = Self {
            file,
            salt: Vec::new(),
            known: BTreeMap::new(),
            damaged: 0,
            recalled: AtomicU64::new(0),
            state: Mutex::new(State {
                waiting: Vec::new(),
                count: 0,
                written: clock::now().as_millisecond(),
                kept: 0,
                failed: None,
            }),
        };
        if answers.file.metadata().map_err(io)?.len() == 0 {
            answers.begin(question)?.map_err(io)?;
            return Ok(answers);
        }
        let mut reader = BufReader::new(answers.file.try_clone().map_err(io)?);
        reader.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut line = Vec::new();
        reader.by_ref().take(MAX_HEAD).read_until(b'\n', &mut line).map_err(io)?;
        let head: Head = serde_json::from_slice(&line).map_err(|_error| {
            refused("is no file that --resume made: name it, or a path where no file is")
        })?;
        if head.quell_hunt_answers != VERSION || head.program != env!("CARGO_PKG_VERSION") {
            return Err(refused(
                "was made by another version of quell: name another file, and all is read again",
            ));
        }
        answers.salt = hex::decode(&head.salt).map_err(|_error| refused("has no salt: name another file"))?;
        if memory::fingerprint(question, &answers.salt) != head.question {
            return Err(refused(
                "is of another question (other credentials, --follow or --zone): name another file",
            ));
        }
        answers.load(&mut reader, line.len() as u64).map_err(io)?;
        Ok(answers)
    }

    /// Writes what still waits, and tells what it all came to. The file is kept.
    pub fn finish(self) -> Told {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.write(&self.file);
        if let (None, Err(error)) = (&state.failed, self.file.sync_data()) {
            state.failed = Some(error);
        }
        let recalled = self.recalled.into_inner();
        Told { recalled, kept: state.kept, damaged: self.damaged, failed: state.failed }
    }

    fn begin(&mut self, question: &Question) -> Result<std::io::Result<()>, AppError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)
            .map_err(|error| AppError::Usage(format!("there is no randomness for --resume: {error}")))?;
        self.salt = salt.to_vec();
        let head = Head {
            quell_hunt_answers: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            salt: hex::encode(salt),
            question: memory::fingerprint(question, &salt),
        };
        let mut line = serde_json::to_vec(&head).map_err(|error| AppError::Usage(error.to_string()))?;
        line.push(b'\n');
        Ok((&self.file).write_all(&line))
    }

    /// Learns where each answer is.
    fn load(&mut self, reader: &mut impl std::io::BufRead, mut at: u64) -> std::io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(());
            }
            let Some(whole) = line.strip_suffix(b"\n") else {
                return self.file.set_len(at);
            };
            match parse(whole) {
                Some((key, answer)) => drop(self.known.insert(key, (at, BEFORE + answer.len()))),
                None => self.damaged += 1,
            }
            at += length as u64;
        }
    }
}

impl State {
    fn write(&mut self, mut file: &File) {
        if self.failed.is_none()
            && let Err(error) = file.write_all(&self.waiting)
        {
            self.failed = Some(error);
        }
        if self.failed.is_none() {
            self.kept += self.count as u64;
        }
        self.waiting.clear();
        self.count = 0;
    }
}

impl Memory for Answers {
    fn salt(&self) -> &[u8] {
        &self.salt
    }

    fn recall(&self, key: &Key) -> Option<String> {
        let (at, length) = *self.known.get(key)?;
        let mut line = vec![0; length];
        self.file.read_exact_at(&mut line, at).ok()?;
        let (found, answer) = parse(&line)?;
        let answer = String::from_utf8(answer.to_vec()).ok().filter(|_| found == *key)?;
        self.recalled.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }

    fn keep(&self, key: &Key, text: &str) {
        let key = hex::encode(key);
        let line = format!("{key} {} {text}\n", checksum(key.as_bytes(), text.as_bytes()));
        let now = clock::now().as_millisecond();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.extend_from_slice(line.as_bytes());
        state.count += 1;
        // A clock that was set back must not keep it waiting.
        if state.count >= ANSWERS || now.abs_diff(state.written) >= PAUSE_MS.unsigned_abs() {
            state.write(&self.file);
            state.written = now;
        }
    }
}

/// The key and the answer of a line without its end.
fn parse(line: &[u8]) -> Option<(Key, &[u8])> {
    let (digits, check) = (line.get(..KEY)?, line.get(KEY + 1..KEY + 1 + CHECK)?);
    let spaced = line.get(KEY) == Some(&b' ') && line.get(BEFORE - 1) == Some(&b' ');
    let answer = line.get(BEFORE..)?;
    let mut key = Key::default();
    hex::decode_to_slice(digits, &mut key).ok()?;
    (spaced && checksum(digits, answer).as_bytes() == check).then_some((key, answer))
}

fn checksum(key: &[u8], answer: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(b" ");
    hash.update(answer);
    hex::encode(hash.finalize()).chars().take(CHECK).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::path::PathBuf;

    use quell_core::secret::SecretValue;
    use quell_hunt::hint::Hints;
    use quell_hunt::needle::Needle;

    use super::*;

    fn question(value: &str) -> Question {
        Question {
            requests: std::collections::BTreeSet::new(),
            needles: Needle::value("the value", &SecretValue::from_text(value.to_owned())).unwrap(),
            from: None,
            to: None,
            accounts: Vec::new(),
            regions: Vec::new(),
            shard: None,
            follow: Vec::new(),
            digest_keys: None,
            hints: Hints::default(),
            hash: false,
            threads: NonZero::<usize>::MIN,
        }
    }

    /// A folder, and a file in it with two answers.
    fn made() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers");
        let answers = Answers::open(&path, &question("of-nobody-77")).unwrap();
        answers.keep(&[1; 32], "{\"one\":1}");
        answers.keep(&[2; 32], "{\"two\":2}");
        assert_eq!(answers.recall(&[1; 32]), None, "only what earlier hunts kept is recalled");
        assert_eq!(answers.finish().kept, 2);
        (folder, path)
    }

    fn recalled(path: &Path) -> ([Option<String>; 2], u64) {
        let answers = Answers::open(path, &question("of-nobody-77")).unwrap();
        ([1, 2].map(|key| answers.recall(&[key; 32])), answers.finish().damaged)
    }

    #[test]
    fn what_was_kept_is_recalled_and_only_its_owner_can_read_it() {
        let (_folder, path) = made();
        assert_eq!(recalled(&path), ([Some("{\"one\":1}".into()), Some("{\"two\":2}".into())], 0));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_was_torn_anywhere_is_cut_off_and_written_again() {
        let (_folder, path) = made();
        let whole = std::fs::read(&path).unwrap();
        let last = whole.len() - whole.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap() - 1;
        for end in last + 1..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(recalled(&path), ([Some("{\"one\":1}".into()), None], 0), "cut at {end}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), last as u64);
        }
        let answers = Answers::open(&path, &question("of-nobody-77")).unwrap();
        answers.keep(&[2; 32], "{\"two\":2}");
        drop(answers.finish());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_garbled_line_is_counted_and_not_believed() {
        let (_folder, path) = made();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"one\":1", "\"one\":9")).unwrap();
        assert_eq!(recalled(&path), ([None, Some("{\"two\":2}".into())], 1));
    }

    #[test]
    fn files_of_others_are_refused_and_stay_as_they_are() {
        let (folder, path) = made();
        let whole = std::fs::read_to_string(&path).unwrap();
        let refused = |content: &str, value: &str| {
            std::fs::write(&path, content).unwrap();
            let error = Answers::open(&path, &question(value)).unwrap_err().to_string();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            error
        };
        assert!(refused(&whole, "of-nobody-78").contains("another question"));
        assert!(refused("notes\n", "of-nobody-77").contains("no file that --resume made"));
        let newer = whole.replacen("answers\":1", "answers\":2", 1);
        assert!(refused(&newer, "of-nobody-77").contains("another version"));
        assert!(Answers::open(folder.path(), &question("of-nobody-77")).is_err());
        std::fs::write(&path, &whole).unwrap();
        let first = Answers::open(&path, &question("of-nobody-77")).unwrap();
        let second = Answers::open(&path, &question("of-nobody-77")).unwrap_err().to_string();
        assert!(second.contains("another hunt"), "{second}");
        drop(first);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let open = Answers::open(&path, &question("of-nobody-77")).unwrap_err().to_string();
        assert!(open.contains("chmod 600"), "{open}");
    }
}
