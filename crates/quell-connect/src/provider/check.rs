//! Reads a provider file and says what is wrong with it: file, line, key, and what to do.
//!
//! The rules here are those that can be seen without asking anybody; [`super::trial`] lets the file act on a model.

use quell_core::inventory::Diagnostic;

use super::file::{Call, FORMAT, File, When, Who};
use super::template::Template;
use super::when;

/// Largest provider file, in bytes.
pub(super) const FILE_MAX: usize = 256 << 10;

/// Reads a file and checks it. Every complaint that can be found is returned, not just the first.
pub fn read(name: &str, text: &str) -> Result<File, Vec<Diagnostic>> {
    let one = |line, column, message: String, hint: &str| {
        vec![Diagnostic {
            file: name.to_owned(),
            line,
            column,
            key: String::new(),
            message,
            hint: hint.to_owned(),
        }]
    };
    if text.len() > FILE_MAX {
        return Err(one(0, 0, format!("larger than {FILE_MAX} bytes"), "one file describes one kind of key"));
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |l| (l.line(), l.column()));
        // The parser's own rendering shows the source line; a value pasted there by mistake would be printed.
        let words = error.without_snippet().to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        let words = words.split(", set Dup").next().unwrap_or_default().to_owned();
        one(line, column, words, "`quell provider schema` prints the JSON Schema; editors complete from it")
    })?;
    let mut complaints = Complaints { name, found: Vec::new() };
    complaints.file(&file);
    for (key, call) in file.calls() {
        complaints.call(&file, &key, call.defined.line(), &call.value);
    }
    complaints.probe(&file);
    complaints.pairs(&file);
    if complaints.found.is_empty() { Ok(file) } else { Err(complaints.found) }
}

struct Complaints<'a> {
    name: &'a str,
    found: Vec<Diagnostic>,
}

