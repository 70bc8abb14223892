//! The keys of one TOML table, taken one by one; what is left over is unknown.

use toml::{Table, Value};

use super::parse::Trust;
use super::{Pattern, re2};
use crate::RuleError;

pub(super) struct Keys<'a> {
    pub(super) file: &'a str,
    pub(super) rule: Option<String>,
    table: Table,
    pub(super) trust: Trust,
    pub(super) warnings: Vec<String>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(file: &'a str, rule: Option<String>, table: Table, trust: Trust) -> Self {
        Self { file, rule, table, trust, warnings: Vec::new() }
    }

    /// A table inside this one, for the same rule.
    pub(super) fn inner(&self, table: Table) -> Self {
        Self::new(self.file, self.rule.clone(), table, self.trust)
    }

    #[expect(clippy::unnecessary_box_returns, reason = "every caller returns it boxed")]
    pub(super) fn error(&self, key: &str, detail: &str, hint: &str) -> Box<RuleError> {
        Box::new(RuleError {
            file: self.file.to_owned(),
            rule: self.rule.clone(),
            key: Some(key.to_owned()),
            detail: detail.to_owned(),
            hint: hint.to_owned(),
        })
    }

    pub(super) fn warn(&mut self, key: &str, text: &str) {
        let rule = self.rule.as_ref().map(|rule| format!(", rule `{rule}`")).unwrap_or_default();
        self.warnings.push(format!("{}{rule}, key `{key}`: {text}", self.file));
    }

    pub(super) fn finish(mut self, warnings: &mut Vec<String>) {
        let left: Vec<String> = self.table.keys().cloned().collect();
        for key in left {
            self.warn(&key, "not known, ignored");
        }
        warnings.append(&mut self.warnings);
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.table.remove(*key);
        }
    }

    pub(super) fn string(&mut self, key: &str) -> Result<Option<String>, Box<RuleError>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_other) => Err(self.error(key, "not a string", "put it in quotes")),
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, Box<RuleError>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(flag)),
            Some(_other) => Err(self.error(key, "not `true` or `false`", "write it without quotes")),
        }
    }

    pub(super) fn strings(&mut self, key: &str) -> Result<Vec<String>, Box<RuleError>> {
        let wrong = |keys: &Self| keys.error(key, "not a list of strings", "write `[\"one\", \"two\"]`");
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| if let Value::String(text) = item { Ok(text) } else { Err(wrong(self)) })
                .collect(),
            Some(_other) => Err(wrong(self)),
        }
    }

    pub(super) fn tables(&mut self, key: &str) -> Result<Vec<Table>, Box<RuleError>> {
        let wrong = |keys: &Self| keys.error(key, "not a list of tables", &format!("write `[[{key}]]`"));
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| if let Value::Table(table) = item { Ok(table) } else { Err(wrong(self)) })
                .collect(),
            Some(_other) => Err(wrong(self)),
        }
    }

    /// One table, written `[key]`.
    pub(super) fn table(&mut self, key: &str) -> Result<Option<Table>, Box<RuleError>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(_other) => {
                Err(self.error(key, "not a table", &format!("write `[{key}]` and its keys below")))
            }
        }
    }

    pub(super) fn size(&mut self, key: &str) -> Result<Option<usize>, Box<RuleError>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let size = value.as_integer().and_then(|number| usize::try_from(number).ok());
        size.map(Some).ok_or_else(|| self.error(key, "not a number from 0", "write a whole number"))
    }

    pub(super) fn float(&mut self, key: &str) -> Result<Option<f64>, Box<RuleError>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        #[expect(clippy::cast_precision_loss, reason = "entropies are at most 8")]
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        match number {
            Some(number) if (0.0..=8.0).contains(&number) => Ok(Some(number)),
            _ => Err(self.error(key, "not an entropy", "bits per byte: a number from 0 to 8")),
        }
    }

    /// Go's syntax as ours. Built-in patterns are written in ours.
    pub(super) fn translate(&self, key: &str, text: String) -> Result<String, Box<RuleError>> {
        if self.trust == Trust::Builtin {
            return Ok(text);
        }
        re2::translate(&text).map_err(|refused| self.error(key, &refused.detail, &refused.hint))
    }

    /// Compiles a pattern that is in our syntax already.
    pub(super) fn compile(&self, key: &str, text: String) -> Result<Pattern, Box<RuleError>> {
        if self.trust == Trust::Builtin {
            return Ok(Pattern::trusted(text));
        }
        Pattern::checked(text).map_err(|error| {
            let (detail, hint) = re2::explain(&error);
            self.error(key, &detail, hint)
        })
    }

    /// One regex. An empty one is not given, as in gitleaks: it would match everywhere, and nothing but empty text.
    pub(super) fn pattern(&mut self, key: &str) -> Result<Option<Pattern>, Box<RuleError>> {
        let Some(text) = self.string(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        self.translate(key, text).and_then(|text| self.compile(key, text)).map(Some)
    }

    pub(super) fn patterns(&mut self, key: &str) -> Result<Vec<Pattern>, Box<RuleError>> {
        let texts = self.strings(key)?;
        texts
            .into_iter()
            .map(|text| self.translate(key, text).and_then(|text| self.compile(key, text)))
            .collect()
    }
}
