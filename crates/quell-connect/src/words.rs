//! What systems say about a failure, made fit to be repeated.

use std::io::ErrorKind;

/// Longest piece of a server's message that is repeated.
const MESSAGE_MAX: usize = 300;

/// One line, bounded.
pub(crate) fn one_line(text: &str) -> String {
    control_free(text).chars().take(MESSAGE_MAX).collect()
}

/// One line, whole.
pub(crate) fn control_free(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Takes a value out of a message. A server that asked for the password in clear could repeat it.
pub(crate) fn without(message: &str, value: &str) -> String {
    if value.is_empty() { message.to_owned() } else { message.replace(value, "…") }
}

/// A failure of a database's driver; `told` is the server's own message, when it gave one.
pub(crate) fn of_database(error: &sqlx::Error, told: Option<&str>) -> String {
    let text = match (told, error) {
        (Some(told), _) => told.to_owned(),
        (None, sqlx::Error::Io(io)) if io.kind() == ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        (None, sqlx::Error::Io(io)) if io.kind() == ErrorKind::UnexpectedEof => {
            "the server closed the connection".to_owned()
        }
        (None, other) => other.to_string(),
    };
    one_line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_value_is_taken_out() {
        assert_eq!(without("no hunter2 here, hunter2", "hunter2"), "no … here, …");
        assert_eq!(without("as it is", ""), "as it is");
    }

    #[test]
    fn a_message_is_one_short_line() {
        assert_eq!(one_line("two\nlines\u{1b}[31m"), "two lines [31m");
        assert_eq!(one_line(&"ä".repeat(1000)).chars().count(), MESSAGE_MAX);
    }
}
