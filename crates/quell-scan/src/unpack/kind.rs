//! What something is, by its first bytes.

use super::compressed::Form;
use super::tar;
use super::wide::Order;

/// Bytes that are looked at.
pub(super) const HEAD: usize = 4096;

/// Something with content inside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Container {
    /// Unix archives, Debian packages, static libraries.
    Ar,
    /// One compressed stream.
    Compressed(Form),
    /// Jupyter notebooks, format 4.
    Notebook,
    Pdf,
    /// With its kin: container images, `.crate`, `.gem`.
    Tar,
    /// Known, but there is no reader for it.
    Unread(&'static str),
    /// Text as UTF-16.
    Wide(Order),
    /// With its kin: jar, war, apk, wheel, nupkg, Office documents.
    Zip,
}

/// First bytes and what they mean. Sources: RFC 1952 (gzip), RFC 8878 (zstd), the xz and lz4 format pages, PKWARE's
/// APPNOTE (zip), `deb(5)`, `rpm` lead, 7-Zip's `7zFormat.txt`, RAR 5.0 notes, the Java `KeyStore` sources.
const MAGIC: &[(&[u8], Container)] = &[
    (b"\x1f\x8b\x08", Container::Compressed(Form::Gzip)),
    (b"\xfd7zXZ\0", Container::Compressed(Form::Xz)),
    (b"\x28\xb5\x2f\xfd", Container::Compressed(Form::Zstd)),
    (b"PK\x03\x04", Container::Zip),
    (b"PK\x05\x06", Container::Zip),
    (b"PK\x07\x08PK\x03\x04", Container::Zip),
    (b"!<arch>\n", Container::Ar),
    (b"\x04\x22\x4d\x18", Container::Unread("an lz4 stream")),
    (b"\xed\xab\xee\xdb", Container::Unread("an RPM package")),
    (b"7z\xbc\xaf\x27\x1c", Container::Unread("a 7z archive")),
    (b"Rar!\x1a\x07", Container::Unread("a RAR archive")),
    (b"\xfe\xed\xfe\xed\0\0\0", Container::Unread("a Java key store")),
    (b"\xce\xce\xce\xce\0\0\0", Container::Unread("a Java key store")),
    (b"# v2 git bundle\n", Container::Unread("a git bundle")),
    (b"# v3 git bundle\n", Container::Unread("a git bundle")),
    (b"PACK\0\0\0\x02", Container::Unread("a git pack")),
    // UTF-32 begins like UTF-16.
    (b"\xff\xfe\0\0", Container::Unread("text in UTF-32")),
    (b"\0\0\xfe\xff", Container::Unread("text in UTF-32")),
    (b"\xff\xfe", Container::Wide(Order::LowFirst)),
    (b"\xfe\xff", Container::Wide(Order::HighFirst)),
];

/// Says what begins with these bytes; `None` for plain content. The longer the head (up to 4 KiB), the surer.
pub(crate) fn kind(head: &[u8]) -> Option<Container> {
    if let Some((_, found)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(*found);
    }
    if let [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, 0x41 | 0x72, 0x59 | 0x45, 0x26 | 0x38, ..] = head {
        return Some(Container::Compressed(Form::Bzip2));
    }
    // RFC 7292: a sequence, version 3, a sequence.
    if let [0x30, 0x82, _, _, 2, 1, 3, 0x30, ..] = head {
        return Some(Container::Unread("a PKCS #12 key store"));
    }
    if memchr::memmem::find(head.get(..1024).unwrap_or(head), b"%PDF-").is_some() {
        return Some(Container::Pdf);
    }
    if tar::begins(head) {
        return Some(Container::Tar);
    }
    let text = head.trim_ascii_start();
    if text.starts_with(b"{") && (has(text, b"\"cells\"") || has(text, b"\"nbformat\"")) {
        return Some(Container::Notebook);
    }
    wide(head).map(Container::Wide)
}

fn has(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

/// UTF-16 of mostly ASCII text without a mark.
fn wide(head: &[u8]) -> Option<Order> {
    const LEAST: usize = 16;
    let pairs = head.get(..512).unwrap_or(head).as_chunks::<2>().0;
    if pairs.len() < LEAST {
        return None;
    }
    let text = |byte: u8| (b' '..0x7f).contains(&byte) || b"\t\r\n".contains(&byte);
    let low = pairs.iter().filter(|[low, high]| *high == 0 && text(*low)).count();
    let high = pairs.iter().filter(|[high, low]| *high == 0 && text(*low)).count();
    let most = pairs.len() / 10 * 9;
    match (low > most, high > most) {
        (true, _) => Some(Order::LowFirst),
        (_, true) => Some(Order::HighFirst),
        _ => None,
    }
}
