//! A layered drawing of what needs what, as SVG: the same input gives the same bytes. Beside it always stands the same as a list.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Outline of a box: how bad it is to do it wrongly, or what kind of thing it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// Octagon.
    Cut,
    /// Rounded.
    Pill,
    /// Square.
    Square,
}

/// One box.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// First line.
    pub(crate) name: String,
    /// Second line: the state, with its mark.
    pub(crate) sub: String,
    /// All of it, for those who hear it.
    pub(crate) title: String,
    /// Where it leads.
    pub(crate) href: String,
    /// `good`, `warn`, `bad`, `info` or nothing.
    pub(crate) tone: &'static str,
    /// Its outline.
    pub(crate) shape: Shape,
}

const WIDTH: usize = 212;
const HEIGHT: usize = 54;
const GAP: usize = 26;
const BETWEEN: usize = 38;
const EDGE: usize = 16;
/// Characters of a box's line.
const LINE: usize = 28;
/// More boxes than that are no drawing any more.
const MOST: usize = 150;

/// The drawing; `None` when there is nothing to draw, or so much that nobody would see anything.
pub(crate) fn svg(nodes: &[Node], edges: &[(usize, usize)], label: &str) -> Option<String> {
    if nodes.is_empty() || nodes.len() > MOST {
        return None;
    }
    let edges = without_detours(nodes.len(), edges);
    let layout = Layout::of(nodes.len(), &edges);
    let mut out = String::new();
    let (width, height) = layout.size();
    let _infallible = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" aria-label="{}"><defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>"#,
        escaped(label)
    );
    for way in &layout.ways {
        out.push_str(&path(&layout, way));
    }
    out.push_str(r#"<g role="list">"#);
    for (i, node) in nodes.iter().enumerate() {
        out.push_str(&drawn(node, layout.place(i)));
    }
    out.push_str("</g></svg>");
    Some(out)
}

fn drawn(node: &Node, (x, y): (usize, usize)) -> String {
    let outline = match node.shape {
        Shape::Pill => format!(
            r#"<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{}"/>"#,
            HEIGHT / 2
        ),
        Shape::Square => {
            format!(r#"<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>"#)
        }
        Shape::Cut => {
            let (right, low, cut) = (x + WIDTH, y + HEIGHT, 12);
            format!(
                r#"<path class="box" d="M{} {y} H{} L{right} {} V{} L{} {low} H{} L{x} {} V{} z"/>"#,
                x + cut,
                right - cut,
                y + cut,
                low - cut,
                right - cut,
                x + cut,
                low - cut,
                y + cut
            )
        }
    };
    let middle = x + WIDTH / 2;
    format!(
        r#"<g role="listitem" class="{}"><a href="{}"><title>{}</title>{outline}<text x="{middle}" y="{}" text-anchor="middle">{}</text><text class="sub" x="{middle}" y="{}" text-anchor="middle">{}</text></a></g>"#,
        node.tone,
        escaped(&node.href),
        escaped(&node.title),
        y + 23,
        escaped(&short(&node.name)),
        y + 42,
        escaped(&short(&node.sub)),
    )
}

fn short(text: &str) -> String {
    if text.chars().count() <= LINE {
        return text.to_owned();
    }
    text.chars().take(LINE - 1).chain(['…']).collect()
}

/// For text and for attributes in double quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// An edge that a longer way says, too, is left out; so are those of a circle that lead back.
fn without_detours(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in edges {
        if let Some(out) = next.get_mut(*from)
            && from != to
            && *to < count
            && !out.contains(to)
        {
            out.push(*to);
        }
    }
    let reaches = |next: &[Vec<usize>], from: usize, to: usize, but: Option<(usize, usize)>| {
        let (mut seen, mut todo) = (vec![false; count], vec![from]);
        while let Some(at) = todo.pop() {
            for step in next.get(at).into_iter().flatten() {
                if Some((at, *step)) == but {
                    continue;
                }
                if *step == to {
                    return true;
                }
                if let Some(seen) = seen.get_mut(*step)
                    && !std::mem::replace(seen, true)
                {
                    todo.push(*step);
                }
            }
        }
        false
    };
    let mut forward: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, out) in next.iter().enumerate() {
        for to in out {
            if !reaches(&forward, *to, from, None)
                && let Some(own) = forward.get_mut(from)
            {
                own.push(*to);
            }
        }
    }
    let all = forward.iter().enumerate().flat_map(|(from, out)| out.iter().map(move |to| (from, *to)));
    all.filter(|(from, to)| !reaches(&forward, *from, *to, Some((*from, *to)))).collect()
}

/// Where everything stands. Behind the nodes come points at which long edges pass a layer.
struct Layout {
    /// Layer and place in it.
    at: Vec<(usize, usize)>,
    layers: Vec<Vec<usize>>,
    /// Each edge as the row of things it goes through.
    ways: Vec<Vec<usize>>,
    nodes: usize,
}

