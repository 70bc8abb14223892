//! What was asked of a store, counted where requests leave: retries are seen that nobody above is told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

/// Requests that were sent so far, retries included.
#[derive(Debug, Default)]
pub struct Counts {
    lists: AtomicU64,
    gets: AtomicU64,
    throttled: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Requests {
    /// Pages of listings.
    pub lists: u64,
    /// Everything else: objects, and what credentials are got by.
    pub gets: u64,
    /// Those of both that the store answered with "slow down" (429, 503).
    pub throttled: u64,
}

impl Counts {
    /// What they are now.
    pub fn now(&self) -> Requests {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Requests { lists: of(&self.lists), gets: of(&self.gets), throttled: of(&self.throttled) }
    }
}

/// Makes clients that count.
#[derive(Debug)]
pub(crate) struct Counting(pub(crate) Arc<Counts>);

impl HttpConnector for Counting {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Counted { inner, counts: Arc::clone(&self.0) }))
    }
}

#[derive(Debug)]
struct Counted {
    inner: HttpClient,
    counts: Arc<Counts>,
}

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri();
        let kind =
            if is_list(uri.query().unwrap_or_default()) { &self.counts.lists } else { &self.counts.gets };
        kind.fetch_add(1, Ordering::Relaxed);
        let answer = self.inner.execute(request).await;
        if let Ok(answer) = &answer
            && matches!(answer.status().as_u16(), 429 | 503)
        {
            self.counts.throttled.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

/// Whether a request lists: `ListObjectsV2` of S3 (also what Google's XML API answers to) has `list-type=2`
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>), List Blobs of Azure has `comp=list`
/// (<https://learn.microsoft.com/rest/api/storageservices/list-blobs>).
fn is_list(query: &str) -> bool {
    query.split('&').any(|pair| pair == "list-type=2" || pair == "comp=list")
}
