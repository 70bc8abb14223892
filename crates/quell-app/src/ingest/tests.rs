//! One report per format, as the tools write them. Values are made at run time.

use proptest::prelude::*;
use quell_scan::rule::template::expand;

use super::{Foreign, Format, read};

fn value() -> String {
    expand("{alnum:32}", 7).unwrap()
}

/// Reads a report in which `VALUE` stands for a value.
fn parse(text: &str, format: Option<Format>) -> (Format, Vec<Foreign>) {
    let (format, found) = read("report.json", &text.replace("VALUE", &value()), format).unwrap();
    (format.unwrap(), found)
}

fn only(text: &str, expected: Format) -> Foreign {
    let (format, mut found) = parse(text, None);
    assert_eq!((format, found.len()), (expected, 1));
    found.remove(0)
}

fn values(found: &Foreign) -> Vec<String> {
    found.values.iter().map(|value| value.expose_text().unwrap().to_owned()).collect()
}

#[test]
fn gitleaks() {
    let text = r#"[{"RuleID":"generic-api-key","Description":"Generic","StartLine":3,"EndLine":3,"StartColumn":9,
        "EndColumn":40,"Match":"key = VALUE","Secret":"VALUE","File":"src/a.py","SymlinkFile":"","Commit":"0123abcd",
        "Entropy":4.1,"Author":"A","Email":"a@example.com","Date":"2026-03-01T08:00:00Z","Message":"m","Tags":[],
        "Fingerprint":"0123abcd:src/a.py:generic-api-key:3"}]"#;
    let found = only(text, Format::Gitleaks);
    assert_eq!(
        (found.rule.as_str(), found.file.as_str(), found.line, found.column),
        ("generic-api-key", "src/a.py", 3, 9)
    );
    assert_eq!((values(&found), found.commit.as_deref()), (vec![value()], Some("0123abcd")));
    assert_eq!(found.seen.unwrap().to_string(), "2026-03-01T08:00:00Z");
    let redacted = only(&text.replace("\"VALUE\"", "\"REDACTED\""), Format::Gitleaks);
    assert!(redacted.values.is_empty() && redacted.reference.is_some());
}

#[test]
fn betterleaks_as_object_and_as_lines() {
    let finding = r#"{"rule_id":"aws-access-token","description":"AWS","confidence":"high",
        "match":{"full":"VALUE","value":"VALUE","fingerprint":"b96f"},
        "attributes":{"git.sha":"7b96","git.author_name":"a","git.date":"2026-11-22T06:02:49Z"},
        "location":{"path":"a.env","start_line":1,"end_line":1,"start_column":19,"end_column":38},
        "component_sets":[{"components":[{"rule_id":"x","match":{"full":"k=VALUE2","value":"VALUE2","fingerprint":"39"}}]}]}"#;
    let finding = finding.replace('\n', " ");
    let whole = format!("{{\"schema_version\":\"1\",\"findings\":[{finding}]}}");
    for (text, count) in [(whole, 1), (finding.clone(), 1), (format!("{finding}\n{finding}\n"), 2)] {
        let (format, found) = parse(&text, None);
        assert_eq!((format, found.len()), (Format::Betterleaks, count));
        assert_eq!(values(&found[0]), [value(), format!("{}2", value())]);
        assert_eq!((found[0].file.as_str(), found[0].commit.as_deref()), ("a.env", Some("7b96")));
    }
    assert!(parse("{\"schema_version\":\"1\",\"findings\":[]}", None).1.is_empty());
}

#[test]
fn kingfisher_as_envelope_and_as_lines() {
    let finding = r#"{"rule":{"title":"T","name":"n","id":"kf.n.1","description":"d"},"finding":{"snippet":"VALUE",
        "dependent_captures":{"ID":"VALUEid"},"fingerprint":"12","confidence":"high","entropy":"4.5",
        "validation":{"outcome":"valid","status":"Active Credential","response":""},"language":"Unknown","line":4,
        "column_start":7,"column_end":38,"path":"r/a.env","git_metadata":{"repository_url":"r","commit":{"id":"7b96",
        "url":"u","date":"2026-11-22","author":{"name":"a","email":"a@example.com"}},"file":{"path":"a.env"}},
        "validate_command":"kingfisher validate --rule x 'VALUE'"}}"#
        .replace('\n', " ");
    let envelope = format!("{{\"findings\":[{finding}],\"audit\":{{\"schema\":\"x\"}}}}");
    for text in [envelope, finding] {
        let found = only(&text, Format::Kingfisher);
        assert_eq!(values(&found), [value(), format!("{}id", value())]);
        assert_eq!((found.live, found.file.as_str(), found.column), (Some(true), "a.env", 8));
        assert_eq!(found.seen.unwrap().to_string(), "2026-11-22T00:00:00Z");
    }
}

