//! One notice as a message.

use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::connector::Notice;
use crate::words::control_free;

/// Longest subject, in characters.
const SUBJECT_MAX: usize = 300;
/// Steps that are named.
const ASKS_MAX: usize = 20;

/// As it is sent, and its id.
pub(super) fn build(notice: &Notice, from: &Mailbox, to: &[Mailbox]) -> Option<(Vec<u8>, String)> {
    let domain = from.email.domain();
    // The same for every try: mail systems drop what they have.
    let id = id(&[&notice.installation, &notice.id], domain);
    // What all notices of the incident answer to, so that programs show one thread.
    let root = id_of_incident(notice, domain);
    let subject: String =
        control_free(&format!("[{}] {}", notice.severity, notice.title)).chars().take(SUBJECT_MAX).collect();
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(subject)
        .message_id(Some(id.clone()))
        .in_reply_to(root.clone())
        .references(root)
        .header(ContentType::TEXT_PLAIN);
    for to in to {
        builder = builder.to(to.clone());
    }
    // Nobody's holiday answers it.
    for (name, value) in
        [("Auto-Submitted", "auto-generated".to_owned()), ("X-Quell-Notice", printable(&notice.id))]
    {
        let name = HeaderName::new_from_ascii(name.to_owned()).ok()?;
        builder = builder.raw_header(HeaderValue::new(name, value));
    }
    Some((builder.body(text(notice)).ok()?.formatted(), id))
}

fn id(parts: &[&str], domain: &str) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hex: String = hex::encode(hash.finalize()).chars().take(40).collect();
    format!("<{hex}.quell@{domain}>")
}

fn id_of_incident(notice: &Notice, domain: &str) -> String {
    id(&[&notice.installation, &notice.incident], domain)
}

fn text(notice: &Notice) -> String {
    let mut parts = vec![notice.title.clone(), notice.body.clone()];
    parts.extend(notice.link.clone());
    if !notice.asks.is_empty() {
        let mut lines = vec![format!("Steps that wait for people (`quell approve {}`):", notice.incident)];
        for ask in notice.asks.iter().take(ASKS_MAX) {
            lines.push(format!("* {}: {}", ask.step, control_free(&ask.what)));
        }
        let more = notice.asks.len().saturating_sub(ASKS_MAX);
        if more > 0 {
            lines.push(format!("* and {more} more"));
        }
        parts.push(lines.join("\n"));
    }
    parts.push(format!("Checkpoint of the ledger; keep it:\n\n{}", notice.checkpoint));
    let text: String = parts.join("\n\n").chars().filter(|c| !c.is_control() || *c == '\n').collect();
    text.replace('\n', "\r\n")
}

/// Fit for a header of its own.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Ask;

    fn mailbox(text: &str) -> Mailbox {
        text.parse().unwrap()
    }

    fn message(notice: &Notice) -> (String, String) {
        let to = [mailbox("Ines <ines@example.com>"), mailbox("otto@example.com")];
        let (bytes, id) = build(notice, &mailbox("Quell <quell@example.com>"), &to).unwrap();
        (String::from_utf8(bytes).unwrap(), id)
    }

    #[test]
    fn nobody_adds_a_header_or_ends_the_message() {
        let odd = "x\r\nBcc: all@example.com\r\n\r\n.\r\nMAIL FROM:<evil@example.com>";
        let notice = Notice {
            id: format!("n{odd}"),
            title: odd.to_owned(),
            body: odd.to_owned(),
            asks: vec![Ask {
                step: "s".to_owned(),
                plan_hash: "p".to_owned(),
                what: odd.to_owned(),
                needed: 1,
            }],
            ..Notice::sample("a")
        };
        let (text, _) = message(&notice);
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|l| !l.starts_with([' ', '\t']))
            .filter_map(|l| l.split_once(':'))
            .map(|(n, _)| n)
            .collect();
        assert!(!names.contains(&"Bcc") && names.contains(&"X-Quell-Notice"), "{names:?}");
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), names.len(), "{names:?}");
    }

    #[test]
    fn a_repeat_has_the_same_id_and_all_notices_of_an_incident_one_thread() {
        let (first, id) = message(&Notice::sample("a"));
        assert_eq!(message(&Notice::sample("a")).1, id);
        let (other, other_id) = message(&Notice::sample("b"));
        assert_ne!(id, other_id);
        let thread = |text: &str| {
            text.lines().find_map(|l| l.strip_prefix("References: ").map(str::to_owned)).unwrap()
        };
        assert_eq!(thread(&first), thread(&other));
        assert!(first.contains("Auto-Submitted: auto-generated"), "{first}");
        let elsewhere = Notice { installation: "other".to_owned(), ..Notice::sample("a") };
        assert_ne!(message(&elsewhere).1, id);
    }
}
