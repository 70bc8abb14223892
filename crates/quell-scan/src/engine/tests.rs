use super::*;
use crate::RuleSet;

fn rules(text: &str) -> RuleSet {
    RuleSet::parse("test.toml", text).unwrap()
}

fn secrets(rules: &RuleSet, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    KeywordEngine::new(rules).scan(text.as_bytes(), &mut |hit| {
        found.push(text.get(hit.secret).unwrap().to_owned());
    });
    found
}

#[test]
fn the_secret_is_the_named_or_first_group() {
    let rules = rules("[[rules]]\nid='a'\nregex='''key=(\\w+)'''\nkeywords=['KEY']\n");
    assert_eq!(secrets(&rules, "x key=one\nkey=two"), ["one", "two"]);
}

#[test]
fn a_window_that_cuts_a_match_grows() {
    let rules = rules("[[rules]]\nid='a'\nregex='''k=[a-z]+'''\nkeywords=['k=']\nwindow=8\n");
    let long = format!("k={}", "a".repeat(5000));
    assert_eq!(secrets(&rules, &format!("{long} tail")), [long.as_str()]);
}

#[test]
fn rules_without_keywords_look_everywhere() {
    let rules = rules("[[rules]]\nid='a'\nregex='''[0-9]{6}'''\n");
    assert_eq!(secrets(&rules, "a 123456 b 654321"), ["123456", "654321"]);
}

#[test]
fn rules_that_look_everywhere_find_what_stands_close_together() {
    let rules = rules("[[rules]]\nid='a'\nregex='''(?:^|[^a-z])([a-z]{8})(?:[^a-z]|$)'''\n");
    let text = format!("abcdefgh {} bcdefghi cdefghij;toolongtoo:defghijk", "- ab c".repeat(100));
    // A sign between two belongs to the first.
    assert_eq!(secrets(&rules, &text), ["abcdefgh", "bcdefghi", "defghijk"]);
}

#[test]
fn entropy_of_known_texts() {
    assert!(filter::entropy(b"") < 0.01);
    assert!(filter::entropy(b"aaaa") < 0.01);
    assert!((filter::entropy(b"abcd") - 2.0).abs() < 0.01);
}

#[test]
fn allowlists_combine() {
    let text = "[[rules]]\nid='a'\nregex='''k=(\\w+)'''\nkeywords=['k=']\n\
        [[rules.allowlists]]\nstopwords=['Fine']\n\
        [[rules.allowlists]]\ncondition='AND'\nregexTarget='line'\nregexes=['''test''']\nstopwords=['both']\n\
        [allowlist]\nregexes=['''^zero$''']\n";
    let rules = rules(text);
    assert_eq!(secrets(&rules, "k=isfine\nk=zero\nk=both test\nk=both\nk=other test"), ["both", "other"]);
}

#[test]
fn lines_are_bounded() {
    let text = b"one\ntwo three\nfour";
    assert_eq!(line_around(text, &(8..13)), b"two three");
    let long = vec![b'a'; 100_000];
    assert!(line_around(&long, &(50_000..50_010)).len() < 5000);
}

#[test]
fn a_value_is_found_by_the_name_it_is_assigned_to() {
    let rules = rules("[[rules]]\nid='a'\nname='acme'\nvalue='[0-9a-f]{8}'\nkeywords=['acme']\n");
    for text in [
        "ACME_API_KEY=0123abcd",
        "acme.key: '0123abcd'",
        "\"acmeToken\": \"0123abcd\",",
        "acme_key := `0123abcd`;",
        "$config['acme'] => '0123abcd'",
        "curl --acme-token 0123abcd",
        "<acme-key>0123abcd</acme-key>",
        "https://api.acme.test/v1?acme_key=0123abcd&x=1",
        "setAcmeKey(\"0123abcd\")",
        "{\\\"acme_key\\\":\\\"0123abcd\\\"}",
    ] {
        assert_eq!(secrets(&rules, text), ["0123abcd"], "{text}");
    }
    for text in ["acme 0123abcdef", "ac = 0123abcd", "acme\n= 0123abcd"] {
        assert!(secrets(&rules, text).is_empty(), "{text}");
    }
}
