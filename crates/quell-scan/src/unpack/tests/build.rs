//! Archives, made byte by byte where a library would refuse to.

use std::io::Write as _;

use flate2::{Compression, Crc};

pub(super) fn gz(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn bz2(data: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zst(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

pub(super) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn crc(data: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(data);
    crc.sum().to_le_bytes()
}

/// One block with one chunk that is not compressed: <https://tukaani.org/xz/xz-file-format.txt>.
pub(super) fn xz(data: &[u8]) -> Vec<u8> {
    assert!(data.len() < 128, "sizes of one byte");
    let length = u8::try_from(data.len()).unwrap();
    let checked = |part: &[u8]| [part, &crc(part)].concat();
    let mut out = [b"\xfd7zXZ\0".as_slice(), &checked(&[0, 0])].concat();
    let header = [2, 0, 0x21, 1, 0, 0, 0, 0];
    let mut block = checked(&header);
    block.extend([1, 0, length - 1]);
    block.extend(data);
    block.push(0);
    let unpadded = u8::try_from(block.len()).unwrap();
    block.resize(block.len().next_multiple_of(4), 0);
    out.extend(block);
    // Numbers of seven bits a byte.
    let mut index = vec![0, 1, unpadded & 0x7f | 0x80, unpadded >> 7, length];
    index.resize(index.len().next_multiple_of(4), 0);
    let index = checked(&index);
    let backward = u8::try_from(index.len() / 4 - 1).unwrap();
    out.extend(index);
    let footer = [backward, 0, 0, 0, 0, 0];
    out.extend([crc(&footer).as_slice(), &footer, b"YZ"].concat());
    out
}

pub(super) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = ::tar::Header::new_ustar();
        // `set_path` refuses what hostile archives hold.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, data) in members {
        out.extend(format!("{:<48}{:<10}`\n", format!("{name}/"), data.len()).bytes());
        out.extend(*data);
        if data.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

/// One member of a zip.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) local_name: String,
    pub(super) data: Vec<u8>,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) listed: bool,
}

impl Member {
    pub(super) fn new(name: &str, data: &[u8]) -> Self {
        let name = name.to_owned();
        Self { local_name: name.clone(), name, data: data.to_vec(), method: 8, flags: 0, listed: true }
    }
}

pub(super) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    zip_of(&members.iter().map(|(name, data)| Member::new(name, data)).collect::<Vec<_>>())
}

pub(super) fn zip_of(members: &[Member]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for member in members {
        let data = if member.method == 8 { deflate(&member.data) } else { member.data.clone() };
        let at = out.len();
        let numbers = |streamed: bool| {
            let sizes =
                if streamed { [0; 8].to_vec() } else { [le(data.len()), le(member.data.len())].concat() };
            let mut numbers =
                [member.flags.to_le_bytes(), member.method.to_le_bytes(), [0; 2], [0; 2]].concat();
            numbers.extend(if streamed { [0; 4] } else { crc(&member.data) });
            numbers.extend(sizes);
            numbers
        };
        let streamed = member.flags & 8 != 0;
        let length = |name: &str| u16::try_from(name.len()).unwrap().to_le_bytes();
        out.extend([b"PK\x03\x04\x14\0".as_slice(), &numbers(streamed)].concat());
        out.extend(
            [length(&member.local_name).as_slice(), &[0, 0], member.local_name.as_bytes(), &data].concat(),
        );
        if streamed {
            out.extend(
                [b"PK\x07\x08".as_slice(), &crc(&member.data), &le(data.len()), &le(member.data.len())]
                    .concat(),
            );
        }
        if member.listed {
            directory.extend(
                [b"PK\x01\x02\x14\0\x14\0".as_slice(), &numbers(false), &length(&member.name)].concat(),
            );
            directory.extend([[0; 12].as_slice(), &le(at), member.name.as_bytes()].concat());
        }
    }
    let count = u16::try_from(members.iter().filter(|member| member.listed).count()).unwrap().to_le_bytes();
    let at = out.len();
    out.extend(&directory);
    out.extend(
        [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &le(directory.len()), &le(at), &[0, 0]].concat(),
    );
    out
}

pub(super) fn le(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}
