//! Templates that operators bring.

use super::super::{ReportError, TEMPLATE, render};
use super::story::{CHECKPOINT, Story};

fn with(template: &str) -> Result<String, ReportError> {
    let story = Story::opened(|c| c.title = "a_b | *c*".to_owned());
    render(&story.incident(), &story.entries, CHECKPOINT, story.now, Some(template))
}

#[test]
fn an_operators_template_is_as_safe_as_ours() {
    let out = with(
        "{{ id }} {{ title }}\n{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(title) }} {{ title | safe }}\n",
    );
    assert_eq!(out.unwrap(), "INC-2026-0001 a_b \\| \\*c\\*\n[a_b \\| \\*c\\*] a_b | *c*\n");
    assert_eq!(with(TEMPLATE).unwrap(), with(TEMPLATE).unwrap());
}

#[test]
fn mistakes_name_the_line() {
    let said = |template: &str| with(template).unwrap_err().to_string();
    let all = [
        said("one\ntwo {{ titel }}\n"),
        said("{% if numbers.contaned %}x{% endif %}"),
        said("\n\n{{ title"),
        said("{% include 'other.md' %}"),
        said("\n{{ title | shout }}"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    the template post-mortem.md.j2, line 2, cannot be used: undefined value: `titel` is undefined
    the template post-mortem.md.j2, line 1, cannot be used: undefined value: `numbers.contaned` is undefined
    the template post-mortem.md.j2, line 3, cannot be used: syntax error: unexpected end of input, expected end of variable block
    the template post-mortem.md.j2, line 1, cannot be used: template not found: tried to include non-existing template 'other.md'
    the template post-mortem.md.j2, line 2, cannot be used: unknown filter: filter shout is unknown
    ");
}

#[test]
fn loops_without_an_end_are_stopped() {
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}";
    assert!(matches!(with(nested), Err(ReportError::Endless { line: 1, .. })));
    let recursion = "{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}";
    assert!(with(recursion).is_err());
    let wide = "{% set x = ['0123456789' * 100000] %}{% for a in range(9999) %}{{ x[0] | safe }}{% endfor %}";
    let said = with(wide).unwrap_err().to_string();
    assert!(said.contains("did not end within 67108864 bytes of output"), "{said}");
}