impl Layout {
    fn of(nodes: usize, edges: &[(usize, usize)]) -> Self {
        let mut layer = vec![0_usize; nodes];
        // As many rounds as there are nodes settle every longest way, since there is no circle.
        for _ in 0..nodes {
            let mut moved = false;
            for (from, to) in edges {
                let least = layer.get(*from).map_or(0, |l| l + 1);
                if let Some(own) = layer.get_mut(*to)
                    && *own < least
                {
                    *own = least;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        let mut ways = Vec::new();
        for (from, to) in edges {
            let (Some(first), Some(end)) = (layer.get(*from).copied(), layer.get(*to).copied()) else {
                continue;
            };
            let mut way = vec![*from];
            for between in first + 1..end {
                way.push(layer.len());
                layer.push(between);
            }
            way.push(*to);
            ways.push(way);
        }
        let mut layers: Vec<Vec<usize>> = vec![Vec::new(); layer.iter().max().map_or(0, |most| most + 1)];
        for (thing, own) in layer.iter().enumerate() {
            layers.get_mut(*own).into_iter().for_each(|row| row.push(thing));
        }
        let mut layout = Self { at: vec![(0, 0); layer.len()], layers, ways, nodes };
        layout.note();
        // Down and up again, twice: enough for plans, and always the same.
        for _ in 0..2 {
            layout.sweep(true);
            layout.sweep(false);
        }
        layout
    }

    /// Remembers who stands where.
    fn note(&mut self) {
        for (l, row) in self.layers.iter().enumerate() {
            for (i, thing) in row.iter().enumerate() {
                self.at.get_mut(*thing).into_iter().for_each(|at| *at = (l, i));
            }
        }
    }

    /// Puts each thing below (or above) the middle of those it hangs on.
    fn sweep(&mut self, down: bool) {
        let mut hangs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for way in &self.ways {
            for pair in way.windows(2) {
                let [above, below] = pair else { continue };
                let (who, on) = if down { (*below, *above) } else { (*above, *below) };
                hangs.entry(who).or_default().push(on);
            }
        }
        let count = self.layers.len();
        for step in 0..count {
            let l = if down { step } else { count - 1 - step };
            let at = &self.at;
            let weight = |thing: &usize| -> (usize, usize) {
                let own = at.get(*thing).map_or(0, |at| at.1);
                let on: Vec<usize> =
                    hangs.get(thing).into_iter().flatten().filter_map(|on| Some(at.get(*on)?.1)).collect();
                let middle =
                    if on.is_empty() { own * 1000 } else { on.iter().sum::<usize>() * 1000 / on.len() };
                (middle, own)
            };
            if let Some(row) = self.layers.get(l) {
                let mut row = row.clone();
                row.sort_by_key(weight);
                self.layers.get_mut(l).into_iter().for_each(|old| old.clone_from(&row));
            }
            self.note();
        }
    }

    fn width_of(&self, thing: usize) -> usize {
        if thing < self.nodes { WIDTH } else { GAP }
    }

    fn row_width(&self, row: &[usize]) -> usize {
        row.iter().map(|thing| self.width_of(*thing)).sum::<usize>() + GAP * row.len().saturating_sub(1)
    }

    fn widest(&self) -> usize {
        self.layers.iter().map(|row| self.row_width(row)).max().unwrap_or(0)
    }

    fn size(&self) -> (usize, usize) {
        (self.widest() + 2 * EDGE, self.layers.len() * (HEIGHT + BETWEEN) - BETWEEN + 2 * EDGE)
    }

    /// Left upper corner.
    fn place(&self, thing: usize) -> (usize, usize) {
        let (l, i) = self.at.get(thing).copied().unwrap_or_default();
        let row = self.layers.get(l).map(Vec::as_slice).unwrap_or_default();
        let before: usize = row.iter().take(i).map(|other| self.width_of(*other) + GAP).sum();
        (EDGE + (self.widest() - self.row_width(row)) / 2 + before, EDGE + l * (HEIGHT + BETWEEN))
    }
}

fn path(layout: &Layout, way: &[usize]) -> String {
    let middle = |thing: usize| layout.place(thing).0 + layout.width_of(thing) / 2;
    let mut d = String::new();
    for pair in way.windows(2) {
        let [from, to] = pair else { continue };
        let (x, end) = (middle(*from), middle(*to));
        let (top, bottom) = (layout.place(*from).1 + HEIGHT, layout.place(*to).1);
        let half = usize::midpoint(top, bottom);
        let start = if d.is_empty() { "M" } else { "L" };
        let _infallible = write!(d, "{start}{x} {top} C{x} {half} {end} {half} {end} {bottom} ");
        if *to >= layout.nodes {
            let _infallible = write!(d, "V{} ", bottom + HEIGHT);
        }
    }
    format!(r#"<path class="edge" marker-end="url(#head)" d="{}"/>"#, d.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        let (sub, href) = ("○ waiting".to_owned(), format!("#step-{name}"));
        Node { name: name.to_owned(), sub, title: name.to_owned(), href, tone: "", shape: Shape::Square }
    }

    #[test]
    fn a_small_plan_is_drawn_the_same_every_time() {
        let nodes = [
            node("mint"),
            Node { shape: Shape::Cut, tone: "warn", ..node("kill") },
            Node { shape: Shape::Pill, ..node("prove") },
        ];
        let drawing = svg(&nodes, &[(0, 1), (1, 2), (0, 2)], "the plan").unwrap();
        assert_eq!(
            svg(&nodes, &[(0, 2), (1, 2), (0, 1)], "the plan").unwrap(),
            drawing,
            "the order of edges says nothing"
        );
        insta::assert_snapshot!(drawing.replace("><", ">\n<"), @r##"
        <svg xmlns="http://www.w3.org/2000/svg" width="244" height="270" viewBox="0 0 244 270" role="group" aria-label="the plan">
        <defs>
        <marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">
        <path class="head" d="M0 0 L8 4 L0 8 z"/>
        </marker>
        </defs>
        <path class="edge" marker-end="url(#head)" d="M122 70 C122 89 122 89 122 108"/>
        <path class="edge" marker-end="url(#head)" d="M122 162 C122 181 122 181 122 200"/>
        <g role="list">
        <g role="listitem" class="">
        <a href="#step-mint">
        <title>mint</title>
        <rect class="box" x="16" y="16" width="212" height="54" rx="4"/>
        <text x="122" y="39" text-anchor="middle">mint</text>
        <text class="sub" x="122" y="58" text-anchor="middle">○ waiting</text>
        </a>
        </g>
        <g role="listitem" class="warn">
        <a href="#step-kill">
        <title>kill</title>
        <path class="box" d="M28 108 H216 L228 120 V150 L216 162 H28 L16 150 V120 z"/>
        <text x="122" y="131" text-anchor="middle">kill</text>
        <text class="sub" x="122" y="150" text-anchor="middle">○ waiting</text>
        </a>
        </g>
        <g role="listitem" class="">
        <a href="#step-prove">
        <title>prove</title>
        <rect class="box" x="16" y="200" width="212" height="54" rx="27"/>
        <text x="122" y="223" text-anchor="middle">prove</text>
        <text class="sub" x="122" y="242" text-anchor="middle">○ waiting</text>
        </a>
        </g>
        </g>
        </svg>
        "##);
    }

    #[test]
    fn names_never_become_markup() {
        let hostile = Node {
            name: "<script>x".to_owned(),
            title: "\"><b>".to_owned(),
            href: "\"onx='".to_owned(),
            ..node("a")
        };
        let drawing = svg(&[hostile], &[], "<&\"'").unwrap();
        assert!(
            !drawing.contains("<script") && !drawing.contains("<b>") && !drawing.contains("\"onx"),
            "{drawing}"
        );
    }

    #[test]
    fn circles_end_and_crowds_are_left_to_the_list() {
        let nodes: Vec<Node> = (0..5).map(|n| node(&n.to_string())).collect();
        let circle = [(0, 1), (1, 2), (2, 0), (3, 3), (4, 9)];
        let drawing = svg(&nodes, &circle, "a circle").unwrap();
        assert_eq!(drawing.matches("class=\"edge\"").count(), 2, "the way back is left out");
        assert_eq!(drawing.matches("listitem").count(), 5);
        let crowd: Vec<Node> = (0..=MOST).map(|n| node(&n.to_string())).collect();
        assert!(svg(&crowd, &[], "a crowd").is_none() && svg(&[], &[], "nothing").is_none());
    }

    #[test]
    fn long_ways_pass_between_the_boxes() {
        // 0 → 1 → 2 → 3 beside nothing: the long way is a detour; with another branch it is one of its own.
        assert_eq!(without_detours(4, &[(0, 1), (1, 2), (2, 3), (0, 3)]), [(0, 1), (1, 2), (2, 3)]);
        let layout = Layout::of(4, &[(0, 1), (1, 2), (3, 2)]);
        let boxes: Vec<(usize, usize)> = (0..4).map(|n| layout.place(n)).collect();
        for (i, one) in boxes.iter().enumerate() {
            for other in boxes.iter().skip(i + 1) {
                assert!(one.1 != other.1 || one.0.abs_diff(other.0) >= WIDTH, "{boxes:?} overlap");
            }
        }
    }
}
