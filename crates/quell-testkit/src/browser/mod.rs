//! Chromium without a window, driven as a person drives it: keys, clicks, what is on the page. Over W3C `WebDriver`
//! (<https://www.w3.org/TR/webdriver2/>), which chromedriver speaks as JSON over HTTP.

mod proxy;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::start;

pub use proxy::Proxy;

/// The key by which `WebDriver` names an element (§12.2).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Longest wait for a page to be as it should.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does the page run scripts?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Script {
    /// As usual.
    On,
    /// As where people turned it off.
    Off,
}

/// Starts browsers. It is killed on drop, with all of them.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Driver {
    /// Starts chromedriver and waits until it answers.
    pub fn start() -> anyhow::Result<Self> {
        let program = crate::program("chromedriver", &["/usr/bin"])?;
        start::again(|| Self::start_once(&program))
    }

    fn start_once(program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = crate::free_port()?;
        let path = folder.path().join("driver.log");
        let log = std::fs::File::create(&path)?;
        let child = Command::new(program)
            .arg(format!("--port={port}"))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting chromedriver")?;
        let mut driver = Self { child, port, folder };
        let answers = |driver: &Self| call(driver.port, "GET", "/status", None).is_ok();
        start::wait(&mut driver, ("chromedriver", &path), |driver| &mut driver.child, answers)?;
        Ok(driver)
    }

    /// A browser of its own: no cookie of another.
    pub fn browser(&self, script: Script) -> anyhow::Result<Browser> {
        let program = crate::program("chromium", &["/usr/bin"])?;
        let profile = tempfile::tempdir_in(self.folder.path())?;
        let mut arguments = vec![
            "--headless=new".to_owned(),
            // As root in a container there is no sandbox to be had.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--force-device-scale-factor=1".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let mut prefs = json!({});
        if script == Script::Off {
            arguments.push("--blink-settings=scriptEnabled=false".to_owned());
            prefs = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        let options = json!({ "binary": program, "args": arguments, "prefs": prefs });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "timeouts": { "pageLoad": 60_000, "script": 60_000 },
        } } });
        let made = call(self.port, "POST", "/session", Some(&wanted))?;
        let session = made.pointer("/sessionId").and_then(Value::as_str).context("no session")?.to_owned();
        Ok(Browser { port: self.port, session, _profile: profile })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

/// Keys that are no letters, as `WebDriver` writes them (§17.4.2).
pub mod key {
    /// Tabulator.
    pub const TAB: &str = "\u{e004}";
    /// Enter.
    pub const ENTER: &str = "\u{e007}";
    /// Space.
    pub const SPACE: &str = "\u{e00d}";
}

impl Browser {
    /// Opens an address and waits for the page.
    pub fn open(&self, url: &str) -> anyhow::Result<()> {
        self.post("/url", &json!({ "url": url })).map(drop)
    }

    /// Where it is.
    pub fn url(&self) -> anyhow::Result<String> {
        let url = self.get("/url")?;
        Ok(url.as_str().unwrap_or_default().to_owned())
    }

    /// The page as the browser has it now.
    pub fn source(&self) -> anyhow::Result<String> {
        let source = self.get("/source")?;
        Ok(source.as_str().unwrap_or_default().to_owned())
    }

    /// What a person reads in the first element that fits.
    pub fn text(&self, css: &str) -> anyhow::Result<String> {
        let element = self.find(css)?;
        let text = self.get(&format!("/element/{element}/text"))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Is there such an element?
    pub fn has(&self, css: &str) -> anyhow::Result<bool> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": css }))?;
        Ok(found.as_array().is_some_and(|found| !found.is_empty()))
    }

    /// An attribute of the first element that fits; `None` when it has none.
    pub fn attribute(&self, css: &str, name: &str) -> anyhow::Result<Option<String>> {
        let element = self.find(css)?;
        let value = self.get(&format!("/element/{element}/attribute/{name}"))?;
        Ok(value.as_str().map(str::to_owned))
    }

    /// Clicks.
    pub fn click(&self, css: &str) -> anyhow::Result<()> {
        let element = self.find(css)?;
        self.post(&format!("/element/{element}/click"), &json!({})).map(drop)
    }

