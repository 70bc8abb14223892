//! Where an API is, and what may stand in its addresses.

use url::Url;

use super::template::Template;

/// Checks the `url` of a file: holes stand for one label of the host.
pub(super) fn base(text: &str) -> Result<(), String> {
    let template = Template::parse(text)?;
    let filled = template
        .fill(&|_| Some(zeroize::Zeroizing::new("x".to_owned())))
        .map_err(|hole| format!("nothing is known for `{{{hole}}}`"))?;
    address(&filled).map(drop)
}

/// An address that credentials may be sent to. The text is not repeated: people put credentials into addresses.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_e| "it is not a URL".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("it is not an http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("it must not carry credentials or a query".to_owned());
    }
    if url.scheme() == "http" && !loopback(&url) {
        return Err("it is not https: the key would travel in clear".to_owned());
    }
    Ok(url)
}

fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// One label of a host's name: nothing in it can lead elsewhere.
pub(super) fn is_label(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !text.is_empty() && text.len() <= 63 && text.chars().all(good)
}

/// Percent-encodes what is put into a path (RFC 3986 §3.3; a colon may stand there). `None` for `.` and `..`, which would climb
/// even when they are encoded.
pub(super) fn encode(text: &str) -> Option<String> {
    if matches!(text, "" | "." | "..") {
        return None;
    }
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => {
                out.push(char::from(byte))
            }
            _ => {
                out.push('%');
                out.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_would_leak_the_key_are_refused() {
        assert!(address("https://api.example.com/v1").is_ok());
        assert!(address("http://127.0.0.1:8080").is_ok());
        for bad in
            ["http://api.example.com", "https://u:hunter2@h/", "https://h/?token=hunter2", "ftp://h/", "h"]
        {
            let words = address(bad).unwrap_err();
            assert!(!words.contains("hunter2"), "{words}");
        }
        assert!(base("https://{vars.shop}.example.com").is_ok());
    }

    #[test]
    fn a_part_of_a_value_cannot_choose_another_host() {
        for bad in ["evil.com/", "a.b", "a@b", "a:1", "", "a#"] {
            assert!(!is_label(bad), "{bad}");
        }
        assert!(is_label("us6"));
        assert_eq!(encode("a/b?c#d e:1").unwrap(), "a%2Fb%3Fc%23d%20e:1");
        assert!(encode("..").is_none());
    }
}
