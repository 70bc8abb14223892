//! What stands in the channel. What strangers wrote is plain text in it: neither markup nor mentions.

use serde_json::{Value, json};

use super::approval::{APPROVE, REFUSE};
use crate::connector::{Ask, Notice, Stage};

/// Longest texts, in characters. A block takes 3,000, and all blocks together about 13,200, which is not documented.
const TITLE_MAX: usize = 400;
const BODY_MAX: usize = 2000;
const ASK_MAX: usize = 250;
const QUESTION_MAX: usize = 100;
/// Steps that can be approved from one message.
const ASKS_MAX: usize = 5;
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
    let mut blocks = vec![plain(&title, TITLE_MAX), plain(&notice.body, BODY_MAX)];
    let stands = match notice.stage {
        Stage::Opened => ":red_circle: *opened*: nothing has been done yet",
        Stage::FirstResponse => ":large_orange_circle: *the response has begun*",
        Stage::WithPeople => ":large_yellow_circle: *machines are done, people are not*",
        Stage::Proven => ":large_green_circle: *proven inert*",
    };
    let link = notice.link.as_ref().map_or_else(String::new, |url| format!(" · <{url}|{}>", notice.incident));
    blocks.push(
        json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": format!("{stands}{link}") }] }),
    );
    blocks.extend(asks(notice, buttons));
    blocks.push(plain(&format!("ledger: {}", one_line(&notice.checkpoint)), TITLE_MAX));
    let payload = json!({
        "id": shown.first, "shows": shown.now,
        "incident": notice.incident, "installation": notice.installation,
    });
    Message { text: clipped(&one_line(&title), TITLE_MAX), blocks, payload }
}

/// One notice in the thread.
pub(super) fn reply(notice: &Notice) -> Message {
    let blocks = vec![plain(&notice.title, TITLE_MAX), plain(&notice.body, BODY_MAX)];
    let payload =
        json!({ "id": notice.id, "incident": notice.incident, "installation": notice.installation });
    Message { text: clipped(&one_line(&notice.title), TITLE_MAX), blocks, payload }
}

fn asks(notice: &Notice, buttons: bool) -> Vec<Value> {
    let mut blocks = Vec::new();
    for (n, ask) in notice.asks.iter().take(ASKS_MAX).enumerate() {
        let people = if ask.needed == 1 { "one person".to_owned() } else { format!("{} people", ask.needed) };
        blocks.push(plain(&format!("{} (waits for {people}): {}", ask.step, ask.what), ASK_MAX));
        let value =
            json!({ "incident": notice.incident, "step": ask.step, "plan": ask.plan_hash }).to_string();
        if buttons && value.chars().count() <= VALUE_MAX {
            let elements = [
                button(APPROVE, "Approve", "primary", &value, ask),
                button(REFUSE, "Refuse", "danger", &value, ask),
            ];
            blocks.push(
                json!({ "type": "actions", "block_id": format!("quell.ask.{n}"), "elements": elements }),
            );
        }
    }
    let more = notice.asks.len().saturating_sub(ASKS_MAX);
    if more > 0 || (!buttons && !notice.asks.is_empty()) {
        let more = if more > 0 { format!("{more} more steps wait. ") } else { String::new() };
        let how = format!("{more}Approve with `quell approve {}`.", notice.incident);
        blocks.push(plain(&how, ASK_MAX));
    }
    blocks
}

fn button(action: &str, word: &str, style: &str, value: &str, ask: &Ask) -> Value {
    let text = |text: &str| json!({ "type": "plain_text", "text": text });
    let question = clipped(&one_line(&ask.what), QUESTION_MAX);
    json!({
        "type": "button", "action_id": action, "text": text(word), "style": style, "value": value,
        "confirm": { "title": text(&format!("{word} this step?")), "text": text(&question), "confirm": text(word), "deny": text("Back") },
    })
}

fn plain(text: &str, most: usize) -> Value {
    json!({ "type": "section", "text": { "type": "plain_text", "text": clipped(text, most), "emoji": false } })
}

/// Escaped, and not longer than that with what escaping adds.
fn clipped(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut length = 0;
    for c in text.chars().filter(|c| !c.is_control() || *c == '\n') {
        let entity = entity(c);
        length += entity.chars().count();
        if length >= most {
            shown.push('…');
            break;
        }
        shown.push_str(&entity);
    }
    // Slack refuses an empty text.
    if shown.trim().is_empty() {
        "-".clone_into(&mut shown);
    }
    shown
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
        let whole = Value::from(message.blocks.clone()).to_string().chars().count();
        assert!(whole <= 13_200, "{whole}");
        for block in &message.blocks {
            let text = block.pointer("/text/text").and_then(Value::as_str).unwrap_or_default();
            assert!(text.chars().count() <= 3000, "{}", text.chars().count());
        }
        let buttons = message.blocks.iter().filter(|block| block["type"] == "actions").count();
        assert_eq!(buttons, ASKS_MAX);
        assert!(message.blocks.iter().any(|block| block.to_string().contains("35 more steps wait")));
    }

    #[test]
    fn without_a_table_of_users_there_are_no_buttons() {
        let ask = Ask {
            step: "db.disable".to_owned(),
            plan_hash: "ab".to_owned(),
            what: "x".to_owned(),
            needed: 1,
        };
        let notice = Notice { asks: vec![ask], ..Notice::sample("a") };
        let message = head(&notice, &shown(), false);
        assert!(message.blocks.iter().all(|block| block["type"] != "actions"));
        assert!(message.blocks.iter().any(|block| block.to_string().contains("quell approve INC-2026-0001")));
    }
}
