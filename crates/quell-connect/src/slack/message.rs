//! What stands in the channel. What strangers wrote is plain text in it: neither markup nor mentions.

use serde_json::{Value, json};

use super::approval::{APPROVE, REFUSE};
use crate::connector::{Ask, Notice, Stage};

/// Longest text of a block, in characters (3,000), with room for what escaping adds to the last one.
const TEXT_MAX: usize = 2900;
/// Steps that can be approved from one message. Blocks are limited to 50.
const ASKS_MAX: usize = 10;
/// Longest value of a button, in characters.
const VALUE_MAX: usize = 2000;

/// Which notices a message shows: the first one, and the newest.
pub(super) struct Shown {
    pub(super) first: String,
    pub(super) now: String,
}

pub(super) struct Message {
    /// For notifications and screen readers.
    pub(super) text: String,
    pub(super) blocks: Vec<Value>,
    /// Of the metadata.
    pub(super) payload: Value,
}

/// The incident as it stands now.
pub(super) fn head(notice: &Notice, shown: &Shown, buttons: bool) -> Message {
    let title = format!("[{}] {}", notice.severity, notice.title);
    let mut blocks = vec![plain(&title), plain(&notice.body)];
    let stands = match notice.stage {
        Stage::Opened => ":red_circle: *opened*: nothing has been done yet",
        Stage::FirstResponse => ":large_orange_circle: *the response has begun*",
        Stage::WithPeople => ":large_yellow_circle: *machines are done, people are not*",
        Stage::Proven => ":large_green_circle: *proven inert*",
    };
    let link = notice.link.as_ref().map_or_else(String::new, |url| format!(" · <{url}|{}>", notice.incident));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": format!("{stands}{link}") }] }));
    blocks.extend(asks(notice, buttons));
    blocks.push(plain(&format!("ledger: {}", one_line(&notice.checkpoint))));
    let payload = json!({
        "id": shown.first, "shows": shown.now,
        "incident": notice.incident, "installation": notice.installation,
    });
    Message { text: escaped(&title), blocks, payload }
}

/// One notice in the thread.
pub(super) fn reply(notice: &Notice) -> Message {
    let blocks = vec![plain(&notice.title), plain(&notice.body)];
    let payload =
        json!({ "id": notice.id, "incident": notice.incident, "installation": notice.installation });
    Message { text: escaped(&notice.title), blocks, payload }
}

fn asks(notice: &Notice, buttons: bool) -> Vec<Value> {
    let mut blocks = Vec::new();
    for (n, ask) in notice.asks.iter().take(ASKS_MAX).enumerate() {
        let people = if ask.needed == 1 { "one person".to_owned() } else { format!("{} people", ask.needed) };
        blocks.push(plain(&format!("{}: {} (waits for {people})", ask.step, ask.what)));
        let value = json!({ "incident": notice.incident, "step": ask.step, "plan": ask.plan_hash }).to_string();
        if buttons && value.chars().count() <= VALUE_MAX {
            let elements = [
                button(APPROVE, "Approve", "primary", &value, ask),
                button(REFUSE, "Refuse", "danger", &value, ask),
            ];
            blocks.push(json!({ "type": "actions", "block_id": format!("quell.ask.{n}"), "elements": elements }));
        }
    }
    let more = notice.asks.len().saturating_sub(ASKS_MAX);
    if more > 0 || (!buttons && !notice.asks.is_empty()) {
        let more = if more > 0 { format!("{more} more steps wait. ") } else { String::new() };
        blocks.push(plain(&format!("{more}Approve with `quell approve {}`.", notice.incident)));
    }
    blocks
}

fn button(action: &str, word: &str, style: &str, value: &str, ask: &Ask) -> Value {
    let text = |text: &str| json!({ "type": "plain_text", "text": text });
    // Titles and texts of a dialog are limited to 100 and 300 characters.
    let question: String = escaped(&one_line(&ask.what)).chars().take(290).collect();
    json!({
        "type": "button", "action_id": action, "text": text(word), "style": style, "value": value,
        "confirm": { "title": text(&format!("{word} this step?")), "text": text(&question), "confirm": text(word), "deny": text("Back") },
    })
}

fn plain(text: &str) -> Value {
    let mut shown = String::new();
    for c in text.chars().filter(|c| !c.is_control() || *c == '\n') {
        if shown.chars().count() >= TEXT_MAX {
            shown.push('…');
            break;
        }
        shown.push_str(&entity(c));
    }
    // Slack refuses an empty text.
    if shown.trim().is_empty() {
        "-".clone_into(&mut shown);
    }
    json!({ "type": "section", "text": { "type": "plain_text", "text": shown, "emoji": false } })
}

/// The three characters that begin mentions, links and entities.
fn entity(c: char) -> String {
    match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    one_line(text).chars().take(TEXT_MAX).map(entity).collect()
}

fn one_line(text: &str) -> String {
    crate::words::control_free(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        Shown { first: "a".to_owned(), now: "b".to_owned() }
    }

    #[test]
    fn nobody_can_mention_a_channel_or_write_a_link() {
        let odd = "<!channel> <@U1> <https://evil.example|click> & @here *bold*";
        let notice = Notice { title: odd.to_owned(), body: odd.to_owned(), ..Notice::sample("a") };
        for message in [head(&notice, &shown(), true), reply(&notice)] {
            assert!(!message.text.contains(['<', '>']), "{}", message.text);
            for block in message.blocks {
                let text = block.pointer("/text/text").and_then(Value::as_str).unwrap_or_default();
                assert!(!text.contains(['<', '>']), "{text}");
                // The only markup is ours.
                let markup = block.to_string().contains("mrkdwn");
                assert!(!markup || block["type"] == "context", "{block}");
            }
        }
    }

    #[test]
    fn a_message_stays_within_the_limits() {
        let ask = |n: usize| Ask {
            step: format!("{}-{n}", "s".repeat(100)),
            plan_hash: "0".repeat(64),
            what: "&".repeat(5000),
            needed: 2,
        };
        let notice = Notice {
            title: "<".repeat(5000),
            body: "é".repeat(50_000),
            asks: (0..40).map(ask).collect(),
            ..Notice::sample("a")
        };
        let message = head(&notice, &shown(), true);
        assert!(message.blocks.len() <= 50, "{}", message.blocks.len());
        for block in &message.blocks {
            let text = block.pointer("/text/text").and_then(Value::as_str).unwrap_or_default();
            assert!(text.chars().count() <= 3000, "{}", text.chars().count());
        }
        let buttons = message.blocks.iter().filter(|block| block["type"] == "actions").count();
        assert_eq!(buttons, ASKS_MAX);
        assert!(message.blocks.iter().any(|block| block.to_string().contains("30 more steps wait")));
    }

    #[test]
    fn without_a_table_of_users_there_are_no_buttons() {
        let ask = Ask { step: "db.disable".to_owned(), plan_hash: "ab".to_owned(), what: "x".to_owned(), needed: 1 };
        let notice = Notice { asks: vec![ask], ..Notice::sample("a") };
        let message = head(&notice, &shown(), false);
        assert!(message.blocks.iter().all(|block| block["type"] != "actions"));
        assert!(message.blocks.iter().any(|block| block.to_string().contains("quell approve INC-2026-0001")));
    }
}
