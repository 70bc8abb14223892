//! Texts that hold a password somewhere inside, and as a whole are none.
//!
//! Taken for a bare password, such a text is refused by every server, which says nothing about the password in it; and a bare successor
//! would take its place in the store. Shapes, as the documents of clients show them: `go-sql-driver/mysql` ("DSN"), ADO.NET
//! ("Connection String Syntax"), `StackExchange.Redis` ("Configuration"), libpq (34.1.1.1 and 34.16), shells and their `.env` files.

/// Keys of which the text behind them is the password, however they begin: `REDIS_PASSWORD`, `redisPassword`.
const SECRETS: [&str; 5] = ["password", "passwd", "pwd", "pass", "secret"];

/// Keys that stand beside one, as whole words.
const BESIDE: [&str; 14] = [
    "user",
    "uid",
    "username",
    "user id",
    "userid",
    "host",
    "hostname",
    "server",
    "data source",
    "addr",
    "address",
    "dbname",
    "database",
    "ssl",
];

/// What a text is when it is more than a password; `users` are those whose password it could be.
pub(crate) fn more_than_a_password(text: &str, users: &[&str]) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let kinds: [(&'static str, bool); 8] = [
        ("a URL of another kind", lower.contains("://")),
        ("a text with space around it", text.trim() != text),
        ("a text in quotes", ['"', '\'', '`'].into_iter().any(|quote| wrapped(text, quote, quote))),
        ("JSON", wrapped(text, '{', '}') || wrapped(text, '[', ']')),
        ("a name and a password", users.iter().any(|user| names(text, user)) || at_a_host(text)),
        ("a data source name", lower.split('@').skip(1).any(is_protocol)),
        ("a connection string or an assignment", is_assigned(&lower) || is_environment(text)),
        ("a command", is_command(&lower)),
    ];
    kinds.into_iter().find_map(|(kind, is)| is.then_some(kind))
}

fn wrapped(text: &str, open: char, close: char) -> bool {
    text.strip_prefix(open).is_some_and(|rest| rest.ends_with(close))
}

/// `orders:…`, and a line of `.pgpass`.
fn names(text: &str, user: &str) -> bool {
    let behind = |text: &str| text.strip_prefix(user).is_some_and(|rest| rest.starts_with(':'));
    !user.is_empty()
        && (behind(text) || text.match_indices(':').any(|(at, _)| text.get(at + 1..).is_some_and(behind)))
}

/// `name:password@host:port` or `name:password@host/database`.
fn at_a_host(text: &str) -> bool {
    let Some((before, host)) = text.rsplit_once('@') else { return false };
    let end = host.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-')));
    let (name, rest) = end.and_then(|end| host.split_at_checked(end)).unwrap_or((host, ""));
    let port = |rest: &str| {
        rest.strip_prefix(':').is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
    };
    before.contains(':') && !name.is_empty() && (rest.starts_with('/') || port(rest))
}

/// `tcp(127.0.0.1:3306)/orders`, behind an `@`.
fn is_protocol(rest: &str) -> bool {
    rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).starts_with('(')
}

/// `password=…`, `pwd: …`, `;Uid=…`.
fn is_assigned(lower: &str) -> bool {
    lower.match_indices(['=', ':']).any(|(at, sign)| {
        let Some((before, after)) = lower.split_at_checked(at) else { return false };
        let key = before.trim_end_matches([' ', '"', '\'']);
        let ends = |name: &&str| key.ends_with(*name);
        let whole = |name: &&str| {
            key.strip_suffix(*name)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with([';', ',', '&', '?', ' ']))
        };
        after.len() > 1 && (SECRETS.iter().any(ends) || (sign == "=" && BESIDE.iter().any(whole)))
    })
}

/// `CACHE_KEY=…`. The `=` that fills up Base64 stands at an end.
fn is_environment(text: &str) -> bool {
    let text = text.strip_prefix("export ").unwrap_or(text);
    let Some((name, value)) = text.split_once('=') else { return false };
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_name && !value.trim_matches('=').is_empty()
}

/// `mysql -u orders -p…`, `AUTH …`, `IDENTIFIED BY …`.
fn is_command(lower: &str) -> bool {
    let options = lower.split_whitespace().filter(|word| word.starts_with('-') && word.len() > 1).count();
    let several = lower.split_whitespace().nth(1).is_some();
    lower.starts_with("--")
        || (several && (options > 0 || lower.starts_with("auth ")))
        || lower.contains("identified by")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_clients_are_no_passwords() {
        for text in [
            "orders:hunter2@tcp(127.0.0.1:3306)/shop",
            "other:hunter2@unix(/run/mysqld.sock)/shop",
            "127.0.0.1:6379,user=orders,password=hunter2,ssl=False",
            "127.0.0.1:6379,Password = hunter2",
            "Server=db;Database=shop;Uid=orders;Pwd=hunter2;",
            "host=db user=orders dbname=shop",
            "orders:hunter2",
            "db:5432:*:orders:hunter2",
            "other:hunter2@db.internal:3306",
            "other:hunter2@db/shop",
            "REDIS_PASSWORD=hunter2",
            "export CACHE_KEY=hunter2",
            "redisPassword: hunter2",
            "{\"password\": \"hunter2\"}",
            "[\"hunter2\"]",
            "\"hunter2\"",
            "'hunter2'",
            " hunter2",
            "MYSQL://orders:hunter2@db/shop",
            "mysql -u orders -phunter2 shop",
            "--password hunter2",
            "AUTH orders hunter2",
            "IDENTIFIED BY 'hunter2'",
        ] {
            let kind = more_than_a_password(text, &["orders"]);
            assert!(kind.is_some_and(|kind| !kind.contains("hunter2")), "{text}");
        }
    }

    #[test]
    fn passwords_of_every_kind_are_passwords() {
        for text in [
            "hunter2",
            "",
            "correct horse battery staple",
            "p@ss:w0rd!",
            "aGVsbG8gd29ybGQhIQ==",
            "QUJD==",
            "x{y}z",
            "{open",
            "\"half",
            "a=b",
            "x:y@z",
            "#$%^&*()_+",
            "K7(m)@x",
            "-dash",
            "passage",
        ] {
            assert_eq!(more_than_a_password(text, &["orders", ""]), None, "{text}");
        }
    }
}
