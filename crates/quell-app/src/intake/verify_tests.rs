//! Signatures as the senders document them, and everything that is not one.

use proptest::prelude::*;

use super::*;

fn key(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn fits(scheme: Scheme<'_>, keys: &[SecretValue], headers: &[(&str, &str)], body: &[u8]) -> bool {
    let headers = Headers::new(headers.iter().copied());
    assert!(scheme.is_present(&headers), "{scheme:?}");
    scheme.verify(keys, &headers, body, at(0)).is_some()
}

#[test]
fn the_vector_of_githubs_documentation_is_accepted_and_nothing_else() {
    let keys = [key("It's a Secret to Everybody")];
    let body = b"Hello, World!";
    let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let name = "X-Hub-Signature-256";
    assert!(fits(Scheme::Github, &keys, &[(name, good)], body));
    assert!(fits(
        Scheme::Github,
        &[key("another key, newer"), key("It's a Secret to Everybody")],
        &[(name, good)],
        body
    ));
    let upper = good.to_uppercase();
    let bare = good.trim_start_matches("sha256=");
    let cut = good.trim_end_matches("17");
    for told in ["", "sha256=", "sha256=75", bare, "sha1=757107ea", &upper, cut] {
        assert!(!fits(Scheme::Github, &keys, &[(name, told)], body), "{told}");
    }
    assert!(!fits(Scheme::Github, &keys, &[(name, good)], b"Hello, World"));
    assert!(!fits(Scheme::Github, &[key("it's a secret to everybody")], &[(name, good)], body));
    assert!(!fits(Scheme::Github, &[], &[(name, good)], body), "no key fits nothing");
    assert!(!fits(Scheme::Github, &keys, &[(name, good), (name, good)], body), "one signature, not two");
}

#[test]
fn pagerduty_signs_with_two_keys_while_one_is_changed() {
    let keys = [key("the new key of the subscription")];
    let body = br#"{"event":{}}"#;
    let of = |key: &[u8]| format!("v1={}", hex::encode(hmac(key, &[body])));
    let both = format!("{},{}", of(b"an old key, which we do not have"), of(keys[0].expose()));
    let name = "x-pagerduty-signature";
    assert!(fits(Scheme::Pagerduty, &keys, &[(name, &both)], body));
    assert!(!fits(Scheme::Pagerduty, &keys, &[(name, &of(b"an old key, which we do not have"))], body));
    let many = format!("{}{}", "v1=00,".repeat(8), of(keys[0].expose()));
    assert!(
        !fits(Scheme::Pagerduty, &keys, &[(name, &many)], body),
        "a list without an end is not looked through"
    );
}

#[test]
fn quells_own_signature_is_accepted_for_five_minutes() {
    let keys = [key("a key of the receiver")];
    let body = br#"{"id":"n-1"}"#;
    for (seconds, accepted) in [(0, true), (-299, true), (299, true), (-301, false), (301, false)] {
        let when = at(seconds).as_second().to_string();
        let told = format!("v1={}", hex::encode(hmac(keys[0].expose(), &[when.as_bytes(), b".", body])));
        let headers = [("x-quell-signature", told.as_str()), ("x-quell-timestamp", &when)];
        assert_eq!(fits(Scheme::Quell, &keys, &headers, body), accepted, "{seconds}");
        let moved = at(1).as_second().to_string();
        let headers = [("x-quell-signature", told.as_str()), ("x-quell-timestamp", &moved)];
        assert!(!fits(Scheme::Quell, &keys, &headers, body), "the time is signed, too");
    }
}

#[test]
fn gitguardian_joins_timestamp_and_token() {
    let keys = [key("a signature token of a workspace")];
    let body = br#"{"source":"GitGuardian"}"#;
    let when = at(-10).as_second().to_string();
    let told =
        format!("sha256={}", hex::encode(hmac(&[when.as_bytes(), keys[0].expose()].concat(), &[body])));
    let headers = [("Gitguardian-Signature", told.as_str()), ("Timestamp", when.as_str())];
    assert!(fits(Scheme::Gitguardian, &keys, &headers, body));
    let old = at(-1000).as_second().to_string();
    let told = format!("sha256={}", hex::encode(hmac(&[old.as_bytes(), keys[0].expose()].concat(), &[body])));
    let headers = [("Gitguardian-Signature", told.as_str()), ("Timestamp", old.as_str())];
    assert!(!fits(Scheme::Gitguardian, &keys, &headers, body));
}

#[test]
fn gitlabs_signature_goes_before_its_token_and_a_signing_key_is_no_token() {
    let raw = [7_u8; 32];
    let signing = format!("whsec_{}", STANDARD.encode(raw));
    let keys = [key("a token of the older kind"), key(&signing)];
    let body = br#"{"object_kind":"vulnerability"}"#;
    let when = at(0).as_second().to_string();
    let parts: &[&[u8]] = &[b"id-1", b".", when.as_bytes(), b".", body];
    let told = format!("v1,{} v1,{}", STANDARD.encode([0; 32]), STANDARD.encode(hmac(&raw, parts)));
    let signed = |told: &str, id: &str| {
        let headers = [("webhook-signature", told), ("webhook-id", id), ("webhook-timestamp", when.as_str())];
        fits(Scheme::Gitlab, &keys, &headers, body)
    };
    assert!(signed(&told, "id-1"));
    assert!(!signed(&told, "id-2"), "the id is signed, too");
    // A token beside a signature that does not fit does not help.
    let headers = [
        ("webhook-signature", "v1,AAAA"),
        ("webhook-id", "id-1"),
        ("webhook-timestamp", when.as_str()),
        ("x-gitlab-token", "a token of the older kind"),
    ];
    assert!(!fits(Scheme::Gitlab, &keys, &headers, body));
    assert!(fits(Scheme::Gitlab, &keys, &[("X-Gitlab-Token", "a token of the older kind")], body));
    assert!(!fits(Scheme::Gitlab, &keys, &[("X-Gitlab-Token", &signing)], body), "it is never sent");
    assert!(!fits(Scheme::Gitlab, &keys, &[("X-Gitlab-Token", "")], body));
}

#[test]
fn a_key_that_is_sent_itself_is_compared_whole() {
    let keys = [key("0123456789abcdef0123")];
    let scheme = Scheme::Header("x-api-key");
    assert!(fits(scheme, &keys, &[("X-Api-Key", "0123456789abcdef0123")], b""));
    for told in ["0123456789abcdef012", "0123456789abcdef01234", "", "Bearer 0123456789abcdef0123"] {
        assert!(!fits(scheme, &keys, &[("X-Api-Key", told)], b""), "{told}");
    }
    for told in ["0123456789abcdef0123", "Bearer 0123456789abcdef0123"] {
        assert!(fits(Scheme::Authorization, &keys, &[("Authorization", told)], b""), "{told}");
    }
    assert!(!fits(Scheme::Authorization, &keys, &[("Authorization", "Basic 0123456789abcdef0123")], b""));
}

const SCHEMES: [Scheme<'static>; 7] = [
    Scheme::Authorization,
    Scheme::Github,
    Scheme::Gitguardian,
    Scheme::Gitlab,
    Scheme::Header("x-api-key"),
    Scheme::Pagerduty,
    Scheme::Quell,
];

const NAMES: [&str; 11] = [
    "authorization",
    "x-hub-signature-256",
    "gitguardian-signature",
    "timestamp",
    "webhook-signature",
    "webhook-id",
    "webhook-timestamp",
    "x-gitlab-token",
    "x-api-key",
    "x-pagerduty-signature",
    "x-quell-timestamp",
];

proptest! {
    /// Headers of strangers are refused and end nothing.
    #[test]
    fn strangers_headers_are_refused(
        values in proptest::collection::vec("(sha256=|v1=|v1,|Bearer |)[ -~]{0,80}", NAMES.len()),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let keys = [key("a key that nobody has guessed"), key("whsec_not base64 at all")];
        let headers = NAMES.iter().copied().zip(values.iter().map(String::as_str));
        let headers = Headers::new(headers.chain([("x-quell-signature", "v1=00")]));
        for scheme in SCHEMES {
            prop_assert_eq!(scheme.verify(&keys, &headers, &body, at(0)), None);
        }
    }
}
