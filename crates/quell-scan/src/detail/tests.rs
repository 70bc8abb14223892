use base64::prelude::*;

use super::*;
use crate::engine::{Engine as _, KeywordEngine};
use crate::rule::RuleSet;
use crate::rule::template::expand;

/// Details of the first match of a rule in a text.
fn read(rule: &str, text: &[u8]) -> Details {
    let rules = RuleSet::builtin().unwrap();
    let mut all = None;
    KeywordEngine::new(&rules).scan(text, &mut |found| {
        let matched = &rules.rules()[found.rule];
        if matched.id == rule && all.is_none() {
            all = Some(details(text, &found, matched));
        }
    });
    all.unwrap_or_else(|| panic!("{rule} does not match"))
}

fn shown(all: &Details) -> String {
    all.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

fn random(length: usize) -> Vec<u8> {
    expand("{alnum:4096}", 77).unwrap().into_bytes()[..length].to_vec()
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut out = vec![tag];
    if length < 128 {
        out.push(u8::try_from(length).unwrap());
    } else {
        out.push(0x82);
        out.extend(u16::try_from(length).unwrap().to_be_bytes());
    }
    out.extend(content);
    out
}

fn pem(label: &str, body: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(body);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

fn pkcs1() -> Vec<u8> {
    let mut modulus = random(256);
    modulus[0] |= 0x80;
    modulus.insert(0, 0);
    tlv(0x30, &[&tlv(2, &[&[0]]), &tlv(2, &[&modulus]), &tlv(2, &[&[1, 0, 1]]), &tlv(2, &[&random(256)])])
}

fn pkcs8(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(2, &[&[0]]), &tlv(0x30, algorithm), &tlv(4, &[key])])
}

#[test]
fn keys_say_type_and_size() {
    let sec1 = tlv(
        0x30,
        &[
            &tlv(2, &[&[1]]),
            &tlv(4, &[&random(32)]),
            &tlv(0xa0, &[&tlv(6, &[P256])]),
            &tlv(0xa1, &[&random(66)]),
        ],
    );
    let inner = tlv(0x30, &[&tlv(2, &[&[1]]), &tlv(4, &[&random(64)])]);
    let ssh_string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let ssh = |cipher: &[u8]| {
        let public = [ssh_string(b"ssh-ed25519"), ssh_string(&random(32))].concat();
        [
            b"openssh-key-v1\0".to_vec(),
            ssh_string(cipher),
            ssh_string(b"none"),
            ssh_string(b""),
            vec![0, 0, 0, 1],
            ssh_string(&public),
            ssh_string(&random(120)),
        ]
        .concat()
    };
    let mut mpi = random(256);
    mpi[0] |= 0x80;
    let number = [&[8, 0][..], &mpi].concat();
    let secret = [&[4, 0x60, 0, 0, 0, 1][..], &number, &[0, 17, 1, 0, 1], &[254], &random(40)].concat();
    let name = b"Ops <ops@orders.test>";
    let length = u16::try_from(secret.len()).unwrap().to_be_bytes();
    let pgp = [&[0x95][..], &length, &secret, &[0xb4, u8::try_from(name.len()).unwrap()], name].concat();
    for (label, body, wanted) in [
        ("RSA PRIVATE KEY", pkcs1(), "bits=2048; encrypted=no; format=PKCS#1; type=RSA"),
        ("EC PRIVATE KEY", sec1, "curve=P-256; encrypted=no; format=SEC 1; type=EC"),
        (
            "PRIVATE KEY",
            pkcs8(&[&tlv(6, &[RSA]), &[5, 0]], &pkcs1()),
            "bits=2048; encrypted=no; format=PKCS#8; type=RSA",
        ),
        (
            "PRIVATE KEY",
            pkcs8(&[&tlv(6, &[EC]), &tlv(6, &[P256])], &inner),
            "curve=P-256; encrypted=no; format=PKCS#8; type=EC",
        ),
        (
            "PRIVATE KEY",
            pkcs8(&[&tlv(6, &[&[0x2b, 0x65, 0x70]])], &random(64)),
            "encrypted=no; format=PKCS#8; type=Ed25519",
        ),
        ("ENCRYPTED PRIVATE KEY", random(200), "encrypted=yes; format=PKCS#8"),
        ("OPENSSH PRIVATE KEY", ssh(b"none"), "encrypted=no; format=OpenSSH; type=ssh-ed25519"),
        ("OPENSSH PRIVATE KEY", ssh(b"aes256-ctr"), "encrypted=yes; format=OpenSSH; type=ssh-ed25519"),
        (
            "PGP PRIVATE KEY BLOCK",
            pgp,
            "bits=2048; created=2021-01-14T08:25:36Z; encrypted=yes; format=OpenPGP; type=RSA; user=Ops <ops@orders.test>",
        ),
        ("RSA PRIVATE KEY", random(300), ""),
    ] {
        let text = pem(label, &body);
        assert_eq!(shown(&read("private-key", text.as_bytes())), wanted, "{label}");
        let escaped = text.replace('\n', "\\n");
        assert_eq!(shown(&read("private-key", escaped.as_bytes())), wanted, "{label} on one line");
    }
    let legacy = pem("RSA PRIVATE KEY", &random(300)).replacen(
        '\n',
        "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n",
        1,
    );
    insta::assert_snapshot!(shown(&read("private-key", legacy.as_bytes())), @"encrypted=yes; format=PKCS#1; type=RSA");
}

