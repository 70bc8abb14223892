//! Logs of `quell hunt`, wherever they lie, and what it costs to read those that lie in buckets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::sync::Arc;

use quell_app::AppError;
use quell_bucket::address::{Address, Kind};
use quell_bucket::bucket::{Bucket, BucketError};
use quell_bucket::cost::{Cost, Dollars, MANY_BYTES, MANY_OBJECTS, dollars};
use quell_bucket::count::{Counts, Requests};
use quell_bucket::list;
use quell_core::incident::RefusedBecause;
use quell_hunt::hunt::Question;
use quell_hunt::object::{self, Object};
use serde_json::{Value, json};

use crate::output::{Out, can_ask};

/// All logs that were named.
pub(crate) struct Logs {
    /// In the order in which they are searched.
    pub(crate) objects: Vec<Object>,
    /// Folders of buckets that were not listed.
    pub(crate) outside: Vec<String>,
    counts: Arc<Counts>,
    /// What one pass over each kind of store costs; empty without buckets.
    costs: BTreeMap<Kind, Cost>,
}

/// Lists files, folders and buckets. A bucket is asked only for what the question is about.
pub(crate) async fn list(named: &[PathBuf], question: &Question) -> Result<Logs, AppError> {
    let (mut paths, mut addresses) = (Vec::new(), Vec::new());
    for one in named {
        match one.to_str().filter(|text| Address::is_meant(text)) {
            Some(text) => {
                addresses.push(Address::parse(text).map_err(|error| AppError::Usage(error.to_string()))?);
            }
            None => paths.push(one.clone()),
        }
    }
    let objects = object::list(&paths).map_err(|error| AppError::Usage(error.to_string()))?;
    let counts = Arc::new(Counts::default());
    let mut logs = Logs { objects, outside: Vec::new(), counts, costs: BTreeMap::new() };
    for address in addresses {
        logs.add(address, question).await?;
    }
    object::sort(&mut logs.objects);
    Ok(logs)
}

impl Logs {
    async fn add(&mut self, address: Address, question: &Question) -> Result<(), AppError> {
        let kind = address.kind();
        let runtime = tokio::runtime::Handle::current();
        let before = self.counts.now().lists;
        let bucket = Bucket::open(address, runtime, Arc::clone(&self.counts)).map_err(refused)?;
        let mut listed = list::list(&bucket, &|folder| question.step(folder)).await.map_err(refused)?;
        let cost = self.costs.entry(kind).or_default();
        cost.lists += self.counts.now().lists - before;
        for object in listed.objects.iter().filter(|object| question.wants(object)) {
            // A digest is read before the logs, for what it says of them, and with them as one of them.
            cost.gets += if object.delivery.as_ref().is_some_and(|it| it.digest) { 2 } else { 1 };
            cost.bytes += object.size;
        }
        self.objects.append(&mut listed.objects);
        self.outside.append(&mut listed.outside);
        Ok(())
    }

    /// What one pass costs, for people; `None` without buckets.
    pub(crate) fn price(&self) -> Option<String> {
        let cost = self.cost()?;
        let mut text = format!(
            "From buckets: {} LIST requests were made; each pass takes {} GET requests and {} bytes",
            cost.lists, cost.gets, cost.bytes
        );
        if !self.outside.is_empty() {
            let _ok = write!(text, "; {} folders lie outside and were not listed", self.outside.len());
        }
        let prices = self.dollars();
        for Dollars { requests, transfer, source } in &prices {
            let (requests, transfer) = (dollars(*requests), dollars(*transfer));
            let _ok = write!(
                text,
                "\nAbout {requests} for requests, and {transfer} more if it leaves the region of the bucket ({source})"
            );
        }
        if prices.len() < self.costs.len() {
            text.push_str("\nThe price of Azure depends on tier and redundancy, which are not known here");
        }
        Some(text)
    }

    /// The same for programs.
    pub(crate) fn price_json(&self) -> Option<Value> {
        let cost = self.cost()?;
        let prices: Vec<Value> = self
            .dollars()
            .iter()
            .map(|it| {
                let (requests, transfer) = (dollars(it.requests), dollars(it.transfer));
                json!({ "requests": requests, "transfer_out": transfer, "source": it.source })
            })
            .collect();
        Some(json!({
            "lists": cost.lists, "gets": cost.gets, "bytes": cost.bytes, "not_listed": self.outside, "prices": prices,
        }))
    }

    /// Asks whether to read that much, where somebody can answer.
    ///
    /// # Errors
    /// When the answer is no, or nobody can give one and `agreed` is not set.
    pub(crate) fn agree(&self, agreed: bool, out: &Out) -> Result<(), AppError> {
        if agreed || !self.cost().is_some_and(|cost| cost.is_large()) {
            return Ok(());
        }
        let much =
            format!("more than {MANY_OBJECTS} objects or {} GB of buckets", MANY_BYTES / 1_000_000_000);
        if can_ask() {
            out.status(format!("That is {much}. Type yes to read them, anything else to stop"));
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            if read.is_ok() && line.trim() == "yes" {
                return Ok(());
            }
        }
        Err(AppError::Refused(RefusedBecause {
            what: format!("to read {much} needs --yes"),
            unmet: vec![
                "--estimate says what it costs; --from, --to, --account and --region narrow it".to_owned(),
            ],
        }))
    }

    /// What was asked of buckets, retries included; `None` without buckets.
    pub(crate) fn asked(&self) -> Option<Requests> {
        (!self.costs.is_empty()).then(|| self.counts.now())
    }

    fn cost(&self) -> Option<Cost> {
        self.costs.values().copied().reduce(|a, b| Cost {
            gets: a.gets + b.gets,
            lists: a.lists + b.lists,
            bytes: a.bytes + b.bytes,
        })
    }

    fn dollars(&self) -> Vec<Dollars> {
        self.costs.iter().filter_map(|(kind, cost)| cost.dollars(*kind)).collect()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn refused(error: BucketError) -> AppError {
    AppError::Usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_reading_needs_somebody_s_yes() {
        let logs = |gets| {
            let costs = BTreeMap::from([(Kind::S3, Cost { gets, lists: 1, bytes: 0 })]);
            Logs { objects: Vec::new(), outside: Vec::new(), counts: Arc::default(), costs }
        };
        let out = Out::new(false);
        assert!(logs(MANY_OBJECTS).agree(false, &out).is_ok());
        assert!(logs(MANY_OBJECTS + 1).agree(true, &out).is_ok());
        // Tests have no terminal to be asked at.
        let refused = logs(MANY_OBJECTS + 1).agree(false, &out).unwrap_err();
        assert!(refused.to_string().contains("--yes"), "{refused}");
    }
}
