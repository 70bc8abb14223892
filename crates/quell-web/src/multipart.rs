//! Forms with files (`multipart/form-data`, RFC 7578), as browsers send them. What is not exactly that is refused.

/// One field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) name: String,
    /// The file's own name, without folders; none for an ordinary field.
    pub(crate) file: Option<String>,
    /// Its content.
    pub(crate) body: Vec<u8>,
}

/// Fields of a form, at most.
const PARTS_MAX: usize = 32;
/// Longest name that is kept, in characters.
const NAME_MAX: usize = 120;

/// The boundary, if this is the type of such a form.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|one| {
        let (key, value) = one.trim().split_once('=')?;
        key.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    })?;
    (1..=70).contains(&value.len()).then_some(value)
}

/// The fields; `None` when it is cut off or made in another way.
pub(crate) fn parse(body: &[u8], boundary: &str) -> Option<Vec<Part>> {
    let open = format!("--{boundary}");
    let between = format!("\r\n{open}");
    let mut rest = body.strip_prefix(open.as_bytes())?;
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, between.as_bytes())?;
        let (part, after) = (rest.get(..end)?, rest.get(end + between.len()..)?);
        if parts.len() == PARTS_MAX {
            return None;
        }
        parts.push(field(part)?);
        rest = after;
    }
}

/// An ordinary field of a form, as text.
pub(crate) fn text<'a>(parts: &'a [Part], name: &str) -> Option<&'a str> {
    let found = parts.iter().find(|part| part.name == name && part.file.is_none())?;
    std::str::from_utf8(&found.body).ok()
}

fn field(part: &[u8]) -> Option<Part> {
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(part.get(..end)?).ok()?;
    let body = part.get(end + 4..)?.to_vec();
    let disposition = head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case("content-disposition").then_some(value.trim())
    })?;
    let rest = disposition.strip_prefix("form-data")?;
    let name = parameter(rest, "name")?;
    Some(Part { name, file: parameter(rest, "filename").map(|file| own_name(&file)), body })
}

/// The value of `; key="value"`. Browsers write a quote inside as `%22`.
fn parameter(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("; {key}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("%22", "\"").replace("%0D", "").replace("%0A", ""))
}

/// What lies behind the last folder, without anything that steers.
fn own_name(file: &str) -> String {
    let last = file.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"--X\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\ntoken\r\n--X\r\nContent-Disposition: form-data; name=\"evidence\"; filename=\"../a\\b%22.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--Y\r\n\r\n--X--\r\n";

    #[test]
    fn fields_and_files_are_what_was_sent() {
        let kind = "multipart/form-data; boundary=X";
        let parts = parse(FORM, &boundary(kind).unwrap()).unwrap();
        assert_eq!(text(&parts, "csrf"), Some("token"));
        let file = &parts[1];
        assert_eq!((file.name.as_str(), file.file.as_deref()), ("evidence", Some("b\".png")));
        assert_eq!(file.body, b"\x89PNG\r\n--Y\r\n");
        assert_eq!(text(&parts, "evidence"), None, "a file is no field");
    }

    #[test]
    fn whatever_is_cut_off_or_strange_is_refused() {
        for end in 0..FORM.len() - 4 {
            assert_eq!(parse(&FORM[..end], "X"), None, "cut at {end}");
        }
        for kind in [
            "multipart/form-data",
            "text/plain; boundary=X",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=X",
        ] {
            assert_eq!(boundary(kind), None, "{kind}");
        }
        // Whatever is flipped, it ends without a panic, and no field grows beyond what was sent.
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let mut bytes = FORM.to_vec();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = usize::try_from(state >> 8).unwrap() % bytes.len();
                bytes[at] = state.to_le_bytes()[3];
            }
            let size: usize = parse(&bytes, "X").iter().flatten().map(|part| part.body.len()).sum();
            assert!(size <= FORM.len());
        }
    }
}
