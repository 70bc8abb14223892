//! Lines, written by a thread of their own: whoever reads them slowly, or not at all, stops nothing.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tracing::Level;

use super::{Counts, Format};

/// Lines that wait to be written; what comes while all places are taken is dropped and counted.
const WAITING: usize = 4096;

/// One thing that happened.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    pub(super) what: String,
    /// From the outermost span to the event itself.
    pub(super) fields: Vec<(&'static str, Value)>,
}

enum Order {
    Write(Line),
    End,
}

/// Where lines go.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    orders: SyncSender<Order>,
    counts: Arc<Counts>,
}

impl Sender {
    pub(super) fn send(&self, line: Line) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.orders.try_send(Order::Write(line))
        {
            self.counts.lines_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The writer.
#[derive(Debug)]
pub(super) struct Lines {
    sender: Sender,
    ended: Receiver<()>,
}

impl Lines {
    pub(super) fn start(format: Format, counts: Arc<Counts>) -> Self {
        let (orders, given) = sync_channel(WAITING);
        let (tell, ended) = channel();
        std::thread::spawn(move || {
            write(&given, format);
            // Whoever waited may have given up.
            let _may_be_gone = tell.send(());
        });
        Self { sender: Sender { orders, counts }, ended }
    }

    pub(super) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Waits until all that was said so far is written.
    pub(super) fn end(self, most: Duration) {
        if self.sender.orders.try_send(Order::End).is_ok() {
            let _in_time = self.ended.recv_timeout(most);
        }
    }
}

fn write(given: &Receiver<Order>, format: Format) {
    for order in given {
        let Order::Write(line) = order else { return };
        let text = match format {
            Format::Json => json(&line),
            Format::Text => text(&line),
        };
        // If stderr is gone there is nobody to tell.
        let _told = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// In this order: when, how important, what, and the rest from the outside in.
fn json(line: &Line) -> String {
    let level = line.level.as_str().to_lowercase();
    let ends =
        [("at", line.at.to_string().into()), ("level", level.into()), ("what", line.what.as_str().into())];
    let all = ends.iter().chain(&line.fields);
    let pairs: Vec<String> = all.map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
    format!("{{{}}}\n", pairs.join(","))
}

fn text(line: &Line) -> String {
    let mut text = format!("{} {:5} {}", line.at, line.level.as_str(), plain(&line.what));
    for (name, value) in &line.fields {
        let shown = match value {
            // What has a blank or steers a terminal stands in quotes, as JSON writes it.
            Value::String(words) if words.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') => {
                words.clone()
            }
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => plain(&value.to_string()),
        };
        text.push(' ');
        text.push_str(name);
        text.push('=');
        text.push_str(&shown);
    }
    text.push('\n');
    text
}

/// One line, whatever is in it.
fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let fields = vec![
            ("route", "/incidents/{id}".into()),
            ("why", "two\nlines \u{1b}[2J".into()),
            ("status", 404.into()),
        ];
        let at = "2026-11-23T03:00:00Z".parse().unwrap();
        Line { at, level: Level::WARN, what: "request".to_owned(), fields }
    }

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        insta::assert_snapshot!(text(&line()), @r#"2026-11-23T03:00:00Z WARN  request route=/incidents/{id} why="two\nlines \u001b[2J" status=404"#);
        insta::assert_snapshot!(json(&line()), @r#"{"at":"2026-11-23T03:00:00Z","level":"warn","what":"request","route":"/incidents/{id}","why":"two\nlines \u001b[2J","status":404}"#);
    }

    #[test]
    fn what_nobody_writes_is_dropped_and_counted() {
        let counts = Arc::new(Counts::default());
        // Nobody takes from this end.
        let (orders, _given) = sync_channel(2);
        let sender = Sender { orders, counts: Arc::clone(&counts) };
        for _ in 0..5 {
            sender.send(line());
        }
        assert_eq!(counts.now(), [3, 0, 0]);
    }
}