#[test]
fn detect_secrets() {
    let text = r#"{"version":"1.5.0","plugins_used":[],"filters_used":[],"results":{"a.env":[
        {"type":"Secret Keyword","filename":"a.env","hashed_secret":"be87","is_verified":false,"line_number":5},
        {"type":"Secret Keyword","filename":"a.env","hashed_secret":"aaaa","is_verified":true,"is_secret":false,"line_number":9}
        ]},"generated_at":"2026-11-22T06:03:41Z"}"#;
    let (format, found) = parse(text, None);
    assert_eq!(format, Format::DetectSecrets);
    assert_eq!(
        (found[0].sha1.as_deref(), found[0].line, found[0].resolved.is_some()),
        (Some("be87"), 5, false)
    );
    assert_eq!((found[1].live, found[1].resolved.is_some()), (Some(true), true));
}

#[test]
fn trufflehog() {
    let line = r#"{"SourceMetadata":{"Data":{"Git":{"commit":"ab12","file":"keys","email":"A <a@example.com>",
        "repository":"r","timestamp":"2026-06-16 10:17:40 -0700 PDT","line":4}}},"SourceID":1,"SourceType":16,
        "SourceName":"git","DetectorType":2,"DetectorName":"AWS","DecoderName":"PLAIN","Verified":true,"Raw":"VALUE",
        "RawV2":"VALUE:x","Redacted":"VAL","ExtraData":{"account":"1"},"StructuredData":null}"#
        .replace('\n', " ");
    let (format, found) = parse(&format!("{line}\n{line}\n"), None);
    assert_eq!((format, found.len()), (Format::Trufflehog, 2));
    assert_eq!(values(&found[0]), [value(), format!("{}:x", value())]);
    assert_eq!((found[0].live, found[0].file.as_str(), found[0].line), (Some(true), "keys", 4));
    assert_eq!(found[0].rule, "aws");
}

#[test]
fn github() {
    let text = r#"[{"number":2,"created_at":"2020-11-06T18:48:51Z","url":"u","html_url":"https://git.example.com/a/2",
        "locations_url":"u","state":"resolved","resolution":"false_positive","secret_type":"adafruit_io_key",
        "secret_type_display_name":"Adafruit IO Key","secret":"VALUE","push_protection_bypassed":false},
        {"number":1,"created_at":"2020-11-06T18:18:30Z","state":"open","resolution":null,"secret_type":"mailchimp_api_key",
        "secret":"VALUE","validity":"active","publicly_leaked":true,"repository":{"full_name":"acme/orders","private":true},
        "locations":[{"type":"commit","details":{"path":"/x/secrets.txt","start_line":1,"start_column":2,"commit_sha":"f14d"}},
        {"type":"issue_body","details":{"issue_body_url":"https://git.example.com/issues/1"}}]}]"#;
    let (format, found) = parse(text, None);
    assert_eq!((format, found.len()), (Format::Github, 3));
    assert_eq!(found[0].resolved.as_deref(), Some("false_positive"));
    assert_eq!(
        (found[1].live, found[1].public, found[1].commit.as_deref()),
        (Some(true), Some(true), Some("f14d"))
    );
    assert_eq!(found[2].file, "https://git.example.com/issues/1");
    assert!(found.iter().all(|found| values(found) == [value()]));
}

#[test]
fn gitlab() {
    let text = r#"{"version":"15.0.7","vulnerabilities":[{"id":"ab","category":"secret_detection","name":"AWS token",
        "description":"d","severity":"Critical","raw_source_code_extract":"VALUE","location":{"file":".env","commit":
        {"author":"A","date":"2026-03-01T08:00:00Z","message":"m","sha":"5d00"},"start_line":7},
        "identifiers":[{"type":"gitleaks_rule_id","name":"n","value":"AWS"}]}],"scan":{"type":"secret_detection"}}"#;
    let found = only(text, Format::Gitlab);
    assert_eq!((found.rule.as_str(), found.line, found.commit.as_deref()), ("AWS", 7, Some("5d00")));
    assert_eq!(values(&found), [value()]);
}

