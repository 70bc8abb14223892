//! What fuzzers call of this module; see [`crate::fuzz`].

use super::index::Index;
use super::object::{self, Commit};
use super::{ObjectFormat, Oid, delta, inflate};

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

/// Bytes that a delta may make.
const LIMIT: u64 = 1 << 20;

/// A delta; the first byte is the length of its base, which follows.
pub fn delta(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else { return };
    let Some((base, instructions)) = rest.split_at_checked(usize::from(*length)) else { return };
    if let Ok(made) = delta::apply(base, instructions, LIMIT) {
        assert!(made.len() as u64 <= LIMIT, "more bytes than the limit");
    }
}

/// The index of a pack.
pub fn index(bytes: &[u8]) {
    for format in FORMATS {
        let Ok(index) = Index::parse(bytes.to_vec(), format) else { continue };
        for (oid, offset) in index.in_pack_order() {
            assert!(index.find(oid).is_some(), "a name of the index is not found in it");
            assert!(index.next_offset(offset).is_none_or(|next| next > offset), "offsets go backwards");
        }
    }
}

/// A tree, a commit, a tag.
pub fn object(bytes: &[u8]) {
    for format in FORMATS {
        assert!(object::entries(bytes, format).count() <= bytes.len(), "more entries than bytes");
    }
    let (headers, message) = object::headers_and_message(bytes);
    assert!(headers.len() + message.len() <= bytes.len(), "the parts are longer than the whole");
    let _target = object::tag_target(bytes);
    if let Some(oid) = Oid::from_bytes(&[1; 20]) {
        let _commit = Commit::parse(oid, bytes);
    }
}

/// zlib data of a loose object or pack entry; the first two bytes are the declared size.
pub fn inflate(bytes: &[u8]) {
    let Some((size, data)) = bytes.split_first_chunk::<2>() else { return };
    let size = u16::from_le_bytes(*size);
    let mut state = inflate::Inflater::new();
    if let Ok(made) = inflate::inflate(&mut state, data, u64::from(size)) {
        assert!(made.len() == usize::from(size), "not as many bytes as declared");
    }
}
