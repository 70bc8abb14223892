//! Small charts as SVG. The numbers stand in a table beside each.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::graph::escaped;
use super::words::milliseconds;

const WIDTH: i64 = 720;
const HEIGHT: i64 = 220;
const LEFT: i64 = 90;
const LOW: i64 = 180;
const TOP: i64 = 16;

/// A line through times, oldest first: name and milliseconds.
pub(crate) fn trend(points: &[(String, i64)], label: &str) -> Option<String> {
    let most = points.iter().map(|(_, ms)| *ms).max()?.max(1);
    let last = i64::try_from(points.len()).ok()?.saturating_sub(1).max(1);
    let place = |(i, (_, ms)): (i64, &(String, i64))| {
        (LEFT + 20 + i * (WIDTH - LEFT - 40) / last, LOW - ms * (LOW - TOP) / most)
    };
    let placed: Vec<(i64, i64)> = (0..).zip(points).map(place).collect();
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
    let line: Vec<String> = placed.iter().map(|(x, y)| format!("{x},{y}")).collect();
    let _infallible = write!(out, r#"<polyline class="trend" points="{}"/>"#, line.join(" "));
    for ((name, ms), (x, y)) in points.iter().zip(&placed) {
        let title = escaped(&format!("{name}: {}", milliseconds(Some(*ms))));
        let _infallible =
            write!(out, r#"<circle class="point" cx="{x}" cy="{y}" r="5"><title>{title}</title></circle>"#);
    }
    let ends = [(points.first(), LEFT, "start"), (points.get(1..).and_then(<[_]>::last), WIDTH, "end")];
    for (point, x, anchor) in ends {
        let Some((name, _)) = point else { continue };
        let _infallible = write!(
            out,
            r#"<text class="sub" x="{x}" y="{}" text-anchor="{anchor}">{}</text>"#,
            LOW + 24,
            escaped(name)
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
                r#"<rect class="odd" x="{}" y="55" width="10" height="10"><title>{at:.0}, unusual</title></rect>"#,
                x - 5
            )
        } else {
            write!(out, r#"<circle class="point" cx="{x}" cy="130" r="4"><title>{at:.0}</title></circle>"#)
        };
    }
    for (at, x, anchor) in [(first, LEFT, "start"), (last, WIDTH, "end")] {
        let _infallible = write!(
            out,
            r#"<text class="sub" x="{x}" y="{}" text-anchor="{anchor}">{at:.0}</text>"#,
            LOW + 24
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
        let points: Vec<(String, i64)> =
            vec![("<b>".to_owned(), 0), ("two".to_owned(), 900), ("three".to_owned(), 300)];
        let chart = trend(&points, "times").unwrap();
        assert!(!chart.contains("<b>"), "{chart}");
        assert!(chart.contains(r#"points="110,180 405,16 700,126""#), "{chart}");
        assert_eq!(chart.matches("<circle").count(), 3);
        assert!(trend(&[], "nothing").is_none());
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let dots = uses(&[(at(10), true), (at(20), false), (at(30), false)], "uses").unwrap();
        assert_eq!((dots.matches("<rect").count(), dots.matches("<circle").count()), (1, 2));
        assert!(uses(&[], "none").is_none());
        assert!(uses(&[(at(5), true)], "one").is_some());
    }
}
