//! Forms as they stand in a page: read and filled in as a browser does it without script.

use std::collections::BTreeSet;

use reqwest::{Method, Response};

use super::world::{Form as _, World};

/// A field of a form.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// `hidden`, `text`, `date`, `file`, `select`, `textarea`, `button`, …
    pub(crate) kind: String,
    pub(crate) value: String,
}

/// A form that changes something.
#[derive(Clone, Debug)]
pub(crate) struct PageForm {
    pub(crate) action: String,
    pub(crate) with_files: bool,
    pub(crate) fields: Vec<Field>,
}

impl PageForm {
    /// Sends it with one field set to `text`, and plausible words in the others that people fill in.
    pub(crate) async fn send(&self, world: &World, cookie: &str, field: &str, text: &str) -> Response {
        let filled: Vec<(&str, String)> = self
            .fields
            .iter()
            .filter(|own| own.kind != "file")
            .map(|own| (own.name.as_str(), if own.name == field { text.to_owned() } else { plausible(own) }))
            .collect();
        let request =
            world.ask(Method::POST, &self.action).header("cookie", cookie).header("accept", "text/html");
        if self.with_files {
            let part = |(name, value): &(&str, String)| {
                format!("--b0\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            let body: String = filled.iter().map(part).collect();
            let request = request.header("content-type", "multipart/form-data; boundary=b0");
            return request.body(format!("{body}--b0--\r\n")).send().await.unwrap();
        }
        let pairs: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request.form(&pairs).send().await.unwrap()
    }
}

fn plausible(field: &Field) -> String {
    match (field.kind.as_str(), field.name.as_str()) {
        ("hidden" | "select" | "button" | "number", _) => field.value.clone(),
        ("date", _) => "2031-12-01".to_owned(),
        ("datetime-local", _) | (_, "of") => String::new(),
        (_, "secret" | "about") => "ines-directory".to_owned(),
        (_, "person" | "name") => "omar".to_owned(),
        _ => "because it was seen in the console at three".to_owned(),
    }
}

/// Every form of a page that changes something, but the one that signs out.
pub(crate) fn forms(html: &str) -> Vec<PageForm> {
    let mut out = Vec::new();
    for part in html.split("<form ").skip(1) {
        let (head, rest) = part.split_once('>').unwrap();
        let (inner, _) = rest.split_once("</form>").unwrap();
        let action = attribute(head, "action").unwrap_or_default();
        if attribute(head, "method").as_deref() != Some("post") || action == "/sign-out" {
            continue;
        }
        out.push(PageForm { with_files: head.contains("multipart"), fields: fields(inner), action });
    }
    out
}

fn fields(inner: &str) -> Vec<Field> {
    let (mut out, mut known) = (Vec::new(), BTreeSet::new());
    for (at, _) in inner.match_indices('<') {
        let (tag, rest) = inner[at + 1..].split_once('>').unwrap();
        let element = tag.split_whitespace().next().unwrap_or_default();
        let Some(name) =
            attribute(tag, "name").filter(|_| ["input", "select", "textarea", "button"].contains(&element))
        else {
            continue;
        };
        // Of several buttons with one name the first is pressed.
        if !known.insert(name.clone()) {
            continue;
        }
        let kind = if element == "input" {
            attribute(tag, "type").unwrap_or_else(|| "text".to_owned())
        } else {
            element.to_owned()
        };
        let value = if element == "select" {
            first_option(rest)
        } else {
            attribute(tag, "value").unwrap_or_default()
        };
        if kind != "checkbox" {
            out.push(Field { name, kind, value });
        }
    }
    out
}

/// The first one that is not empty.
fn first_option(rest: &str) -> String {
    let (inner, _) = rest.split_once("</select>").unwrap();
    let mut options = inner.split("<option").skip(1).map(|option| {
        let (tag, text) = option.split_once('>').unwrap();
        attribute(tag, "value").unwrap_or_else(|| text.split('<').next().unwrap_or_default().to_owned())
    });
    options.find(|value| !value.is_empty()).unwrap_or_default()
}

/// An attribute's text, unescaped.
pub(crate) fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    Some(
        rest.split('"')
            .next()?
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#38;", "&"),
    )
}
