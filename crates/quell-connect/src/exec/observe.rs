//! Observe: what it prints is JSON, or the generation as plain text.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::program::{Ended, Program};
use crate::connector::{Check, Observe, Seen};
use crate::context::Context;
use crate::dotted::{Dotted, Fields};
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    exec: Vec<String>,
    generation: Option<Dotted>,
    principal: Option<Dotted>,
    healthy: Option<Dotted>,
}

#[derive(Debug)]
struct Ask {
    program: Program,
    fields: Fields,
}

pub(super) fn build(config: &Value, context: &Context) -> Result<Box<dyn Observe>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let program = Program::new(super::argv(config.exec)?, context);
    let fields =
        Fields { generation: config.generation, principal: config.principal, healthy: config.healthy };
    Ok(Box::new(Ask { program, fields }))
}

#[async_trait]
impl Observe for Ask {
    fn target(&self) -> String {
        format!("run {}{}", self.program, self.fields)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = vec![self.program.check()];
        if checks.iter().all(|check| check.ok) {
            let (ok, detail) = match self.see().await {
                Ok(seen) if seen.healthy => (true, "it answered".to_owned()),
                Ok(_) => (false, "it answered that the consumer is not healthy".to_owned()),
                Err(error) => (false, error.detail),
            };
            checks.push(Check { what: "ask the consumer".to_owned(), ok, detail });
        }
        checks
    }

    async fn see(&self) -> Result<Seen, ConnectError> {
        let failed = |kind, detail: String| {
            ConnectError::new(format!("run {}", self.program), "asking the consumer", kind, detail)
        };
        let (status, output) = match self.program.run(true).await {
            Ended::Exited(status, output) => (status, output),
            Ended::NotStarted(error) => {
                return Err(failed(ConnectErrorKind::Denied, format!("not started: {error}")));
            }
            Ended::Late => {
                return Err(failed(ConnectErrorKind::Lost, "no end in time; it was killed".to_owned()));
            }
            Ended::Lost(words) => return Err(failed(ConnectErrorKind::Unexpected, words.to_owned())),
        };
        if !status.success() {
            let kind = ConnectErrorKind::Transient { retry_after: None };
            let code =
                status.code().map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
            return Err(failed(kind, format!("it ended with {code}; see its own log")));
        }
        let text = String::from_utf8(output)
            .map_err(|_e| failed(ConnectErrorKind::Unexpected, "its output is not UTF-8".to_owned()))?;
        if self.fields.any() {
            let json = serde_json::from_str(&text)
                .map_err(|_e| failed(ConnectErrorKind::Unexpected, "its output is not JSON".to_owned()))?;
            return self
                .fields
                .seen(&json, true)
                .map_err(|words| failed(ConnectErrorKind::Unexpected, words));
        }
        let generation = crate::dotted::short(text.trim())
            .map_err(|words| failed(ConnectErrorKind::Unexpected, format!("its output {words}")))?;
        Ok(Seen { generation: Some(generation), principal: None, healthy: true, why: None })
    }
}
