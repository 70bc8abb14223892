//! Fields of a record by their names, which begin with a capital in tables, and stand in `properties` or beside it.

use serde_json::{Map, Value};

/// A line.
pub(super) struct Record<'a> {
    pub(super) top: &'a Map<String, Value>,
    pub(super) inner: Option<&'a Map<String, Value>>,
}

/// A member by its name, which begins with a capital in tables.
pub(super) fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name)
        .or_else(|| map.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

pub(super) fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match member(map, name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let text = value.as_str().ok_or_else(|| format!("`{name}` is not a text"))?;
            Ok((!text.is_empty()).then_some(text))
        }
    }
}

impl<'a> Record<'a> {
    /// The first of some texts that is there.
    pub(super) fn first(&self, names: &[&str]) -> Result<Option<&'a str>, String> {
        for name in names {
            for map in self.inner.into_iter().chain([self.top]) {
                if let Some(text) = text(map, name)? {
                    return Ok(Some(text));
                }
            }
        }
        Ok(None)
    }

    /// A number, which some logs write as a text.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let value = self.inner.and_then(|inner| member(inner, name)).or_else(|| member(self.top, name))?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// The first of some texts by the way to it.
    pub(super) fn within(&self, ways: &[&str]) -> Option<&'a str> {
        let walk = |map: &'a Map<String, Value>, way: &str| {
            let mut names = way.split('/');
            let first = member(map, names.next()?)?;
            names.try_fold(first, |at, name| member(at.as_object()?, name))?.as_str()
        };
        ways.iter().find_map(|way| self.inner.into_iter().chain([self.top]).find_map(|map| walk(map, way)))
    }
}
