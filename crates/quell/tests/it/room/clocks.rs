//! Clocks count down, change color and shape, and speak; also where the person's own clock is wrong.

use quell_testkit::browser::{Browser, Driver, Script};

use super::super::world::{Roles, Servers, World};
use super::{Room, found};

/// A machine whose clock is three hours ahead, and can be put forward further.
const WRONG: &str =
    "const real = Date.now.bind(Date); window.ahead = 10800000; Date.now = () => real() + window.ahead;";

/// The clock that is due first.
const FIRST: &str = "const first = Array.from(document.querySelectorAll('[data-deadline]')) \
    .sort((a, b) => Date.parse(a.dataset.deadline) - Date.parse(b.dataset.deadline))[0];";

/// Name of the first clock and the words beside it.
fn first(page: &Browser) -> (String, String) {
    let it = found(page, &format!("{FIRST} return [first.dataset.name, first.textContent]"));
    (it[0].as_str().unwrap().to_owned(), it[1].as_str().unwrap().to_owned())
}

/// Lets time pass until so many seconds are left on the first clock, and waits for what it then shows and says.
fn pass(page: &Browser, left: i64, (tone, shape): (&str, &str), said: &str) {
    found(
        page,
        &format!(
            "{FIRST} window.ahead += Date.parse(first.dataset.deadline) - window.start - (Date.now() - window.then) - {left}000; return 1"
        ),
    );
    let script = format!(
        "{FIRST} const box = first.closest('.clock'); \
         return [box.classList.contains('warn') ? 'warn' : box.classList.contains('bad') ? 'bad' : '', \
         box.querySelector('.mark').textContent, document.querySelector('#say').textContent]"
    );
    page.wait(&format!("{left} s left: {tone} {shape} and the words {said}"), |page| {
        let now = page.run(&script, &[])?;
        Ok(now[0] == tone && now[1] == shape && now[2].as_str().is_some_and(|it| it.contains(said)))
    })
    .unwrap();
}

#[test]
fn clocks_count_down_change_and_speak_by_the_servers_time() {
    let servers = Servers::start();
    let world = World::new(&servers, "clocks", Roles::Alternating, "{}");
    let id = world.open("chat");
    let room = Room::start(&world);
    let driver = Driver::start().unwrap();
    let page = driver.browser(Script::On).unwrap();
    page.before_pages(WRONG).unwrap();
    room.sign_in(&page);
    for (place, name) in [
        (format!("/incidents/{id}"), None),
        (format!("/incidents/{id}/notices"), Some("next update".to_owned())),
        ("/numbers".to_owned(), None),
    ] {
        page.open(&room.url(&place)).unwrap();
        // The page's own news would put its clock right again.
        let begun = "window.fetch = () => new Promise(() => {}); \
            window.start = Date.parse(document.querySelector('[data-now]').dataset.now); window.then = Date.now();";
        found(&page, &format!("{begun} return 1"));
        let (clock, words) = first(&page);
        assert_eq!(name.unwrap_or(clock.clone()), clock, "{place}");
        assert!(words.ends_with(" left"), "three hours are not counted: {words} on {place}");
        let timers = "return document.querySelectorAll('[data-deadline]:not([role=timer])').length";
        assert_eq!(found(&page, timers), serde_json::json!(0), "{place}");
        page.wait("a second less", |page| Ok(first(page).1 != words)).unwrap();

        pass(&page, 900, ("", "●"), "");
        assert_eq!(page.text("#say").unwrap(), "", "nothing is said between thresholds");
        pass(&page, 598, ("", "●"), &format!("The clock {clock} has 9 min"));
        pass(&page, 298, ("warn", "▲"), &format!("The clock {clock} has 4 min"));
        pass(&page, 58, ("warn", "▲"), &format!("The clock {clock} has 5"));
        pass(&page, -2, ("bad", "✕"), &format!("The clock {clock} is missed"));
        assert!(first(&page).1.starts_with("missed "), "{:?}", first(&page));
    }
}
