//! What the model makes and lists: keys with rights, page by page.

use serde_json::{Value, json};

use super::super::file::{Call, Cursor, Number, Pages};
use super::{Asked, ModelKey, Mood, Reply, World, filled, told};

/// Keys on a page of a list: few, so that whoever reads only the first page misses some.
const PAGE: usize = 3;

impl World {
    /// Makes a key with the rights that were asked for, or with all when none were.
    pub(super) fn make(&mut self, call: &Call, asked: &Asked) -> Reply {
        let value = self.next_value();
        let mut key = self.add(value, &told(call, asked).unwrap_or_default());
        let mut body = call.examples.get("done").map(|answer| filled(answer, &key)).unwrap_or_default();
        if let Some(rights) = &call.rights {
            let wanted = setting(call, asked, &rights.setting);
            let all = Value::from("every right");
            key.rights = match (&self.mood, wanted) {
                (Mood::Generous, Some(Value::Array(mut some))) => {
                    some.push(all);
                    Value::from(some)
                }
                (Mood::Generous, _) | (_, None) => all,
                (_, Some(wanted)) => wanted,
            };
            if let Some(place) = body.pointer_mut(&rights.at) {
                *place = key.rights.clone();
            }
        }
        if let Mood::Late(reads) = self.mood {
            key.hidden = reads;
        }
        let status = call.examples.get("done").map_or(200, |answer| answer.status);
        for known in self.keys.iter_mut().filter(|known| known.id == key.id) {
            known.clone_from(&key);
        }
        Reply::json(status, &body)
    }

    /// One page of the living keys, as the file says that pages go on.
    pub(super) fn list(&mut self, call: &Call, asked: &Asked) -> Reply {
        let (_, page) = without_page(call, &asked.uri);
        let alive: Vec<&ModelKey> =
            self.keys.iter().filter(|key| key.left != Some(0) && key.hidden == 0).collect();
        let all: Vec<Value> =
            alive.iter().filter_map(|key| Some(filled(call.examples.get("item")?, key))).collect();
        let count = all.len();
        let number = page.as_ref().and_then(|page| page.parse::<usize>().ok());
        let (start, size) = match &call.pages {
            Some(Pages::Number(Number { from, .. })) => {
                let from = usize::try_from(*from).unwrap_or_default();
                (number.unwrap_or(from).saturating_sub(from) * PAGE, PAGE)
            }
            Some(Pages::Cursor(_) | Pages::Link(_)) => (number.unwrap_or_default(), PAGE),
            Some(Pages::Whole(_)) | None => (0, count),
        };
        let more = start + size < count;
        let shown: Vec<Value> = all.into_iter().skip(start).take(size).collect();
        let mut body = json!({});
        place(&mut body, call.items.as_deref().unwrap_or_default(), shown.into());
        match &call.pages {
            Some(Pages::Number(Number { from, last, total, .. })) => {
                let pages = u64::try_from(count.div_ceil(PAGE)).unwrap_or_default();
                let told = [
                    (last, (from + pages).saturating_sub(1)),
                    (total, u64::try_from(count).unwrap_or_default()),
                ];
                for (at, value) in told.into_iter().filter_map(|(at, value)| Some((at.as_ref()?, value))) {
                    place(&mut body, at, value.into());
                }
            }
            Some(Pages::Cursor(Cursor { next, .. })) if more => {
                place(&mut body, next, (start + size).to_string().into())
            }
            Some(Pages::Link(next)) if more => {
                let (uri, _) = without_page(call, &asked.uri);
                let and = if uri.contains('?') { '&' } else { '?' };
                // As whoever asked knows it: there may be a proxy in between.
                let host = asked.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
                let link = format!("http://{host}{uri}{and}{LINK}={}", start + size);
                place(&mut body, next, link.into());
            }
            Some(Pages::Cursor(_) | Pages::Link(_) | Pages::Whole(_)) | None => {}
        }
        if start == 0 {
            for key in &mut self.keys {
                key.hidden = key.hidden.saturating_sub(1);
            }
        }
        Reply::json(200, &body)
    }
}

/// The parameter in the addresses that the model gives as next pages.
const LINK: &str = "quell_model_from";

/// An address of a list without what says which page, and that.
pub(super) fn without_page(call: &Call, uri: &str) -> (String, Option<String>) {
    let name = match &call.pages {
        Some(Pages::Cursor(cursor)) => cursor.query.as_str(),
        Some(Pages::Number(number)) => number.query.as_str(),
        Some(Pages::Link(_)) => LINK,
        Some(Pages::Whole(_)) | None => return (uri.to_owned(), None),
    };
    let Some((path, query)) = uri.split_once('?') else { return (uri.to_owned(), None) };
    let page = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    let rest: Vec<&str> = query.split('&').filter(|pair| pair.split('=').next() != Some(name)).collect();
    let bare = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    (bare, page.map(|(_, value)| value.into_owned()))
}

/// A setting that a request for a new key carries.
fn setting(call: &Call, asked: &Asked, name: &str) -> Option<Value> {
    if call.json.is_some() {
        return serde_json::from_slice::<Value>(&asked.body).ok()?.get(name).cloned();
    }
    let mut pairs = url::form_urlencoded::parse(&asked.body);
    pairs.find(|(key, _)| key == name).map(|(_, value)| Value::from(value.into_owned()))
}

/// Puts a value where a pointer (RFC 6901) says, and makes what is missing on the way: a number is a place in a list.
pub(in super::super) fn place(body: &mut Value, pointer: &str, value: Value) {
    let mut here = body;
    for name in pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")) {
        here = match name.parse::<usize>() {
            Ok(at) if !here.is_object() || here.as_object().is_some_and(serde_json::Map::is_empty) => {
                let mut list = here.as_array().cloned().unwrap_or_default();
                list.resize(list.len().max(at + 1), json!({}));
                *here = list.into();
                let Some(place) = here.get_mut(at) else { return };
                place
            }
            _ => {
                if !here.is_object() {
                    *here = json!({});
                }
                let Some(map) = here.as_object_mut() else { return };
                map.entry(name).or_insert_with(|| json!({}))
            }
        };
    }
    *here = value;
}
