//! Alarms of all nodes: news of them, and their records after lost messages.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};

use super::message::Content;
use crate::engine::{EngineError, NodeId, RecordKind};
use crate::hub::alarms::{AlarmNews, Heard};
use crate::hub::{Hub, Inner};

impl Hub {
    pub(super) fn take_alarm_news(&self, sender: NodeId, news: AlarmNews) {
        let (heard, lacking) = self.ledgers().hear(self.around_alarms(), news, self.live().alarm_bytes);
        if let Some(store) = self.engine().records() {
            lacking.into_iter().for_each(|record| drop(store.put(record)));
        }
        self.remove_records(RecordKind::Alarm, self.ledgers().take_obsolete());
        match heard {
            Heard::Done if !self.ledgers().are_none() => self.schedule_alarm_cleanup(),
            Heard::Done => {}
            Heard::Unknown => self.inner.missed_messages(),
            Heard::Wanted => {
                for news in self.ledgers().all_news(self.engine().records().is_some()) {
                    // A lost one is missed by its recipient.
                    drop(self.inner.send_to_nodes(Some(sender), Content::Alarm(news)));
                }
            }
        }
    }

    /// Loads the records of alarms again, and asks the other nodes for what is not in them.
    async fn catch_up_alarms(&self, is_first: bool) -> Result<(), EngineError> {
        self.restored().await?;
        if !is_first && let Some(store) = self.engine().records() {
            let records = store.load(RecordKind::Alarm).await?;
            self.restore_alarms(records, SystemTime::now());
        }
        self.inner.send_to_nodes(None, Content::Alarm(AlarmNews::Wanted)).await
    }
}

/// Notifies the other nodes of changes, until the hub is gone.
pub(super) async fn share(hub: Weak<Inner>) {
    let Some(changes) = hub.upgrade().and_then(|hub| hub.alarms.changes()) else { return };
    loop {
        changes.notified().await;
        loop {
            let sent: Vec<_> = {
                let Some(hub) = hub.upgrade() else { return };
                let news = hub.alarms.take_news().into_iter();
                news.map(|news| hub.send_to_nodes(None, Content::Alarm(news))).collect()
            };
            if sent.is_empty() {
                break;
            }
            for sent in sent {
                // Its recipients notice a lost message, and ask for everything.
                if let Ok(Err(error)) = timeout(PATIENCE, sent).await {
                    tracing::debug!("news of alarms have not reached the other nodes: {error}");
                }
            }
        }
    }
}

/// Catches up with the alarms of other nodes, when the hub starts and after each loss of messages, until the hub is gone.
pub(super) async fn catch_up(hub: Weak<Inner>) {
    let Some(has_missed) = hub.upgrade().map(|hub| Arc::clone(&hub.fleet.has_missed)) else { return };
    let mut is_first = true;
    loop {
        {
            let Some(hub) = Hub::upgrade(&hub) else { return };
            match timeout(LONGEST, hub.catch_up_alarms(is_first)).await {
                Ok(Ok(())) => is_first = false,
                failed => {
                    if let Ok(Err(error)) = failed {
                        tracing::debug!("the alarms of other nodes are loaded later: {error}");
                    }
                    has_missed.notify_one();
                }
            }
        }
        // Many losses are one.
        sleep(PAUSE).await;
        has_missed.notified().await;
    }
}

/// The time for which a message is awaited, that for everything, and the time between two losses.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);
