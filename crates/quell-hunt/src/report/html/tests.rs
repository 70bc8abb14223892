//! The page, with hostile text in every place.

use super::*;
use crate::report::sample::{Sample, access};

/// What breaks out of text, of an attribute, of an element that holds no markup, and of the reading order.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\" onload=\"x",
    "' onclick='x",
    "</svg></title></style><img src=x>",
    "a\u{202e}b\u{2066}c\u{61c}\u{0}\u{1b}[2J\r\n",
    "{{ 7*7 }}{% raw %}&lt;b&gt;",
];

/// The page without the texts of strangers, which stand where `mark` was.
fn page(text: &str) -> String {
    render(&Sample::of(text).report()).unwrap()
}

/// All tags and their attributes, in order: what a browser makes of a page, apart from its text.
fn skeleton(page: &str) -> Vec<String> {
    let (head, body) = page.split_once("</style>").unwrap();
    let tags = head.split_once("<style>").unwrap().0.split('<').chain(body.split('<')).skip(1);
    tags.map(|tag| tag.split('>').next().unwrap().to_owned()).collect()
}

#[test]
fn no_text_changes_the_markup_or_the_order_of_reading() {
    let plain = skeleton(&page("a plain text"));
    assert!(plain.len() > 200, "{}", plain.len());
    for hostile in HOSTILE {
        let page = page(hostile);
        assert_eq!(skeleton(&page), plain, "{hostile}");
        assert!(!page.chars().any(|it| it.is_control() && it != '\n'), "{hostile:?}");
        assert!(!page.contains(['\u{202e}', '\u{2066}', '\u{61c}']), "{hostile:?}");
        assert!(!page.contains("&amp;amp;") && !page.contains(">49<"), "{hostile:?}");
    }
    assert!(page(HOSTILE[4]).contains("a\\u{202e}b\\u{2066}c\\u{61c}\\u{0}\\u{1b}[2J\\u{d}\\u{a}"));
    assert!(page("<b>").contains("&lt;b&gt;"));
    assert!(page("<b>").contains("<td>&lt;b&gt; (another one)</td>"), "the row of the access log");
    assert!(page("<b>").contains("Times without a zone were read as of &lt;b&gt;"));
    assert!(page("<b>").contains("mapping file with SHA-256 &lt;b&gt; says"));
}

#[test]
fn nothing_is_loaded_or_run_and_the_policy_says_so() {
    let page = page("x");
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    assert!(page.contains(&format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'")));
    for word in ["<script", "<link", "<img", "http://", "https://", "@import", "style=", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
    // Patterns of the drawing are the only references, within the page.
    assert_eq!(page.matches("url(").count(), page.matches("url(#").count());
}

#[test]
fn the_same_report_is_the_same_bytes() {
    assert_eq!(page("x"), page("x"));
}

#[test]
fn the_drawing_holds_every_use_in_its_place() {
    let mut uses: Vec<Access> = (0..240).map(|minute| access(minute, "203.0.113.9")).collect();
    for (place, access) in uses.iter_mut().enumerate() {
        if place % 2 == 0 {
            access.outcome = Outcome::Allowed;
        }
        if place >= 200 {
            access.address = Some("198.51.100.7".to_owned());
        }
    }
    let sample = Sample::with("x", uses);
    let plot = plot::plot(&sample.report()).unwrap();
    let json = serde_json::to_value(&plot).unwrap();
    let lanes = json["lanes"].as_array().unwrap();
    let told: Vec<(&str, &str, u64)> = lanes
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["kind"].as_str().unwrap(), it["total"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("203.0.113.9", "foreign", 200), ("yours (--known)", "own", 40)]);
    let (left, right) = (json["left"].as_i64().unwrap(), json["right"].as_i64().unwrap());
    for bar in lanes.iter().flat_map(|lane| lane["bars"].as_array().unwrap()) {
        let number = |name: &str| bar[name].as_i64().unwrap();
        assert!((left..right).contains(&number("x")), "{bar}");
        assert!(number("allowed_height") > 0 && number("other_height") > 0, "{bar}");
        assert!(bar["title"].as_str().unwrap().ends_with("1 allowed, 1 not"), "{bar}");
    }
    // The exposure is at minute 10 of 240, the end of the credential at minute 80.
    let marks: Vec<i64> =
        json["marks"].as_array().unwrap().iter().map(|it| it["x"].as_i64().unwrap()).collect();
    assert_eq!(marks, [left + 30, left + 240]);
    // A stream that is too quiet to judge is not drawn as a gap.
    assert_eq!(json["gaps"].as_array().unwrap().len(), 2);
}

#[test]
fn times_that_somebody_made_up_are_drawn_without_harm() {
    let far = |time: Timestamp| Access { time: Some(time), ..access(0, "a") };
    let sample = Sample::with("a", vec![far(Timestamp::MIN), access(5, "a"), far(Timestamp::MAX)]);
    let page = render(&sample.report()).unwrap();
    assert!(page.contains("9999-12-30T22:00:00.999999999Z"));
    let sample = Sample::with("a", vec![Access { time: None, ..access(0, "a") }]);
    let page = render(&sample.report()).unwrap();
    assert!(page.contains("1 use has no time and is not drawn"), "the gaps still have times");
}

#[test]
fn long_lists_are_cut_and_say_so() {
    let uses: Vec<Access> =
        (0..4000).map(|n| Access { sha256: format!("{n:064x}"), ..access(n, "a") }).collect();
    let page = render(&Sample::with("a", uses).report()).unwrap();
    assert!(page.contains("The first 3000 of 4000 records"));
    assert!(page.matches("<td>2026-03").count() >= 3000);
    assert!(page.len() < 4 << 20, "{}", page.len());
}
