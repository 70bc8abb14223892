//! What is new, for everybody who watches: one look at the ledger for all of them. Names and numbers, never content: whoever hears of something fetches
//! it with their own rights.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use quell_app::{App, AppError, Tick};
use tokio::sync::{broadcast, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;

/// How often the ledger is looked at; others may write to it, too.
const EVERY: Duration = Duration::from_millis(150);
/// Entries kept for those who are slow; whoever is slower reads them from the ledger.
const KEPT: usize = 1024;
/// Entries read at once.
const READ: i64 = 1000;

/// What is new.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    news: broadcast::Sender<Arc<Tick>>,
    newest: Arc<watch::Sender<u64>>,
}

impl Feed {
    /// What is there now is nothing new.
    pub(crate) async fn of(app: &App) -> Result<Self, AppError> {
        let (news, _) = broadcast::channel(KEPT);
        let newest = Arc::new(watch::Sender::new(app.store.size().await?));
        Ok(Self { news, newest })
    }

    /// How many entries there are.
    pub(crate) fn size(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Hears everything from now on; `Err` when some were missed.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Tick>> {
        self.news.subscribe()
    }

    /// Everything of a stream after an entry, then what comes: none missing, none twice.
    pub(crate) fn follow(
        &self,
        app: Arc<App>,
        stream: String,
        after: u64,
    ) -> impl Stream<Item = Tick> + use<> {
        let news = BroadcastStream::new(self.listen());
        let start = Following { app, stream, last: after, news, ready: VecDeque::new(), behind: true };
        futures_util::stream::unfold(start, |mut following| async move {
            let tick = following.next().await?;
            Some((tick, following))
        })
    }
}

struct Following {
    app: Arc<App>,
    stream: String,
    /// Number of the last entry that was told.
    last: u64,
    news: BroadcastStream<Arc<Tick>>,
    ready: VecDeque<Tick>,
    /// The ledger knows entries that were not heard of.
    behind: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Tick> {
        loop {
            if let Some(tick) = self.ready.pop_front() {
                self.last = tick.seq;
                return Some(tick);
            }
            if self.behind {
                let found = self.app.store.ticks(Some(&self.stream), self.last + 1, READ).await.ok()?;
                self.behind = !found.is_empty();
                self.ready.extend(found);
                continue;
            }
            match self.news.next().await? {
                Ok(tick) if tick.stream == self.stream && tick.seq > self.last => {
                    self.ready.push_back(Tick::clone(&tick));
                }
                Ok(_) => {}
                Err(_missed) => self.behind = true,
            }
        }
    }
}

/// Looks for news until it is told to stop. Begun again, it goes on where the last one was.
pub(crate) async fn look(app: Arc<App>, feed: Feed, mut stop: watch::Receiver<bool>) {
    let mut next = feed.size();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ended = stop.wait_for(|stop| *stop) => return,
        }
        // A database that is away is asked again; nothing is skipped, since we go on where we were.
        while let Ok(found) = app.store.ticks(None, next, READ).await {
            let Some(last) = found.last() else { break };
            next = last.seq + 1;
            for tick in found {
                // Nobody may be listening.
                drop(feed.news.send(Arc::new(tick)));
            }
            feed.newest.send_replace(next);
        }
    }
}