#[test]
fn gitguardian_by_program_and_by_api() {
    let text = r#"{"id":"x","type":"commit_range","total_incidents":1,"total_occurrences":1,"scans":[
        {"id":"0123456789012345678901234567890123456789","type":"commit","total_incidents":1,"total_occurrences":1,
        "extra_info":{"author":"A","email":"a@example.com","date":"2026-03-01T08:00:00Z"},"entities_with_incidents":[
        {"mode":"NEW","filename":"a.py","incidents":[{"policy":"Secrets detection","type":"Generic Password",
        "validity":"valid","ignore_sha":"9c","known_secret":false,"incident_url":"","occurrences":[
        {"match":"VALUE","type":"password","line_start":2,"line_end":2}]}]}]}]}"#;
    let found = only(text, Format::Gitguardian);
    assert_eq!((found.file.as_str(), found.line, found.live), ("a.py", 2, Some(true)));
    assert_eq!((values(&found), found.commit.unwrap().len()), (vec![value()], 40));
    let api = r#"[{"id":3,"date":"2026-03-01T08:00:00Z","detector":{"name":"slack_bot_token","display_name":"Slack Bot Token"},
        "status":"IGNORED","ignore_reason":"test_credential","validity":"valid","gitguardian_url":"https://gg.example.com/3",
        "tags":["PUBLIC"],"occurrences":null}]"#;
    let found = only(api, Format::Gitguardian);
    assert_eq!(
        (found.resolved.as_deref(), found.public, found.values.len()),
        (Some("test_credential"), Some(true), 0)
    );
}

#[test]
fn sarif_of_any_tool() {
    let text = r#"{"$schema":"s","version":"2.1.0","runs":[{"tool":{"driver":{"name":"Some Tool"}},
        "versionControlProvenance":[{"repositoryUri":"r","revisionId":"ab12"}],"results":[
        {"ruleId":"key","message":{"text":"VALUE found"},"locations":[{"physicalLocation":{"artifactLocation":
        {"uri":"src/a%20b.py"},"region":{"startLine":2,"startColumn":5,"snippet":{"text":"VALUE"}}}},
        {"physicalLocation":{"artifactLocation":{"uri":"c.py"},"region":{"startLine":1,"snippet":{"text":"key = VALUE"}}}}]},
        {"ruleId":"key","message":{"text":"m"},"suppressions":[{"kind":"external","justification":"a fixture"}]}]}]}"#;
    let (format, found) = parse(text, None);
    assert_eq!((format, found.len()), (Format::Sarif, 3));
    assert_eq!((found[0].file.as_str(), found[0].rule.as_str()), ("src/a b.py", "some-tool:key"));
    assert_eq!(
        (values(&found[0]), values(&found[1]).len()),
        (vec![value()], 0),
        "a line of code is no value"
    );
    assert!(!found[0].description.contains(&value()), "a message may quote the value");
    assert_eq!(found[2].resolved.as_deref(), Some("a fixture"));
}

#[test]
fn what_is_no_report_says_so_without_quoting_it() {
    let wrong = format!("[{{\"RuleID\":\"x\",\"File\":\"f\",\"StartLine\":\"{}\"}}]", value());
    for (text, expected) in [
        ("", "is empty, so whether its tool ran is not known"),
        ("{\"hello\":1}", "of no format that is known"),
        ("[1,2]", "something is not what this format has there"),
        ("{\"runs\":", "it ends too early"),
        ("no json", "not valid JSON"),
        (wrong.as_str(), "something is not what this format has there"),
    ] {
        let error = read("report.json", text, None).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("report.json"), "{text}: {error}");
        assert!(!error.contains(&value()), "{error}");
    }
    assert!(read("r", "[]", None).unwrap().1.is_empty());
    assert!(read("r", "", Some(Format::Trufflehog)).unwrap().1.is_empty(), "no line, nothing found");
    assert!(read("r", "", Some(Format::Gitleaks)).is_err(), "gitleaks writes `[]`");
}

proptest! {
    #[test]
    fn any_text_is_findings_or_an_error(text in "\\PC{0,300}", format in 0..Format::ALL.len()) {
        drop(read("r", &text, None));
        drop(read("r", &text, Some(Format::ALL[format])));
    }

    /// Reports cut off anywhere.
    #[test]
    fn a_cut_report_is_an_error(keep in 1..150_usize) {
        let text = "{\"version\":\"2.1.0\",\"runs\":[{\"tool\":{\"driver\":{\"name\":\"t\"}},\"results\":[{\"ruleId\":\"r\",\
            \"locations\":[{\"physicalLocation\":{\"artifactLocation\":{\"uri\":\"a\"}}}]}]}]}";
        prop_assume!(keep < text.len());
        prop_assert!(read("r", text.get(..keep).unwrap(), None).is_err());
    }
}