#[test]
fn a_certificate_beside_a_key_says_whose_and_how_long() {
    let name = |oid: &[u8], text: &[u8]| tlv(0x31, &[&tlv(0x30, &[&tlv(6, &[oid]), &tlv(0x0c, &[text])])]);
    let subject = tlv(0x30, &[&name(&[0x55, 4, 3], b"orders.test"), &name(&[0x55, 4, 10], b"Orders Ltd")]);
    let issuer = tlv(0x30, &[&name(&[0x55, 4, 3], b"Some CA")]);
    let validity = tlv(0x30, &[&tlv(0x17, &[b"250101000000Z"]), &tlv(0x18, &[b"20510102030405Z"])]);
    let body = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&tlv(2, &[&[2]])]),
            &tlv(2, &[&[7]]),
            &tlv(0x30, &[&tlv(6, &[RSA])]),
            &issuer,
            &validity,
            &subject,
        ],
    );
    let der = tlv(0x30, &[&body]);
    let times = certificate_validity(&der).unwrap();
    assert_eq!((times.0.as_str(), times.1.as_str()), ("2025-01-01T00:00:00Z", "2051-01-02T03:04:05Z"));
    assert_eq!(certificate_validity(&der[..der.len() - 1]), None);
    let certificate = pem("CERTIFICATE", &der);
    let key = pem("RSA PRIVATE KEY", &pkcs1());
    for text in [format!("{key}{certificate}"), format!("{certificate}{key}")] {
        let all = read("private-key", text.as_bytes());
        assert_eq!(all["certificate_subject"], "CN=orders.test, O=Orders Ltd");
        assert_eq!(all["certificate_not_after"], "2051-01-02T03:04:05Z");
        assert_eq!(all["bits"], "2048");
    }
}

#[test]
fn tokens_say_claims() {
    let text = expand(
        "{json:{\"alg\":\"HS256\",\"typ\":\"JWT\"}}.{json:{\"iss\":\"https://id.orders.test\",\"sub\":\"ci\",\"aud\":[\"a\",\"b\"],\"exp\":1700000000,\"iat\":1690000000.5,\"password\":\"hunter2hunter2\"}}.{base64url:43}",
        1,
    )
    .unwrap();
    insta::assert_snapshot!(shown(&read("json-web-token", text.as_bytes())), @"alg=HS256; audience=a, b; expires=2023-11-14T22:13:20Z; issued=2023-07-22T04:26:40Z; issuer=https://id.orders.test; subject=ci");
    let mut all = Details::new();
    token::basic(BASE64_STANDARD.encode("deploy:s3cret-Value").as_bytes(), &mut all);
    assert_eq!(shown(&all), "user=deploy");
}

#[test]
fn urls_say_where() {
    let text = expand("DATABASE_URL=postgres://app:{alnum:20}@db.internal:6432/orders?sslmode=require\n", 2)
        .unwrap();
    insta::assert_snapshot!(shown(&read("postgres-url", text.as_bytes())), @"database=orders; host=db.internal; port=6432");
}

#[test]
fn cloud_credentials_say_account_expiry_and_project() {
    // 40 bits of account after a set bit, then bits of the key's own: the published layout, backwards.
    let id = |account: u64| {
        let bits = (1 << 40 | account) << 9 | 0x155;
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let digit = |at: u64| char::from(digits[usize::try_from(bits >> (45 - 5 * at) & 31).unwrap()]);
        (0..10).map(digit).chain("BCDEFG".chars()).collect::<String>()
    };
    let mut all = Details::new();
    cloud::access_key_id(format!("AKIA{}", id(123_456_789_012)).as_bytes(), &mut all);
    assert_eq!(shown(&all), "account=123456789012");
    all.clear();
    cloud::access_key_id(format!("AKIA{}", expand("I{A-Z2-7:15}", 3).unwrap()).as_bytes(), &mut all);
    assert_eq!(shown(&all), "", "an id of the older format");
    let sas = expand("?sv=2022-11-02&se=2030-01-01T00%3A00%3A00Z&sr=c&sp=rl&sig={base64url:43}", 4).unwrap();
    cloud::shared_access_signature(sas.as_bytes(), &mut all);
    assert_eq!(shown(&all), "expires=2030-01-01T00:00:00Z; permissions=rl; resource=c");
    let file = expand(
        "{{\"project_id\": \"orders-1\", \"private_key_id\": \"{hex:40}\", \"private_key\": \"-----BEGIN PRIVATE KEY-----\\n{base64:64}\\n{base64:64}\\n-----END PRIVATE KEY-----\\n\", \"client_email\": \"ci@orders-1.iam.gserviceaccount.com\"}",
        5,
    )
    .unwrap();
    let all = read("gcp-service-account-key", file.as_bytes());
    assert_eq!(all["project"], "orders-1");
    assert_eq!(all["client_email"], "ci@orders-1.iam.gserviceaccount.com");
    assert_eq!(all["key_id"].len(), 40);
}

