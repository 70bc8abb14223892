//! What a key did, as CloudTrail's event history tells: what it made is what an intruder left behind.
//!
//! `LookupEvents` (CloudTrail API reference): management events of the last 90 days in one region, some minutes late, two requests a second.
//! IAM's and the global STS's events are in the partition's first region, which is asked.

use std::time::Duration;

use serde_json::{Value, json};

use super::admin::Admin;
use crate::aws::Service;
use crate::error::ConnectError;

/// Each of 50 events. What is beyond is said to be.
const PAGES_MAX: usize = 8;

/// So long between two pages, for AWS's sake.
const PAUSE: Duration = Duration::from_millis(550);

const WHAT: &str = "reading what the key made";

impl Admin<'_> {
    /// Never a failure of the step: what cannot be read is said to be not known.
    pub(super) async fn trail_of(&self, id: &str) -> Value {
        let limit = self.iam.cloud.context().call_limit;
        match tokio::time::timeout(limit, self.events_of(id)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => json!({ "not_known": error.detail }),
            Err(_elapsed) => {
                json!({ "not_known": format!("CloudTrail took longer than {} ms", limit.as_millis()) })
            }
        }
    }

    async fn events_of(&self, id: &str) -> Result<Value, ConnectError> {
        let cloud = &self.iam.cloud;
        let mut made = Vec::new();
        let mut next: Option<String> = None;
        let mut seen = 0;
        for page in 0..PAGES_MAX {
            if page > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let mut body = json!({
                "LookupAttributes": [{ "AttributeKey": "AccessKeyId", "AttributeValue": id }],
                "MaxResults": 50,
            });
            if let (Some(token), Some(body)) = (&next, body.as_object_mut()) {
                body.insert("NextToken".to_owned(), json!(token));
            }
            let reply = cloud.json(self.keys(), Service::CloudTrail, WHAT, "LookupEvents", &body).await?;
            let answer = reply.map_err(|refusal| cloud.refused(WHAT, &refusal, "admin"))?.body;
            let events = answer.get("Events").and_then(Value::as_array).ok_or_else(|| cloud.odd(WHAT))?;
            seen += events.len();
            made.extend(events.iter().filter(|event| leaves_something(event)).map(short));
            next = answer.get("NextToken").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        Ok(json!({
            "events": made,
            "looked_at": seen,
            "complete": next.is_none(),
            "note": "management events of 90 days in one region; the last minutes may be missing",
        }))
    }
}

/// Changes, and new sessions: STS marks those as reading.
fn leaves_something(event: &Value) -> bool {
    let reads = event.get("ReadOnly").and_then(Value::as_str) == Some("true");
    let name = event.get("EventName").and_then(Value::as_str).unwrap_or_default();
    !reads || name.starts_with("AssumeRole") || matches!(name, "GetSessionToken" | "GetFederationToken")
}

fn short(event: &Value) -> Value {
    let resources = event.get("Resources").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<Value> = resources
        .map(|one| json!({ "type": one.get("ResourceType"), "name": one.get("ResourceName") }))
        .collect();
    // Seconds since 1970, with a fraction in some.
    let at = event.get("EventTime").and_then(Value::as_f64).map(Duration::try_from_secs_f64);
    let at = at.and_then(Result::ok).and_then(|since| jiff::SignedDuration::try_from(since).ok());
    let at = at.and_then(|since| jiff::Timestamp::from_duration(since).ok()).map(|at| at.to_string());
    json!({ "event": event.get("EventName"), "service": event.get("EventSource"), "at": at, "resources": names })
}