    /// Writes into a field, behind what is in it.
    pub fn write(&self, css: &str, text: &str) -> anyhow::Result<()> {
        let element = self.find(css)?;
        self.post(&format!("/element/{element}/value"), &json!({ "text": text })).map(drop)
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub fn press(&self, keys: &str) -> anyhow::Result<()> {
        let presses: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
            })
            .collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": presses }] });
        self.post("/actions", &actions).map(drop)
    }

    /// Presses the tabulator until the focus is where it should be, as somebody without a mouse does.
    pub fn tab_to(&self, css: &str) -> anyhow::Result<()> {
        let wanted = self.find(css)?;
        for _ in 0..400 {
            let focus = self.get("/element/active")?;
            if focus.get(ELEMENT).and_then(Value::as_str) == Some(wanted.as_str()) {
                return Ok(());
            }
            self.press(key::TAB)?;
        }
        bail!("`{css}` cannot be reached with the keyboard")
    }

    /// Runs a script in the page and gives what it returns.
    pub fn run(&self, script: &str, arguments: &[Value]) -> anyhow::Result<Value> {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Runs a script that gives its answer to a call-back, its last argument.
    pub fn run_later(&self, script: &str, arguments: &[Value]) -> anyhow::Result<Value> {
        self.post("/execute/async", &json!({ "script": script, "args": arguments }))
    }

    /// Runs a script in every page from now on, before any of its own: a clock that is wrong, a window that something is missing from.
    pub fn before_pages(&self, script: &str) -> anyhow::Result<()> {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }))
    }

    /// The window's size in pixels. Below 500 a window does not go; there the screen is emulated.
    pub fn size(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let parameters = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &parameters)
    }

    /// Light or dark, as the person's system says.
    pub fn scheme(&self, scheme: &str) -> anyhow::Result<()> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }))
    }

    /// As it is printed on A4 with margins of 15 mm (CSS pixels are 1/96 inch), by a person whose system is light or dark.
    pub fn paper(&self, scheme: &str) -> anyhow::Result<()> {
        self.size(680, 1009)?;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "media": "print", "features": features }))
    }

    /// The page as PDF, with the backgrounds that it has.
    pub fn pdf(&self) -> anyhow::Result<Vec<u8>> {
        let parameters = json!({ "printBackground": true, "preferCSSPageSize": true });
        let printed =
            self.post("/goog/cdp/execute", &json!({ "cmd": "Page.printToPDF", "params": parameters }))?;
        let data = printed.get("data").and_then(Value::as_str).context("no PDF")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(data)?)
    }

    fn devtools(&self, command: &str, parameters: &Value) -> anyhow::Result<()> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).map(drop)
    }

    /// A picture of the whole page, as PNG.
    pub fn picture(&self) -> anyhow::Result<Vec<u8>> {
        let parameters = json!({ "captureBeyondViewport": true, "format": "png" });
        let taken = self
            .post("/goog/cdp/execute", &json!({ "cmd": "Page.captureScreenshot", "params": parameters }))?;
        let data = taken.get("data").and_then(Value::as_str).context("no picture")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(data)?)
    }

    /// What axe-core finds that keeps people out: one line for each, with the first place.
    pub fn barriers(&self) -> anyhow::Result<Vec<String>> {
        let axe = std::fs::read_to_string(crate::dev().join("axe/node_modules/axe-core/axe.min.js"))
            .context("axe-core is not there; run dev/setup")?;
        self.run(&format!("{axe};return 1"), &[])?;
        let script = "const done = arguments[arguments.length - 1]; \
            axe.run(document, { resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } }).then((found) => done(found.violations.map((one) => \
            `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html).slice(0, 2).join(' | ')}`)), \
            (error) => done([String(error)]));";
        let found = self.run_later(script, &[])?;
        let lines = found.as_array().context("axe-core gave no list")?;
        Ok(lines.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Waits until something holds of the page; says what the page says when it does not.
    pub fn wait(
        &self,
        what: &str,
        mut holds: impl FnMut(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "a bounded wait in tests")]
        let until = Instant::now() + PATIENCE;
        loop {
            // A page that is just changing has elements that are gone the next moment.
            if holds(self).unwrap_or(false) {
                return Ok(());
            }
            #[expect(clippy::disallowed_methods, reason = "a bounded wait in tests")]
            if Instant::now() > until {
                let text = self.text("main").unwrap_or_default();
                bail!("{what} did not come to be at {}:\n{text}", self.url().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn find(&self, css: &str) -> anyhow::Result<String> {
        let found = self.post("/element", &json!({ "using": "css selector", "value": css }));
        let found = found.with_context(|| format!("looking for `{css}`"))?;
        Ok(found.get(ELEMENT).and_then(Value::as_str).context("no element")?.to_owned())
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        call(self.port, "GET", &format!("/session/{}{path}", self.session), None)
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        call(self.port, "POST", &format!("/session/{}{path}", self.session), Some(body))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(call(self.port, "DELETE", &format!("/session/{}", self.session), None));
    }
}

/// One command; gives its `value`.
fn call(port: u16, verb: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{verb} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let answer = whole(&mut stream)?;
    let answer: Value = serde_json::from_slice(&answer).context("the driver's answer is no JSON")?;
    let value = answer.get("value").cloned().unwrap_or_default();
    if let Some(error) = value.get("error").and_then(Value::as_str) {
        bail!("{error}: {}", value.get("message").and_then(Value::as_str).unwrap_or_default());
    }
    Ok(value)
}

/// The body of an answer. It says its length, and may leave the connection open all the same.
fn whole(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut read = Vec::new();
    let mut chunk = vec![0_u8; 65_536];
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(read.get(..end).unwrap_or_default()).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            let length = length.context("an answer without a length")?;
            if let Some(body) = read.get(end + 4..end + 4 + length) {
                return Ok(body.to_vec());
            }
        }
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "the driver hung up");
        read.extend(chunk.iter().take(count));
    }
}
