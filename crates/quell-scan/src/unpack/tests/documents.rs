use super::build::{zip, zlib};
use super::*;

#[test]
fn text_as_utf_16_is_read_with_and_without_a_mark() {
    let secret = token(1);
    let text = format!("first line of the file\r\nzweite Zeile: äöü 😀\r\nkey = {secret}\r\n");
    let low: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let high: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for input in
        [&low, &high, &[b"\xff\xfe".as_slice(), &low].concat(), &[b"\xfe\xff".as_slice(), &high].concat()]
    {
        assert!(both(input).has("", &secret));
    }
}

#[test]
fn a_mark_hides_no_plain_text() {
    let secret = token(1);
    let plain = format!("key = {secret}\n").into_bytes();
    let wide: Vec<u8> =
        "\u{feff}a log that another program wrote\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for input in [
        [b"\xff\xfe".as_slice(), &plain].concat(),
        [b"\xfe\xff".as_slice(), &plain].concat(),
        [wide.repeat(3).as_slice(), &plain].concat(),
        [b"\xff\xfe".as_slice(), &b"x".repeat(16_370), &plain, &b"y\n".repeat(9000)].concat(),
    ] {
        assert!(both(&input).has("", &secret), "{} bytes", input.len());
    }
    let seen = both(&[b"\xff\xfe\0\0".as_slice(), &plain].concat());
    assert!(seen.has("", &secret) && seen.why().join("").contains("UTF-32"), "{seen:?}");
}

#[test]
fn pairs_of_utf_16_are_whole_at_every_border() {
    for shift in 0..4 {
        let text = format!("{}{}{}", "a".repeat(8190 + shift), "😀", "b".repeat(20_000));
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut out = String::new();
        let mut source = units.as_slice();
        wide::Reader::new(&mut Lookahead::new(&mut source), wide::Order::LowFirst)
            .read_to_string(&mut out)
            .unwrap();
        assert!(out == text, "shift {shift}");
    }
}

#[test]
fn a_secret_split_over_runs_of_a_document_is_found() {
    let secret = token(2);
    let (first, second) = secret.split_at(9);
    let xml = format!(
        "<w:document><w:p><w:r><w:t>user &amp; key </w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>{first}</w:t></w:r>\
         <w:r><w:t>{second}</w:t></w:r></w:p><w:p link=\"{}\"/></w:document>",
        token(3)
    );
    let seen = both(&zip(&[("word/document.xml", xml.as_bytes())]));
    assert!(seen.has("word/document.xml", &secret), "{seen:?}");
    assert!(seen.has("word/document.xml", &token(3)), "attributes are searched, too");
    let (text, _) = office::apart(b"<p>a</p><p>b&#65;&lt;&bogus;</p>");
    assert_eq!(text, b"a\nbA<&bogus;\n");
}

#[test]
fn cells_of_a_notebook_are_joined_and_unescaped() {
    let secret = token(4);
    let (first, second) = secret.split_at(10);
    let notebook = serde_json::json!({
        "cells": [
            {"cell_type": "code", "source": ["x = 1\n"], "outputs": []},
            {"cell_type": "code", "source": "y = 2", "outputs": [
                {"output_type": "stream", "text": [first, second]},
                {"data": {"text/plain": [format!("k={}", token(5))]}},
            ]},
        ],
        "nbformat": 4, "nbformat_minor": 5,
    });
    let seen = both(&serde_json::to_vec(&notebook).unwrap());
    assert!(seen.has("cell 2 output", &secret), "{seen:?}");
    assert!(seen.has("", &token(5)), "found as written");
    assert_eq!(seen.hits.len(), 2, "and once");
}

pub(super) fn pdf(streams: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n".to_vec();
    for (number, (entries, data)) in (1..).zip(streams) {
        out.extend(format!("{number} 0 obj\n<< /Length {} {entries} >>\nstream\n", data.len()).bytes());
        out.extend(data);
        out.extend(b"\nendstream\nendobj\n");
    }
    out.extend(b"trailer << /Root 1 0 R >>\n%%EOF\n");
    out
}

#[test]
fn text_of_a_pdf_is_read_as_it_is_shown() {
    let tokens = [token(6), token(7), token(8)];
    let (first, second) = tokens[0].split_at(7);
    let content = format!(
        "q BT /F1 12 Tf 72 700 Td [(key: \\({first}) 12 ({second})] TJ T* <{}> Tj ({}) ' ET Q",
        hex::encode(&tokens[1]),
        tokens[2]
    );
    for document in [
        pdf(&[("", content.clone().into_bytes())]),
        pdf(&[("/Subtype /Image", vec![0xff; 40]), ("/Filter /FlateDecode", zlib(content.as_bytes()))]),
    ] {
        let seen = both(&document);
        for token in &tokens {
            assert!(
                seen.hits
                    .iter()
                    .any(|(_, found)| *found == key().fingerprint_bytes(token.as_bytes()).to_string())
            );
        }
        assert_eq!(seen.skipped, []);
        assert!(seen.has("text", &tokens[0]));
    }
}

#[test]
fn what_is_not_read_of_a_pdf_is_said() {
    let mut encrypted = pdf(&[("/Filter /FlateDecode", zlib(b"BT (x) Tj ET"))]);
    encrypted.extend(b"trailer << /Encrypt 5 0 R >>");
    insta::assert_snapshot!(both(&encrypted).why().join("\n"), @": the document is encrypted; its text was not read");
    let odd = pdf(&[("/Filter /LZWDecode", vec![1, 2, 3]), ("/Filter /FlateDecode", vec![9; 30])]);
    insta::assert_snapshot!(both(&odd).why().join("\n"), @": 2 streams are damaged, too large, or use a filter that is not read");
    let coded = pdf(&[("", b"BT <000100020003> Tj ET".to_vec())]);
    insta::assert_snapshot!(both(&coded).why().join("\n"), @": text in a font with codes of its own was not read");
}
