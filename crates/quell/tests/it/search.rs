//! Looks for values in whatever a value could leak into, in every spelling that programs commonly give it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::world::files_below;

/// Values that must be found nowhere, with the spellings that are looked for.
#[derive(Default)]
pub(crate) struct Planted {
    forms: Vec<(String, Vec<u8>)>,
    /// Made at the first search.
    all: OnceLock<AhoCorasick>,
}

impl Planted {
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        assert!(value.len() >= 8, "{name} is too short to be looked for");
        self.all = OnceLock::new();
        let mut add = |how: &str, form: Vec<u8>| self.forms.push((format!("{name}, {how}"), form));
        add("as it is", value.to_vec());
        if value.len() >= 20 {
            add("its begin", value[..14].to_vec());
            add("its end", value[value.len() - 14..].to_vec());
        }
        add("hex", hex::encode(value).into_bytes());
        add("upper-case hex", hex::encode_upper(value).into_bytes());
        let all = value.iter().flat_map(|c| ["%".to_owned(), hex::encode([*c])]).collect::<String>();
        add("all percent-encoded", all.clone().into_bytes());
        add("all percent-encoded, upper case", all.to_uppercase().into_bytes());
        let some: String = value
            .iter()
            .map(|c| if c.is_ascii_alphanumeric() { char::from(*c).to_string() } else { format!("%{c:02X}") })
            .collect();
        add("percent-encoded", some.into_bytes());
        let json = serde_json::to_string(&String::from_utf8_lossy(value)).unwrap();
        add("JSON", json.trim_matches('"').as_bytes().to_vec());
        let numbers = value.iter().map(u8::to_string).collect::<Vec<_>>();
        add("list of numbers", numbers.join(",").into_bytes());
        add("spaced list of numbers", numbers.join(", ").into_bytes());
        for shift in 0..3 {
            let shifted = [&[0; 3][..shift], value].concat();
            // Characters that mix bits of the neighbours are left out.
            let whole = (shift * 8).div_ceil(6)..(shifted.len() * 8) / 6;
            for (how, engine) in [("base64", STANDARD_NO_PAD), ("base64url", URL_SAFE_NO_PAD)] {
                let text = engine.encode(&shifted).into_bytes();
                add(&format!("{how} at {shift}"), text[whole.clone()].to_vec());
            }
        }
    }

    /// Which values are in these bytes, and how.
    pub(crate) fn in_bytes(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let all = self.all.get_or_init(|| AhoCorasick::new(self.forms.iter().map(|(_, form)| form)).unwrap());
        let found: BTreeSet<usize> =
            all.find_overlapping_iter(bytes).map(|found| found.pattern().as_usize()).collect();
        found.into_iter().map(|at| format!("{}, is in {place}", self.forms[at].0)).collect()
    }

    /// Which values are in the files below a folder, or in their names.
    pub(crate) fn in_folder(&self, folder: &Path) -> Vec<String> {
        let files = files_below(folder);
        assert!(!files.is_empty(), "{} is empty", folder.display());
        let look = |path: &std::path::PathBuf| {
            let place = path.display().to_string();
            let mut found = self.in_bytes(&place, &std::fs::read(path).unwrap());
            found.extend(self.in_bytes("the name of a file", place.as_bytes()));
            found
        };
        files.iter().flat_map(look).collect()
    }
}

/// Reads the arguments and the environment of a process and its children, again and again.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<Vec<u8>>>,
}

impl Sampler {
    pub(crate) fn of(root: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                for pid in family(root) {
                    for file in ["cmdline", "environ"] {
                        seen.extend(std::fs::read(format!("/proc/{pid}/{file}")).ok());
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            seen
        });
        Self { stop, thread }
    }

    /// Everything that was seen, once each.
    pub(crate) fn finish(self) -> BTreeSet<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A process and all its descendants that live now.
fn family(root: u32) -> BTreeSet<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name is in parentheses and may hold anything; behind it come state and parent.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (pid, parent)));
    }
    let mut family = BTreeSet::from([root]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| family.contains(parent) && !family.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}

/// The searcher finds what it is there to find; without this, a broken one would pass every test.
#[test]
fn every_spelling_of_a_planted_value_is_found() {
    let value = b"p@ss/word+\"canary\"-7f3Kq9";
    let mut planted = Planted::default();
    planted.add("canary", value);
    let engine = base64::engine::general_purpose::STANDARD;
    let spellings = [
        String::from_utf8_lossy(value).into_owned(),
        hex::encode(value),
        hex::encode_upper(value),
        engine.encode(value),
        engine.encode([b"x:", value.as_slice()].concat()),
        engine.encode([b"user:", value.as_slice(), b"@host"].concat()),
        URL_SAFE_NO_PAD.encode([b"u".as_slice(), value].concat()),
        "p%40ss%2Fword%2B%22canary%22%2D7f3Kq9".to_owned(),
        "p@ss/word+\\\"canary\\\"-7f3Kq9".to_owned(),
        format!("{value:?}"),
        "begins p@ss/word+\"can and is cut".to_owned(),
    ];
    for spelling in spellings {
        assert_ne!(planted.in_bytes("a text", format!("x {spelling} y").as_bytes()), [""; 0], "{spelling}");
    }
    assert_eq!(planted.in_bytes("a text", b"p@ss/word and canary are words"), [""; 0]);
}

#[test]
fn a_value_in_the_arguments_of_a_grandchild_is_sampled() {
    let script = "sh -c 'sleep 1; true' grandchild-canary-5512 & wait";
    let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
    let sampler = Sampler::of(child.id());
    child.wait().unwrap();
    let mut planted = Planted::default();
    planted.add("argument", b"grandchild-canary-5512");
    let seen = sampler.finish();
    assert!(
        seen.iter().filter(|bytes| !planted.in_bytes("/proc", bytes).is_empty()).count() >= 2,
        "{seen:?}"
    );
}
