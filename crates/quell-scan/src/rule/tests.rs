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
    assert_eq!(report.findings, []);
}

#[test]
fn folders_give_the_built_in_rules_too() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let (loaded, builtin) = (RuleSet::load(&[folder]).unwrap(), RuleSet::builtin().unwrap());
    let ids = |set: &RuleSet| set.rules().iter().map(|rule| rule.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&loaded), ids(&builtin));
    assert_eq!(loaded.warnings(), <&[String]>::default());
}

fn error(text: &str) -> String {
    RuleSet::parse("mine.toml", text).unwrap_err().to_string()
}

#[test]
fn errors_name_file_rule_and_key() {
    insta::assert_snapshot!(error("[[rules]]\nregex='x'\n"), @r#"mine.toml, rule `#1`, key `id`: missing; give every rule a unique `id`"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\n"), @r#"mine.toml, rule `a`, key `regex`: missing; rules that only look at paths are not supported yet"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='x'\n[[rules]]\nid='a'\nregex='y'\n"), @r#"mine.toml, rule `a`, key `id`: the id is taken by a rule in mine.toml; rename one of them"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='x'\nsecretGroup=2\n"), @r#"mine.toml, rule `a`, key `secretGroup`: group 2 does not exist; the regex has 0; groups count from 1"#);
    insta::assert_snapshot!(error("[[rules]]\nid='a'\nregex='x'\nkeywords='x'\n"), @r#"mine.toml, rule `a`, key `keywords`: not a list of strings; write `["one", "two"]`"#);
    insta::assert_snapshot!(error("title='none'\n"), @r#"mine.toml: there is no rule in it; a scan without rules would always find nothing; add `[[rules]]` or leave out `--rules`"#);
    let text = error("[[rules]]\nid='a'\nregex='(?=x)'\n");
    assert!(text.starts_with("mine.toml, rule `a`, key `regex`: the regex does not compile"), "{text}");
    assert!(error("[[rules").starts_with("mine.toml: not valid TOML"));
}

#[test]
fn unknown_keys_warn() {
    let set = RuleSet::parse("mine.toml", "extra=1\n[extend]\nuseDefault=true\n[[rules]]\nid='a'\nregex='x'\nskipReport=true\n[[rules.allowlists]]\nregexes=['.*']\n").unwrap();
    insta::assert_snapshot!(set.warnings().join("\n"), @r#"
mine.toml, rule `a`, key `allowlist`: a pattern matches everything, which switches its rules off
mine.toml, rule `a`, key `skipReport`: not known, ignored
mine.toml, key `extend`: not supported yet: list every rule file with `--rules`
mine.toml, key `extra`: not known, ignored
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

proptest::proptest! {
    #[test]
    fn any_text_as_rules_is_an_error_or_a_set(text in "\\PC{0,200}") {
        drop(RuleSet::parse("any.toml", &text));
        drop(template::expand(&text, 1));
    }
}