fn vsync_blob(secret: &str) -> String {
    let json = format!(
        "{{\"v\":1,\"endpoint\":\"https://s3.orders.test\",\"region\":\"eu-1\",\"bucket\":\"vault\",\"accessKeyId\":\"AKIA{}\",\"secretAccessKey\":\"{secret}\",\"prefix\":\"api/\",\"env\":\"prod\",\"salt\":\"c2FsdA\",\"iterations\":600000}}",
        expand("{A-Z2-7:16}", 6).unwrap()
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, json.as_bytes()).unwrap();
    format!("vsync-cfg-v1:{}", BASE64_URL_SAFE_NO_PAD.encode(packed.finish().unwrap()))
}

#[test]
fn a_vsync_blob_says_where_it_leads_and_never_its_secret() {
    let secret = expand("{base64:40}", 9).unwrap();
    let all = read("vsync-config", format!("VSYNC_CONFIG={}\n", vsync_blob(&secret)).as_bytes());
    let text = shown(&all);
    assert!(
        text.contains("bucket=vault; endpoint=https://s3.orders.test; env=prod; prefix=api/; region=eu-1"),
        "{text}"
    );
    assert_eq!(all["access_key_id"].chars().count(), 5);
    assert!(!text.contains(&secret) && !text.contains("c2FsdA"));
    let broken = expand("VSYNC_CONFIG=vsync-cfg-v1:H4sIAAAA{base64url:200}\n", 1).unwrap();
    assert_eq!(shown(&read("vsync-config", broken.as_bytes())), "decoded=no");
}

#[test]
fn the_case_of_a_vsync_leak_follows_from_its_halves() {
    let rules = RuleSet::builtin().unwrap();
    let key = quell_core::secret::FingerprintKey::new([3; 32]);
    let folder = tempfile::tempdir().unwrap();
    let blob = format!("VSYNC_CONFIG={}\n", vsync_blob(&expand("{base64:40}", 9).unwrap()));
    let passphrase = expand("VSYNC_PASSPHRASE={lower:5}-{lower:6}-{lower:7}-{lower:4}\n", 9).unwrap();
    let cases = |files: &[(&str, &str)]| {
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let report = crate::Scanner::new(&rules, &key).tree(folder.path(), &mut |_| {}).unwrap();
        for (name, _) in files {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        let vsync = report.findings.into_iter().filter(|finding| finding.rule.starts_with("vsync-"));
        vsync
            .map(|finding| {
                let case = finding.details["case"].clone();
                (finding.rule, case, finding.joined.len(), finding.note.is_some())
            })
            .collect::<Vec<_>>()
    };
    let config = |case: &str, joined, note| ("vsync-config".to_owned(), case.to_owned(), joined, note);
    let phrase = |case: &str, joined, note| ("vsync-passphrase".to_owned(), case.to_owned(), joined, note);
    assert_eq!(cases(&[("a", &passphrase)]), [phrase("1", 0, false)]);
    assert_eq!(cases(&[("a", &blob)]), [config("2", 0, false)]);
    let both = format!("{blob}{passphrase}");
    assert_eq!(cases(&[("a", &both)]), [config("3", 1, false), phrase("3", 1, false)]);
    assert_eq!(cases(&[("a", &blob), ("b", &passphrase)]), [config("2", 0, true), phrase("1", 0, true)]);
}

proptest::proptest! {
    #[test]
    fn garbage_says_nothing_and_breaks_nothing(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let mut all = Details::new();
        for label in ["RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
            pem::read(pem(label, &bytes).as_bytes(), &mut all);
        }
        let openssh = [b"openssh-key-v1\0".as_slice(), &bytes].concat();
        pem::read(pem("OPENSSH PRIVATE KEY", &openssh).as_bytes(), &mut all);
        pem::read(pem("RSA PRIVATE KEY", &tlv(0x30, &[&[2, 1, 0], &bytes])).as_bytes(), &mut all);
        pgp::read(&[&[0xc5, 255, 0, 0, 1, 0, 4], bytes.as_slice()].concat(), &mut all);
        token::jwt(&bytes, &mut all);
        token::basic(&bytes, &mut all);
        vsync::blob(&bytes, &mut all);
        vsync::blob(format!("vsync-cfg-v1:{}", BASE64_URL_SAFE_NO_PAD.encode(&bytes)).as_bytes(), &mut all);
        cloud::access_key_id(&bytes, &mut all);
        cloud::shared_access_signature(&bytes, &mut all);
        let certificate = pem("CERTIFICATE", &tlv(0x30, &[&tlv(0x30, &[&bytes])]));
        certificate::beside(certificate.as_bytes(), &(0..0), &mut all);
        cloud::service_account(&bytes, &(bytes.len() / 2..bytes.len() / 2), &mut all);
        proptest::prop_assert!(all.values().all(|value| value.len() <= MAX_TEXT * 6));
    }
}
