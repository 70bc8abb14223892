//! Small charts as SVG. The numbers stand in a table beside each.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::graph::escaped;
use super::words::{When, milliseconds};

const WIDTH: i64 = 720;
const HEIGHT: i64 = 220;
const LEFT: i64 = 90;
const LOW: i64 = 180;
const TOP: i64 = 16;

/// A line of a chart: what it is called, and its times in milliseconds, one for each name of the chart. The first line has round marks, the second
/// square ones.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) times: Vec<Option<i64>>,
}

/// Lines through times, oldest first; nothing when no line has two of them.
pub(crate) fn trend(names: &[String], lines: &[Line<'_>], label: &str) -> Option<String> {
    if !lines.iter().any(|line| line.times.iter().flatten().count() > 1) {
        return None;
    }
    let most = lines.iter().flat_map(|line| line.times.iter().flatten()).max()?.max(&1);
    let last = i64::try_from(names.len()).ok()?.saturating_sub(1).max(1);
    let mut out = frame(label);
    for (part, of) in [(0, 2), (1, 2), (2, 2)] {
        let y = LOW - part * (LOW - TOP) / of;
        let _infallible = write!(
            out,
            r#"<line class="rule" x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}"/><text class="sub" x="{}" y="{}" text-anchor="end">{}</text>"#,
            LEFT - 8,
            y + 4,
            escaped(&milliseconds(Some(most * part / of)))
        );
    }
    for (line, class) in lines.iter().zip(["", " second"]) {
        let place = |(i, (name, ms)): (i64, (_, &Option<i64>))| {
            let (x, ms) = (LEFT + 20 + i * (WIDTH - LEFT - 40) / last, (*ms)?);
            Some((name, ms, x, LOW - ms * (LOW - TOP) / most))
        };
        let placed: Vec<(&String, i64, i64, i64)> =
            (0..).zip(names.iter().zip(&line.times)).filter_map(place).collect();
        let points: Vec<String> = placed.iter().map(|(_, _, x, y)| format!("{x},{y}")).collect();
        let _infallible = write!(out, r#"<polyline class="trend{class}" points="{}"/>"#, points.join(" "));
        for (name, ms, x, y) in placed {
            let title = escaped(&format!("{name}, {}: {}", line.name, milliseconds(Some(ms))));
            let _infallible = if class.is_empty() {
                write!(
                    out,
                    r#"<circle class="point" cx="{x}" cy="{y}" r="5"><title>{title}</title></circle>"#
                )
            } else {
                let (x, y) = (x - 4, y - 4);
                write!(
                    out,
                    r#"<rect class="point{class}" x="{x}" y="{y}" width="9" height="9"><title>{title}</title></rect>"#
                )
            };
        }
    }
    let marks: Vec<String> =
        lines.iter().zip(["●", "■"]).map(|(line, mark)| format!("{mark} {}", line.name)).collect();
    let ends = [
        (names.first().cloned(), LEFT, "start"),
        (Some(marks.join("\u{a0}\u{a0}\u{a0}")), i64::midpoint(LEFT, WIDTH), "middle"),
        (names.get(1..).and_then(<[_]>::last).cloned(), WIDTH, "end"),
    ];
    for (words, x, anchor) in ends {
        let Some(words) = words else { continue };
        let _infallible = write!(
            out,
            r#"<text class="sub" x="{x}" y="{}" text-anchor="{anchor}">{}</text>"#,
            LOW + 24,
            escaped(&words)
        );
    }
    out.push_str("</svg>");
    Some(out)
}

/// Uses over time: squares for what is unusual, in a row of its own, dots for the rest.
pub(crate) fn uses(points: &[(Timestamp, bool)], label: &str) -> Option<String> {
    let (first, last) = (points.iter().map(|it| it.0).min()?, points.iter().map(|it| it.0).max()?);
    let span = last.as_second().saturating_sub(first.as_second()).max(1);
    let mut out = frame(label);
    for (words, y) in [("unusual", 60), ("usual", 130)] {
        let _infallible = write!(
            out,
            r#"<line class="rule" x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}"/><text class="sub" x="{}" y="{}" text-anchor="end">{words}</text>"#,
            LEFT - 8,
            y + 4
        );
    }
    for (at, odd) in points {
        let x = LEFT + 20 + at.as_second().saturating_sub(first.as_second()) * (WIDTH - LEFT - 40) / span;
        let _infallible = if *odd {
            write!(
                out,
                r#"<rect class="odd" x="{}" y="55" width="10" height="10"><title>{}, unusual</title></rect>"#,
                x - 5,
                When::from(*at).words()
            )
        } else {
            write!(
                out,
                r#"<circle class="point" cx="{x}" cy="130" r="4"><title>{}</title></circle>"#,
                When::from(*at).words()
            )
        };
    }
    for (at, x, anchor) in [(first, LEFT, "start"), (last, WIDTH, "end")] {
        let _infallible = write!(
            out,
            r#"<text class="sub" x="{x}" y="{}" text-anchor="{anchor}">{}</text>"#,
            LOW + 24,
            When::from(at).words()
        );
    }
    out.push_str("</svg>");
    Some(out)
}

fn frame(label: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}"><line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{LOW}"/><line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{LOW}" y2="{LOW}"/>"#,
        escaped(label)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_stay_inside_their_frame_and_escape_names() {
        let names = ["<b>", "two", "three"].map(str::to_owned);
        let proof = Line { name: "to proof", times: vec![Some(0), Some(900), Some(300)] };
        let cut = Line { name: "to cut off", times: vec![None, Some(450), Some(150)] };
        let chart = trend(&names, &[proof, cut], "times").unwrap();
        assert!(!chart.contains("<b>"), "{chart}");
        assert!(chart.contains(r#"points="110,180 405,16 700,126""#), "{chart}");
        assert!(
            chart.contains(r#"points="405,98 700,153""#),
            "a drill that was not cut off is no zero: {chart}"
        );
        assert_eq!((chart.matches("<circle").count(), chart.matches("<rect").count()), (3, 2));
        assert!(chart.contains("● to proof\u{a0}\u{a0}\u{a0}■ to cut off"), "{chart}");
        let one = Line { name: "to proof", times: vec![None, Some(900), None] };
        assert!(trend(&names, &[one], "a point is no line").is_none());
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let dots = uses(&[(at(10), true), (at(20), false), (at(30), false)], "uses").unwrap();
        assert_eq!((dots.matches("<rect").count(), dots.matches("<circle").count()), (1, 2));
        assert!(uses(&[], "none").is_none());
        assert!(uses(&[(at(5), true)], "one").is_some());
    }
}
