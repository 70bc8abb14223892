//! Reads a list of keys to its end. A list of which only the first page was read tells nothing of a key that is not on it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::door::{About, Page, Said};
use super::file::{Call, Cursor, Number, Pages, Whole};
use super::issuer::Provider;
use super::when;
use crate::error::{ConnectError, ConnectErrorKind};

const LISTING: &str = "looking for the mark among the keys";

/// More pages than any account fills.
const PAGES_MAX: usize = 500;

impl Provider {
    /// Ids of the keys that carry the tag, waited for as long as the list may lag behind: at once when there are any.
    pub(super) async fn marked(&self, tag: &str) -> Result<Vec<String>, ConnectError> {
        let mut looks = Looks::new(self.listed);
        loop {
            let found = self.tagged(tag).await?;
            if !found.is_empty() || !looks.again().await {
                return Ok(found);
            }
        }
    }

    /// Which of the keys are still listed: none at once, or what is left when the list had its time.
    pub(super) async fn still_listed(&self, ids: &[String]) -> Result<Vec<String>, ConnectError> {
        let mut looks = Looks::new(self.listed);
        loop {
            let all = self.all_keys().await?;
            let left: Vec<String> = all.into_iter().map(|(id, _)| id).filter(|id| ids.contains(id)).collect();
            if left.is_empty() || !looks.again().await {
                return Ok(left);
            }
        }
    }

    /// Ids of the keys that carry the tag now.
    pub(super) async fn tagged(&self, tag: &str) -> Result<Vec<String>, ConnectError> {
        let all = self.all_keys().await?;
        Ok(all.into_iter().filter(|(_, name)| name.contains(tag)).map(|(id, _)| id).collect())
    }

    /// Ids and names of all keys, from all pages.
    async fn all_keys(&self) -> Result<Vec<(String, String)>, ConnectError> {
        let (Some(call), Some(pages)) =
            (self.list_call(), self.list_call().and_then(|call| call.pages.as_ref()))
        else {
            return Err(self.unread("the provider file does not say how keys are listed to the end"));
        };
        let mut all = Vec::new();
        let mut reader = Reader { pages, number: 0, seen: BTreeSet::new(), items: 0 };
        let mut page: Option<Page> = None;
        for _ in 0..PAGES_MAX {
            let about = About { page: page.as_ref(), ..About::default() };
            let Said::Done { body, .. } = self.door.ask(LISTING, call, about).await? else {
                return Err(self.unread("the answer says that there is no list"));
            };
            let items = call.items.as_deref().and_then(|at| body.pointer(at)).and_then(Value::as_array);
            let items = items.ok_or_else(|| self.unread("the answer carries no list"))?;
            for item in items {
                let word = |at: &Option<String>| at.as_deref().and_then(|at| when::word(item, at));
                let id = word(&call.id).ok_or_else(|| self.unread("a key of the list carries no id"))?;
                // A key without a name is none of ours.
                all.push((id, word(&call.name).unwrap_or_default()));
            }
            page = match reader.next(&body, items.len()) {
                Ok(Some(next)) => Some(next),
                Ok(None) => return Ok(all),
                Err(words) => return Err(self.unread(words)),
            };
        }
        Err(self.unread("the list has no end"))
    }

    fn list_call(&self) -> Option<&Call> {
        self.door.file.list.as_ref().map(|call| &call.value)
    }

    /// What could not be seen is not known: whatever is done next, it is no second key.
    fn unread(&self, words: &str) -> ConnectError {
        self.door.error(LISTING, ConnectErrorKind::Unexpected, words)
    }
}

/// Looks again and again until the list had its time.
struct Looks {
    limit: Duration,
    waited: Duration,
    pause: Duration,
}

impl Looks {
    fn new(limit: Duration) -> Self {
        let pause = (limit / 8).clamp(Duration::from_millis(5), Duration::from_secs(2));
        Self { limit, waited: Duration::ZERO, pause }
    }

    /// Waits; false when the time is over.
    async fn again(&mut self) -> bool {
        if self.waited >= self.limit {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.waited += self.pause;
        self.pause = (self.pause * 2).min(Duration::from_secs(2));
        true
    }
}

/// Where the reading of a list is.
struct Reader<'a> {
    pages: &'a Pages,
    /// Pages that were read.
    number: u64,
    /// What the pages gave to go on with: the same twice would lead in a circle.
    seen: BTreeSet<String>,
    items: usize,
}

