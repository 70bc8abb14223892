//! The report of an incident on paper: what the room and its pages look like when they are printed.

use quell_testkit::browser::{Driver, Script};
use serde_json::json;

use super::super::world::{Roles, Servers, World, private};
use super::{Room, found};

/// Everything that is wrong with the page on this paper, in words.
const WRONG: &str = r"
const wrong = [], name = (one) => `${one.tagName.toLowerCase()}${one.id && '#' + one.id}${[...one.classList].map((c) => '.' + c).join('')} ${one.textContent.trim().slice(0, 60)}`;
const shown = (one) => one.getClientRects().length > 0 && one.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true });
for (const one of document.querySelectorAll('nav, form, button, .button, input, select, textarea, header.top, .skip'))
  if (shown(one)) wrong.push('nobody can press it on paper: ' + name(one));
for (const one of document.querySelectorAll('details')) {
  const said = [...one.children].filter((child) => !['SUMMARY', 'FORM'].includes(child.tagName));
  for (const child of said) if (!shown(child)) wrong.push('folded away: ' + name(child));
  if (!said.length && shown(one)) wrong.push('the name of something that is not there: ' + name(one));
}
const light = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { light: (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255, a }; };
const behind = (one) => { for (; one; one = one.parentElement) { const { light: l, a } = light(getComputedStyle(one).backgroundColor); if (a > 0) return l; } return 1; };
let texts = 0, links = 0;
for (const one of document.querySelectorAll('body, body *')) {
  if (!shown(one) || one.closest('.unseen')) continue;
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  if (one.tagName === 'A') { links += 1; if (!one.textContent.trim() && !one.querySelector('text')) wrong.push('a link without words: ' + name(one)); }
  if (box.right > window.innerWidth + 1 || box.left < -1) wrong.push(`beyond the paper by ${box.right - window.innerWidth}: ` + name(one));
  if (style.overflow !== 'visible' && (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1) && !(one instanceof SVGElement)) wrong.push('cut off: ' + name(one));
  if (![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
  if (one.closest('title, style, script')) continue;
  texts += 1;
  const ink = light(one instanceof SVGElement ? style.fill : style.color);
  if (ink.light > 0.35 || ink.a < 1) wrong.push(`pale (${style.color}): ` + name(one));
  if (!(one instanceof SVGElement) && behind(one) < 0.95) wrong.push('on a dark ground: ' + name(one));
}
for (const box of document.querySelectorAll('svg .box')) if (light(getComputedStyle(box).fill).light < 0.95) wrong.push('a dark box: ' + name(box.parentElement));
return { wrong, texts, links };
";

#[test]
fn the_report_of_an_incident_is_whole_on_paper_in_either_scheme() {
    let servers = Servers::start();
    let world = World::new(&servers, "paper", Roles::Alternating, "{ approvals: { destructive: 2 } }");
    let id = world.open("public-repo");
    world.ok(&["plan", &id]);
    world.ok(&["incident", "role", &id, "commander"]);
    world.ok(&["incident", "note", &id, "The database is cut off from the outside; orders are queued."]);
    let action = [
        "incident",
        "action",
        &id,
        "gate before every push",
        "--owner",
        "team-orders",
        "--due",
        "2027-01-15",
    ];
    world.ok(&action);
    private(&world.path("cause.txt"), "no gate before the push\n- why: none is asked for");
    let cause = world.path("cause.txt").display().to_string();
    world.ok(&["incident", "post-mortem", &id, "--section", "root-cause", "--file", &cause]);
    world.ok(&["notice", "draft", &id, "update"]);
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    room.sign_in(&page);
    for part in ["", "/notices", "/post-mortem"] {
        page.open(&room.url(&format!("/incidents/{id}{part}"))).unwrap();
        for scheme in ["light", "dark"] {
            page.paper(scheme).unwrap();
            let seen = found(&page, WRONG);
            assert!(seen["wrong"] == json!([]), "{part} {scheme}: {seen:#}");
            assert!(seen["texts"].as_u64().unwrap() >= 10, "{part} {scheme}: {seen}");
            if part.is_empty() {
                assert!(seen["links"].as_u64().unwrap() >= 10, "the plan is drawn with links: {seen}");
                let told = found(&page, "return document.querySelector('#timeline').innerText");
                assert!(told.as_str().is_some_and(|text| text.contains("orders are queued")), "{told}");
            }
        }
        let pdf = page.pdf().unwrap();
        assert!(pdf.starts_with(b"%PDF-"), "{part}");
        if let Some(folder) = std::env::var_os("QUELL_PICTURES") {
            let name = format!("paper{}.pdf", part.replace('/', "-"));
            std::fs::write(std::path::Path::new(&folder).join(name), pdf).unwrap();
        }
    }
}
