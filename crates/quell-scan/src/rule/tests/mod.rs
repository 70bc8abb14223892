mod gitleaks;

use super::*;
use crate::engine::{Engine as _, KeywordEngine};

fn matching(set: &RuleSet, text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    KeywordEngine::new(set).scan(text.as_bytes(), &mut |found| ids.push(set.rules()[found.rule].id.clone()));
    ids
}

#[test]
fn every_example_matches_and_no_non_example_does() {
    let set = RuleSet::builtin().unwrap();
    assert_eq!(set.warnings(), <&[String]>::default());
    assert!(set.rules().len() >= 290, "{}", set.rules().len());
    let mut wrong = Vec::new();
    for rule in set.rules() {
        assert!(
            rule.pattern.regex().is_some(),
            "{}: {:?}",
            rule.id,
            Pattern::checked(rule.pattern.text().to_owned())
        );
        let texts = rule
            .examples
            .iter()
            .map(|text| (text, true))
            .chain(rule.non_examples.iter().map(|text| (text, false)));
        for (index, (template, wanted)) in texts.enumerate() {
            let text = template::expand(template, template::seed(&rule.id, index)).unwrap();
            // Alone, and in the middle of other text.
            for text in [text.clone(), format!("first line\n{text}\nlast line\n")] {
                if matching(&set, &text).contains(&rule.id) != wanted {
                    wrong.push(format!("{}: {template:?} wanted={wanted}", rule.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rule_files_hold_nothing_that_looks_live() {
    let set = RuleSet::builtin().unwrap();
    let key = quell_core::secret::FingerprintKey::new([1; 32]);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let report = crate::Scanner::new(&set, &key).tree(&folder, &mut |_| {}).unwrap();
    assert!(report.files >= 11 && report.complete());
    // Made-up values of non-examples may look like somebody's password, but like no issuer's token.
    let sure: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| !finding.rule.starts_with("generic-"))
        .filter(|finding| finding.confidence > crate::Confidence::Low)
        .collect();
    assert!(sure.is_empty(), "{sure:?}");
}

#[test]
fn folders_give_the_built_in_rules_too() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let (loaded, builtin) = (RuleSet::load(&[folder]).unwrap(), RuleSet::builtin().unwrap());
    let ids = |set: &RuleSet| set.rules().iter().map(|rule| rule.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&loaded), ids(&builtin));
    assert_eq!(
        loaded.warnings(),
        [format!("0 built-in rules are active; {} rules of yours", loaded.rules().len())]
    );
}

fn error(text: &str) -> String {
    RuleSet::parse("mine.toml", text).unwrap_err().to_string()
}

#[test]
fn errors_name_file_rule_and_key() {
    insta::assert_snapshot!(error("[[rules]]\nregex='x'\n"), @r#"mine.toml, rule `#1`, key `id`: missing; give every rule a unique `id`"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\n"), @r#"mine.toml, rule `a`, key `regex`: there is neither `regex` nor `path`, and no rule of this name is extended; say what the secret looks like, or extend the file that has the rule"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='x'\n[[rules]]\nid='a'\nregex='y'\n"), @r#"mine.toml, rule `a`, key `id`: the id is taken by a rule in mine.toml; rename one of them, or extend the other file"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='x'\nsecretGroup=2\n"), @r#"mine.toml, rule `a`, key `secretGroup`: group 2 does not exist; the regex has 0; groups count from 1"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='x'\nkeywords='x'\n"), @r#"mine.toml, rule `a`, key `keywords`: not a list of strings; write `["one", "two"]`"#);
    insta::assert_snapshot!(error("title='none'\n"), @r#"mine.toml: there is no rule in it; a scan without rules would always find nothing; add `[[rules]]`, or `[extend]` with `useDefault = true`"#);
    let text = error("[[rules]]\nid='a'\nregex='(?=x)'\n");
    assert!(text.starts_with("mine.toml, rule `a`, key `regex`: `(?=` is look-around"), "{text}");
    assert!(error("[[rules").starts_with("mine.toml: not valid TOML"));
}

#[test]
fn rules_that_never_find_anything_are_told() {
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex=''\n"), @r#"mine.toml, rule `a`, key `regex`: there is neither `regex` nor `path`, and no rule of this name is extended; say what the secret looks like, or extend the file that has the rule"#);
    let idle = "[[rules]]\nid='a'\nregex='()'\n[[rules]]\nid='b'\nregex='[^\\x00-\\x{10FFFF}]'\n\
        [[rules]]\nid='c'\nregex='x'\nskipReport=true\n";
    insta::assert_snapshot!(error(idle), @r#"mine.toml: none of its rules can find anything: each has `skipReport`, or a regex that matches no text; a scan without rules would always find nothing; add `[[rules]]`, or `[extend]` with `useDefault = true`"#);
    let set = RuleSet::parse("mine.toml", &format!("{idle}[[rules]]\nid='d'\nregex='x?'\n")).unwrap();
    insta::assert_snapshot!(set.warnings().join("\n"), @r#"
mine.toml, rule `a`, key `regex`: it matches nothing, or nothing but empty text, so the rule never finds anything
mine.toml, rule `b`, key `regex`: it matches nothing, or nothing but empty text, so the rule never finds anything
0 built-in rules are active; 4 rules of yours
"#);
    let alone = set.select(&["c".to_owned()], &[]).unwrap_err().to_string();
    assert!(alone.contains("only serve others"), "{alone}");
    // As in gitleaks, an empty regex is one that is not given.
    let set = RuleSet::parse("mine.toml", "[[rules]]\nid='a'\nregex=''\npath='\\.pem$'\n").unwrap();
    assert!(set.rules()[0].path_only);
    let extended = "[extend]\nuseDefault=true\n[[rules]]\nid='github-token'\nregex=''\ndescription='ours'\n";
    let set = RuleSet::parse("mine.toml", extended).unwrap();
    let rule = set.rules().iter().find(|rule| rule.id == "github-token").unwrap();
    assert_eq!(rule.description, "ours");
    assert!(rule.pattern.text().contains("gh"));
}

#[test]
fn unknown_keys_warn() {
    let set = RuleSet::parse("mine.toml", "extra=1\nminVersion='v9.1'\n[[rules]]\nid='a'\nregex='x'\nverify=true\n[[rules.allowlists]]\nregexes=['.*']\n").unwrap();
    insta::assert_snapshot!(set.warnings().join("\n"), @r#"
mine.toml, rule `a`, key `allowlist`: a pattern matches everything, which switches its rules off
mine.toml, rule `a`, key `verify`: not known, ignored
mine.toml, key `minVersion`: newer than the format known here (gitleaks 8.30): a key may not be known
mine.toml, key `extra`: not known, ignored
0 built-in rules are active; 1 rule of yours
"#);
}

#[test]
fn folders_load_sorted_and_empty_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(RuleSet::load(&[folder.path().to_owned()]).unwrap_err().to_string().contains("there is no rule"));
    std::fs::write(folder.path().join("b.toml"), "[[rules]]\nid='b'\nregex='x'\n").unwrap();
    std::fs::write(folder.path().join("a.toml"), "[[rules]]\nid='a'\nregex='x'\n").unwrap();
    std::fs::write(folder.path().join("note.md"), "not a rule").unwrap();
    let set = RuleSet::load(&[folder.path().to_owned()]).unwrap();
    assert_eq!(set.rules().iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(RuleSet::load(&[folder.path().join("missing.toml")]).is_err());
}

#[test]
fn templates_expand_the_same_way_every_time() {
    let once = template::expand("a{{b}{hex:8}{A-C_:4}", 7).unwrap();
    assert_eq!(once, template::expand("a{{b}{hex:8}{A-C_:4}", 7).unwrap());
    assert!(once.starts_with("a{b}"), "{once}");
    assert_ne!(once, template::expand("a{{b}{hex:8}{A-C_:4}", 8).unwrap());
    for wrong in ["{hex}", "{hex:", "{hex:99999}", "{:3}"] {
        assert!(template::expand(wrong, 1).is_err(), "{wrong}");
    }
}

#[test]
fn a_bare_secret_beside_an_id_is_a_key() {
    let set = RuleSet::builtin().unwrap();
    let key = quell_core::secret::FingerprintKey::new([1; 32]);
    let text = template::expand("user,id,secret\ndeploy,AKIA{Q-Z:1}{A-Z2-7:15},{base64:40}\n", 12).unwrap();
    let scan = |text: &str| {
        crate::Scanner::new(&set, &key)
            .reader("keys.csv", &mut text.as_bytes(), &mut |_| {})
            .unwrap()
            .findings
    };
    let found = scan(&text);
    let secret = found.iter().find(|finding| finding.rule == "aws-secret-beside-id").unwrap();
    let id = text.split(',').nth(3).unwrap();
    assert_eq!(secret.confidence, crate::Confidence::High);
    assert_eq!(secret.joined.len(), 1);
    assert_eq!(secret.joined[0].name, "access key id");
    assert_eq!(secret.joined[0].text.as_deref(), Some(id));
    assert_eq!(secret.joined[0].fingerprint, key.fingerprint_bytes(id.as_bytes()));
    assert_eq!(secret.details["account"].len(), 12);
    let far = text.replace(',', &" ".repeat(300));
    assert!(scan(&far).iter().all(|finding| finding.rule != "aws-secret-beside-id"));
}

#[test]
fn context_covers_what_a_match_depends_on() {
    let set = RuleSet::parse(
        "mine.toml",
        "[[rules]]\nid='a'\nregex='x'\n[[rules.parts]]\nname='n'\nregex='y'\nwithin=512\n",
    )
    .unwrap();
    assert!(set.rules()[0].context() >= 2048);
    let error = |text: &str| error(&format!("[[rules]]\nid='a'\nregex='x'\n{text}"));
    insta::assert_snapshot!(error("[[rules.parts]]\nname='n'\nregex='y'\nwithin=513\n"), @r#"mine.toml, rule `a`, key `parts.within`: out of range; it is a number of bytes from 1 to 512"#);
    insta::assert_snapshot!(error("checksum='md5'\n"), @r#"mine.toml, rule `a`, key `checksum`: not known; write one of discord, github, gitlab, jwt, npm, pypi"#);
}

proptest::proptest! {
    #[test]
    fn any_text_as_rules_is_an_error_or_a_set(text in "\\PC{0,200}") {
        drop(RuleSet::parse("any.toml", &text));
        drop(template::expand(&text, 1));
    }

    #[test]
    fn any_values_under_known_keys_are_an_error_or_a_set(
        keys in proptest::collection::vec((0..KEYS.len(), 0..VALUES.len()), 0..8),
        regex in r"[\[\](){}\\^$.|?*+a\-:&~0-9,pPQEdwsb<>x]{0,30}",
    ) {
        let mut text = String::from("[[rules]]\nid = 'one'\n");
        let mut seen = std::collections::BTreeSet::new();
        for (key, value) in keys {
            if seen.insert(key) {
                text.extend([KEYS[key], " = ", VALUES[value].replace("REGEX", &regex).as_str(), "\n"]);
            }
        }
        drop(RuleSet::parse("any.toml", &text));
    }
}

const KEYS: &[&str] = &[
    "regex",
    "path",
    "secretGroup",
    "entropy",
    "keywords",
    "tags",
    "allowlists",
    "allowlist",
    "required",
    "parts",
    "checksum",
    "skipReport",
    "window",
    "prefix",
    "name",
    "value",
    "extend",
];
const VALUES: &[&str] = &[
    "'REGEX'",
    "'a'",
    "['REGEX', 'a']",
    "3",
    "-1",
    "2.5",
    "true",
    "{}",
    "[{}]",
    "[{ id = 'one', withinLines = 1 }]",
    "[{ name = 'n', regex = 'REGEX' }]",
    "{ regexes = ['REGEX'], condition = 'AND', paths = ['REGEX'] }",
    "nan",
    "[[]]",
];