impl Reader<'_> {
    /// The page after this one, if there is one.
    fn next(&mut self, body: &Value, items: usize) -> Result<Option<Page>, &'static str> {
        self.number += 1;
        self.items += items;
        let next = match self.pages {
            Pages::Whole(Whole { below, .. }) => {
                let long = u64::try_from(items).is_ok_and(|items| items >= *below);
                return if long {
                    Err("the list is so long that it may have been cut off")
                } else {
                    Ok(None)
                };
            }
            Pages::Number(number) => return self.numbered(number, body, items),
            Pages::Cursor(Cursor { query, next }) => {
                when::word(body, next).map(|text| (text.clone(), Page::Query(query.clone(), text)))
            }
            Pages::Link(at) => when::word(body, at).map(|text| (text.clone(), Page::At(text))),
        };
        match next {
            None => Ok(None),
            Some((text, page)) => {
                let fresh = self.seen.insert(text);
                fresh.then_some(Some(page)).ok_or("the list leads in a circle")
            }
        }
    }

    fn numbered(&self, number: &Number, body: &Value, items: usize) -> Result<Option<Page>, &'static str> {
        let count = |at: &str| body.pointer(at).and_then(Value::as_u64);
        let more = match &number.last {
            None => items > 0,
            // The last page's number, counted from `from`.
            Some(at) => {
                let last = count(at).ok_or("the answer does not say how many pages there are")?;
                number.from + self.number <= last
            }
        };
        if more {
            let next = number.from + self.number;
            return Ok(Some(Page::Query(number.query.clone(), next.to_string())));
        }
        if let Some(at) = &number.total {
            let total = count(at).ok_or("the answer does not say how many keys there are")?;
            if u64::try_from(self.items) != Ok(total) {
                return Err("keys came or went while the list was read, so some may have been left out");
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pages(yaml: &str) -> Pages {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn reader(pages: &Pages) -> Reader<'_> {
        Reader { pages, number: 0, seen: BTreeSet::new(), items: 0 }
    }

    #[test]
    fn each_kind_of_list_is_read_to_its_end() {
        let numbered = pages("number: { query: page, last: /pages, total: /n }");
        let mut at = reader(&numbered);
        let body = json!({ "pages": 2, "n": 5 });
        assert_eq!(at.next(&body, 3), Ok(Some(Page::Query("page".to_owned(), "2".to_owned()))));
        assert_eq!(at.next(&body, 2), Ok(None));
        let counted = pages("number: { query: p, from: 0 }");
        let mut at = reader(&counted);
        assert_eq!(at.next(&json!({}), 3), Ok(Some(Page::Query("p".to_owned(), "1".to_owned()))));
        assert_eq!(at.next(&json!({}), 0), Ok(None));
        let cursor = pages("cursor: { query: after, next: /next }");
        let mut at = reader(&cursor);
        assert_eq!(
            at.next(&json!({ "next": "b" }), 3),
            Ok(Some(Page::Query("after".to_owned(), "b".to_owned())))
        );
        assert_eq!(at.next(&json!({ "next": null }), 3), Ok(None));
        let link = pages("link: /next");
        assert_eq!(
            reader(&link).next(&json!({ "next": "/k?a=1" }), 3),
            Ok(Some(Page::At("/k?a=1".to_owned())))
        );
    }

    #[test]
    fn a_list_that_may_have_left_out_a_key_is_not_believed() {
        let numbered = pages("number: { query: page, last: /pages, total: /n }");
        assert!(
            reader(&numbered).next(&json!({ "pages": 1, "n": 4 }), 3).is_err(),
            "a key moved between pages"
        );
        assert!(
            reader(&numbered).next(&json!({ "n": 3 }), 3).is_err(),
            "nobody says how many pages there are"
        );
        let whole = pages("whole: { below: 3, why: the page says so }");
        assert_eq!(reader(&whole).next(&json!({}), 2), Ok(None));
        assert!(reader(&whole).next(&json!({}), 3).is_err(), "it may have been cut off");
        let cursor = pages("cursor: { query: after, next: /next }");
        let mut at = reader(&cursor);
        let body = json!({ "next": "b" });
        assert!(at.next(&body, 3).is_ok() && at.next(&body, 3).is_err(), "a circle");
    }
}