impl Complaints<'_> {
    fn add(&mut self, line: u64, key: impl Into<String>, message: impl Into<String>, hint: &str) {
        self.found.push(Diagnostic {
            file: self.name.to_owned(),
            line,
            column: 0,
            key: key.into(),
            message: message.into(),
            hint: hint.to_owned(),
        });
    }

    fn file(&mut self, file: &File) {
        if file.provider != FORMAT {
            let words = format!("format version {} is not known; this Quell reads {FORMAT}", file.provider);
            self.add(
                0,
                "provider",
                words,
                "write `provider: 1`, or use the Quell that the file was written for",
            );
        }
        let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if file.id.is_empty() || !file.id.chars().all(slug) {
            self.add(0, "id", "not an id", "use small letters, digits and `-`, such as acme-api-key");
        }
        for (key, text) in [("name", &file.name), ("breaks", &file.breaks)] {
            if text.trim().is_empty() {
                self.add(0, key, "it is empty", "people read it before they decide");
            }
        }
        if when::duration_ms(&file.settle).is_none() {
            self.add(0, "settle", "not a duration", "how long a revocation takes to bind, such as 2s");
        }
        if let Err(words) = super::place::base(&file.url) {
            self.add(0, "url", words, "write it in full: https://api.example.com");
        }
        for fact in file.limits.iter().chain(&file.outlives).chain(&file.elsewhere) {
            self.source(0, "limits, outlives or elsewhere", &fact.source, &fact.checked);
        }
        if file.revoke.is_empty() && file.by_hand.is_none() {
            let words = "nothing says how the key is revoked";
            self.add(0, "revoke", words, "add a call under `revoke`, or tell people what to do in `by_hand`");
        }
        if !file.prefixes.is_empty() && !file.takes(&file.example.value) {
            self.add(
                0,
                "example.value",
                "it begins with none of `prefixes`",
                "the model needs a key of the right form",
            );
        }
        let shape = file.shape.as_deref().map(Template::parse);
        if let Some(Err(words)) = &shape {
            self.add(0, "shape", words, "such as SG.{id}.{rest}");
        }
        for part in &file.public {
            let known = matches!(&shape, Some(Ok(shape)) if shape.holes().any(|hole| hole == part));
            if !known {
                self.add(0, "public", format!("`{part}` is no part of the shape"), "name a hole of `shape`");
            }
        }
    }

    fn source(&mut self, line: u64, key: &str, source: &str, checked: &str) {
        if !source.starts_with("https://") {
            self.add(line, key, "no source", "`source` is the vendor's page that says so: https://…");
        }
        if checked.parse::<jiff::civil::Date>().is_err() {
            self.add(line, key, "not dated", "`checked` is the day on which the source was read: 2026-11-23");
        }
    }

    fn call(&mut self, file: &File, key: &str, line: u64, call: &Call) {
        self.source(line, key, &call.source, &call.checked);
        if !matches!(call.method.as_str(), "DELETE" | "GET" | "PATCH" | "POST" | "PUT") {
            self.add(line, key, "`method` is missing or unknown", "one of GET, POST, PUT, PATCH, DELETE");
        }
        if !call.path.starts_with('/') {
            self.add(line, key, "`path` does not begin with `/`", "it is joined to `url`");
        }
        if let Some(Err(words)) = call.url.as_deref().map(super::place::base) {
            self.add(line, key, format!("`url`: {words}"), "write it in full: https://api.example.com");
        }
        if call.json.is_some() && call.form.is_some() {
            self.add(line, key, "two bodies", "either `json` or `form`");
        }
        if call.who == Who::Nobody && !call.headers.is_empty() && super::call::names_key(call) {
            self.add(line, key, "a header carries the key, but the call is made as nobody", "`as: key`");
        }
        self.holes(file, key, line, call);
        let lists = [&call.accepted, &call.refused, &call.limited, &call.done, &call.gone];
        for one in lists.into_iter().flatten() {
            if (one.is.is_some() || one.has.is_some()) && one.at.is_none() {
                self.add(
                    line,
                    key,
                    "`is` or `has` without `at`",
                    "`at` points to where the text stands: /message",
                );
            }
            if matches!(one.status, 401 | 403 | 404 | 410) && one.at.is_none() && one.and.is_empty() {
                let words = format!("a bare {}: proxies and portals say that, too", one.status);
                self.add(line, key, words, "point with `at` to the vendor's own words");
            }
            if one.status >= 500 || one.status == 429 || (300..400).contains(&one.status) {
                let words = format!("status {} says nothing about a key", one.status);
                self.add(line, key, words, "leave it out: it is read as unclear, and 429 as a limit");
            }
        }
        let unmarked = |one: &&When| one.is.is_none() && one.has.is_none() && one.and.is_empty();
        if let Some(one) = call.gone.iter().find(unmarked) {
            let words =
                format!("`gone` takes every {} for it: that says that a path is unknown, too", one.status);
            self.add(line, key, words, "add `is` or `has` with the vendor's own words, or leave it out");
        }
        if key != "probe" && call.done.is_empty() {
            self.add(line, key, "no answer means that it was done", "list the statuses under `done`");
        }
    }

    /// Every hole must be one that can be filled, and none may put the secret where it is written down.
    fn holes(&mut self, file: &File, key: &str, line: u64, call: &Call) {
        for (place, text) in super::call::texts(file, call) {
            let template = match Template::parse(&text) {
                Ok(template) => template,
                Err(words) => {
                    self.add(
                        line,
                        key,
                        format!("{place}: {words}"),
                        "holes: {key}, {id}, {tag}, {vars.NAME}",
                    );
                    continue;
                }
            };
            for hole in template.holes() {
                if !super::call::known_hole(file, hole) {
                    let words = format!("{place}: nothing is known for `{{{hole}}}`");
                    self.add(line, key, words, "holes: {key}, {secret.PART}, {id}, {tag}, {vars.NAME}");
                }
                let in_url = matches!(place, "path" | "url");
                if in_url && super::call::is_secret_hole(file, hole) && file.secret_in_url.is_none() {
                    let words =
                        format!("{place}: `{{{hole}}}` puts the secret into a URL, and URLs are logged");
                    let hint =
                        "use a header or a body; if the API leaves no other way, say why in `secret_in_url`";
                    self.add(line, key, words, hint);
                }
                if hole == "id" && file.key_id.is_none() && !matches!(key, "mint" | "list") {
                    let hint = "add `key_id: { part: … }`, `{ probe: /pointer }` or `{ inventory: where a person finds it }`";
                    self.add(line, key, "`{id}` is used, and nothing says where it comes from", hint);
                }
            }
        }
    }

    /// A refusal must be the issuer's own: other machines answer 401, 403 and 404, too.
    fn probe(&mut self, file: &File) {
        let (line, call) = (file.probe.defined.line(), &file.probe.value);
        if call.who != Who::Key {
            self.add(
                line,
                "probe",
                "it does not try the key",
                "a probe is made as the bearer would: `as: key`",
            );
        }
        if call.accepted.is_empty() || call.refused.is_empty() {
            let words = "it must say what `accepted` and what `refused` look like";
            self.add(line, "probe", words, "status, and where the vendor's own words stand");
        }
        for one in &call.accepted {
            if one.at.is_none() && one.status != 204 {
                let words = format!("a bare {} is accepted: any portal says that", one.status);
                self.add(
                    line,
                    "probe.accepted",
                    words,
                    "point with `at` to something that only this API answers",
                );
            }
        }
        for one in &call.refused {
            self.refusal(line, one);
        }
        for (name, list) in [("accepted", &call.accepted), ("refused", &call.refused)] {
            match call.examples.get(name) {
                None => self.add(
                    line,
                    "probe.examples",
                    format!("`{name}` is missing"),
                    "an answer as the vendor gives it: the file is tried on it",
                ),
                Some(answer)
                    if !list.iter().any(|one| when::fits(one, answer.status, answer.json.as_ref())) =>
                {
                    let words = format!("the example for `{name}` is not recognized by the file");
                    self.add(line, "probe.examples", words, "correct the example, or what recognizes it");
                }
                Some(_) => {}
            }
        }
    }

    /// One way in which the file says that the key is refused.
    fn refusal(&mut self, line: u64, one: &When) {
        let marked = one.is.is_some()
            || one.has.is_some()
            || one.and.iter().any(|mark| mark.is.is_some() || mark.has.is_some());
        let mut add = |words: String, hint: &str| self.add(line, "probe.refused", words, hint);
        if one.weak.as_ref().is_some_and(|why| why.trim().is_empty()) {
            add("`weak` is empty".to_owned(), "say who else refuses so, or why a living key is");
        }
        if one.at.is_none() {
            let words = format!("a bare {} counts as refusal: proxies and portals say that, too", one.status);
            add(words, "point with `at` to the vendor's own words");
        } else if marked || one.weak.is_some() {
            // The trial sees whether others say it, too.
        } else if matches!(one.status, 404 | 410) {
            let words = format!(
                "{} without words says that the path is unknown, not that the key is dead",
                one.status
            );
            add(words, "add `is` or `has` with the vendor's own words");
        } else if (200..300).contains(&one.status) {
            let words = "an answer that may be good counts as refusal".to_owned();
            add(words, "add `is` with what stands there for a dead key");
        } else {
            let words = format!("every {} with something at that place counts as refusal", one.status);
            let hint =
                "add `is` or `has` with the vendor's own words, or say under `weak` why it proves nothing";
            add(words, hint);
        }
    }

    /// Calls that need each other.
    fn pairs(&mut self, file: &File) {
        let Some(mint) = &file.mint else { return };
        let (line, call) = (mint.defined.line(), &mint.value);
        if call.value.is_none() || call.id.is_none() {
            let words = "it does not say where the new key and its id stand in the answer";
            self.add(line, "mint", words, "`value: /api_key` and `id: /api_key_id`");
        }
        let tagged = super::call::texts(file, call).iter().any(|(_, text)| text.contains("{tag}"));
        if !tagged {
            let words = "the new key carries no mark, so it could not be found again after a lost answer";
            self.add(line, "mint", words, "put `{tag}` into the name or note of the key");
        }
        let by_id = |call: &Call| call.who == Who::Admin && call.path.contains("{id}");
        if !file.revoke.iter().any(|call| by_id(&call.value)) {
            let words = "there is no way to take back a key whose value was lost";
            self.add(line, "mint", words, "add a `revoke` call as admin with `{id}` in its path");
        }
        self.rights(file, line, call);
        match &file.list {
            None => self.add(
                line,
                "mint",
                "keys cannot be listed",
                "add `list`: it finds a key whose answer was lost",
            ),
            Some(list) => self.list(list.defined.line(), &list.value),
        }
    }

    /// A key that was made without a word on its rights may do everything.
    fn rights(&mut self, file: &File, line: u64, call: &Call) {
        let Some(rights) = &call.rights else {
            if call.all_alike.is_none() {
                let words = "nothing says what the new key may do: it could be more than the old one";
                let hint = "`rights: { setting: scopes, at: /scopes }`, or say in `all_alike` why every key can do the same";
                self.add(line, "mint", words, hint);
            }
            return;
        };
        let given = file.example.mint.as_ref().and_then(|settings| settings.get(&rights.setting));
        if given.is_none_or(|given| super::mint::rights_of(given).is_empty()) {
            let words = format!("`{}` is missing, which the new key's rights come from", rights.setting);
            self.add(
                0,
                "example.mint",
                words,
                "settings as an inventory would give them; the file is tried with them",
            );
        }
    }

    fn list(&mut self, line: u64, list: &Call) {
        if list.items.is_none() || list.name.is_none() || list.id.is_none() {
            self.add(
                line,
                "list",
                "it does not say where keys, names and ids stand",
                "`items`, `name`, `id`",
            );
        }
        if list.pages.is_none() {
            let words = "nothing says how it goes on: a key on the second page would not be found, and another be made";
            let hint = "`pages`: number, cursor or link; or `whole: { below: N, why: … }` when the vendor says that one answer holds all";
            self.add(line, "list", words, hint);
        }
        match list.settle.as_deref().map(when::duration_ms) {
            Some(Some(ms)) if ms <= LIST_SETTLE_MAX_MS => {}
            Some(Some(_)) => self.add(
                line,
                "list",
                "`settle` is longer than 10s",
                "a step's attempt ends after 30 seconds",
            ),
            Some(None) | None => {
                let hint = "how long until a new key is shown, such as 5s; more when the vendor says nothing";
                self.add(line, "list", "`settle` is missing or not a duration", hint);
            }
        }
    }
}

/// A step's attempt ends after 30 seconds, and a list is waited for up to three times in it.
const LIST_SETTLE_MAX_MS: u64 = 10_000;
