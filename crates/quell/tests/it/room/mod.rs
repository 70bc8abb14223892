//! The incident room in a real browser: headless Chromium, the real binary, a real leak.

mod clocks;
mod forms;
mod hostile;
mod hunted;
mod keyboard;
mod live;
mod look;
mod paper;
mod states;
mod steps;
mod tables;
mod verify;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use quell_testkit::browser::Browser;
use serde_json::Value;

use super::world::World;

/// A server over a world's data folder.
pub(crate) struct Room {
    child: Child,
    port: u16,
    /// The first person's code.
    code: String,
    _said: Receiver<String>,
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Room {
    /// Starts it; `ines` is an admin.
    pub(crate) fn start(world: &World<'_>) -> Self {
        let mut command = world.quell(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, said) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // Read to the end, so that the server never waits for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        let port = loop {
            let line = said.recv_timeout(Duration::from_mins(1)).expect("the server said nothing");
            if let Some((_, rest)) = line.split_once("127.0.0.1:") {
                break rest.trim_end_matches('/').parse().unwrap();
            }
        };
        // No terminal, no code: it is asked for.
        world.ok(&["person", "add", "ines", "--role", "admin"]);
        let code = world.json(&["person", "code", "ines"])["code"].as_str().unwrap().to_owned();
        Self { child, port, code, _said: said }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Signs in as the first person.
    pub(crate) fn sign_in(&self, browser: &Browser) {
        sign_in(browser, &self.url("/sign-in"), &self.code);
    }

    /// Lets somebody else in and signs in as them.
    pub(crate) fn sign_in_as(&self, world: &World<'_>, browser: &Browser, name: &str, role: &str) {
        world.ok(&["person", "add", name, "--role", role]);
        let code = world.json(&["person", "code", name]);
        sign_in(browser, &self.url("/sign-in"), code["code"].as_str().unwrap());
    }
}

/// With the keyboard alone.
pub(crate) fn sign_in(browser: &Browser, url: &str, code: &str) {
    browser.open(url).unwrap();
    browser.tab_to("#code").unwrap();
    browser.press(code).unwrap();
    browser.press(quell_testkit::browser::key::ENTER).unwrap();
    browser.wait("the page after signing in", |page| page.has("nav[aria-label=Pages]")).unwrap();
}

/// What a script finds in the page.
pub(crate) fn found(browser: &Browser, script: &str) -> Value {
    browser.run(script, &[]).unwrap()
}
