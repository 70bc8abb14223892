//! The targets with a small corpus and a mutator: the same inputs in every run.

use std::io::Write as _;

use super::*;
use crate::rule::template::expand;

const INPUTS: u64 = 20_000;

/// Vigna's splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = at + self.below((bytes.len() - at).min(64));
            match self.below(8) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..end)),
                4 => {
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                5 if bytes.len() >= at + 4 => bytes[at..at + 4].fill([0, 0xff][self.below(2)]),
                6 => {
                    let other = &others[self.below(others.len())];
                    let from = self.below(other.len());
                    bytes.splice(at..end, other[from..].iter().take(100).copied());
                }
                _ => bytes.insert(at, self.next().to_le_bytes()[0]),
            }
        }
        bytes.truncate(8192);
    }
}

/// Gives every seed, then mutations of them, to a target; returns how many inputs differed from all seeds.
fn drive(seeds: &[Vec<u8>], target: fn(&[u8])) -> u64 {
    let mut random = Random(seeds.len() as u64);
    let mut changed = 0;
    for seed in seeds {
        target(seed);
    }
    for _ in 0..INPUTS {
        let mut input = seeds[random.below(seeds.len())].clone();
        random.mutate(&mut input, seeds);
        changed += u64::from(!seeds.contains(&input));
        target(&input);
    }
    changed
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn rules_bear_any_text() {
    let seeds = [
        "[[rules]]\nid='a'\ndescription='d'\nregex='''(?i)k=([a-z]{3,9})'''\nkeywords=['k=']\nsecretGroup=1\nentropy=3.5\n",
        "[extend]\nuseDefault=true\ndisabledRules=['a']\n[[allowlists]]\npaths=['''x$''']\nstopwords=['y']\n",
        "[[rules]]\nid='b'\nregex='(a{9}){9}'\npath='x'\ntags=['generic']\n[[rules.allowlists]]\ncondition='AND'\nregexes=['z']\n",
    ];
    assert!(drive(&seeds.map(|text| text.as_bytes().to_vec()), rules) > INPUTS / 2);
}

#[test]
fn decoding_bears_any_text() {
    let seeds = [
        expand("\u{0}zkey: {base64:44}== x {hex:64} 0x{hex:32} %7B%22a%22%3A", 1).unwrap(),
        expand("\u{5}\u{20}a/b/c-{base64url:50}\\n{base64:40}=\n{HEX:40} %%%41%42%43%4", 2).unwrap(),
        "\u{9}\u{30}{\"key\": \"a\\/b\\u003dc\",\"d\":\"e\\\\\\/f\\u00e4\\ud83d\\\\u0026\"} \\/".to_owned(),
    ];
    assert!(drive(&seeds.map(String::into_bytes), decode) > INPUTS / 2);
}

#[test]
fn archives_bear_any_bytes() {
    assert!(drive(&unpack::tests::corpus(), archive) > INPUTS / 2);
}

#[test]
fn git_objects_bear_any_bytes() {
    let oid = "0123456789abcdef0123456789abcdef01234567";
    let person = "A <a@example.com> 1700000000 +0100";
    let commit = format!("tree {oid}\nparent {oid}\nauthor {person}\ncommitter {person}\n\nmessage\n");
    let tree = [b"100644 a\0".as_slice(), &[1; 20], b"40000 b\0", &[2; 20]].concat();
    let tag = format!("object {oid}\ntype commit\ntag v1\ntagger {person}\n\ntext\n");
    assert!(drive(&[commit.into_bytes(), tree, tag.into_bytes()], git::object) > INPUTS / 2);
}

#[test]
fn deltas_bear_any_bytes() {
    // Base of 8 bytes; 8 bytes from there, then 3 of its own.
    let seeds =
        [b"\x08abcdefgh\x08\x0b\x90\x08\x03xyz".to_vec(), b"\x04abcd\x04\x06\x02xy\x91\x00\x04".to_vec()];
    assert!(drive(&seeds, git::delta) > INPUTS / 2);
}

#[test]
fn indexes_bear_any_bytes() {
    let fanout = |count: u32| count.to_be_bytes().repeat(256);
    let first = [fanout(1), vec![0, 0, 0, 12], vec![3; 20], vec![4; 40]].concat();
    let second =
        [b"\xfftOc\0\0\0\x02".to_vec(), fanout(1), vec![3; 20], vec![0; 4], vec![0, 0, 0, 12], vec![4; 40]]
            .concat();
    assert!(drive(&[first, second], git::index) > INPUTS / 2);
}

#[test]
fn inflating_bears_any_bytes() {
    let seeds = [b"some text, some text, some text".as_slice(), b"", &[7; 1000]]
        .map(|data| [u16::try_from(data.len()).unwrap().to_le_bytes().as_slice(), &zlib(data)].concat());
    assert!(drive(&seeds, git::inflate) > INPUTS / 2);
}
