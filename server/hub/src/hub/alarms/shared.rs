//! Ledgers that several nodes share: news for the others, and news of them.
//!
//! Every node has the whole ledger of each alarm. The progress of a recipient only advances, so it does not matter in which order,
//! and how often, news of it are heard. Of the same progress the earliest time counts.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use indexmap::IndexSet;
use tokio::time::Instant;

use super::ledger::{Ledger, Recipient};
use super::news::{AlarmNews, HeardProgress};
use super::{AlarmSurroundings, Alarms, Ledgers};
use crate::alarm::AlarmProgress;
use crate::checked_subtraction::subtract;
use crate::engine::Record;
use crate::hub::sessions::Sessions;
use crate::hub::shared_frame::SharedFrame;
use crate::session::queue::Lane;
use crate::unix_time::milliseconds;

/// The changes of a ledger that other nodes do not know.
#[derive(Default)]
pub(super) struct Unshared {
    is_raised: bool,
    pub(super) changed: IndexSet<Recipient>,
    pub(super) forgotten: Vec<Recipient>,
    pub(super) has_counts: bool,
    pub(super) is_withdrawn: bool,
}

/// The result of news.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Done,
    /// There is no such alarm.
    Unknown,
    /// The sender wants to know everything.
    Wanted,
}

impl Unshared {
    /// The other nodes have to be told of the alarm.
    pub(super) fn raised() -> Self {
        Self { is_raised: true, ..Self::default() }
    }
}

impl Alarms {
    /// Waits for changes that other nodes do not know.
    pub(crate) fn changes(&self) -> Option<std::sync::Arc<tokio::sync::Notify>> {
        self.changes.clone()
    }

    /// Wakes the task that tells other nodes.
    pub(super) fn tell(&self) {
        if let Some(changes) = &self.changes {
            changes.notify_one();
        }
    }

    /// Takes some of the news for other nodes; empty if there are none.
    pub(crate) fn take_news(&self) -> Vec<AlarmNews> {
        let mut ledgers = self.ledgers.lock();
        let (mut news, now) = (Vec::new(), Instant::now());
        for (id, ledger) in &mut ledgers.by_id {
            ledger.take_news(id, now, &mut news);
            if news.len() >= AT_ONCE {
                break;
            }
        }
        news
    }

    /// Everything that a node can't know from the records, or everything if there are none.
    pub(crate) fn all_news(&self, are_stored: bool) -> Vec<AlarmNews> {
        let ledgers = self.ledgers.lock();
        let (mut news, now) = (Vec::new(), Instant::now());
        for (id, ledger) in ledgers.by_id.iter().filter(|(_, ledger)| !ledger.is_emptied) {
            if !are_stored {
                news.extend(ledger.news_of_raising(id, now));
            }
            let progressed: Vec<_> = ledger.progressed().collect();
            for entries in progressed.chunks(ENTRIES) {
                news.push(AlarmNews::Progress { id: id.clone(), entries: entries.into() });
            }
            news.push(ledger.news_of_counts(id));
            if ledger.is_withdrawn && !are_stored {
                news.push(AlarmNews::Withdrawn { id: id.clone() });
            }
        }
        news
    }

    /// Hears news of another node. Returns the records that the store lacks.
    pub(crate) fn hear(
        &self,
        around: AlarmSurroundings<'_>,
        news: AlarmNews,
        bound: usize,
    ) -> (Heard, Vec<Record>) {
        let now = Instant::now();
        let mut lacking = Vec::new();
        let mut ledgers = self.ledgers.lock();
        ledgers.bound = bound;
        let id = news.id().to_owned();
        let heard = match news {
            AlarmNews::Wanted => Heard::Wanted,
            AlarmNews::Raised { id, left, value } => {
                if !ledgers.by_id.contains_key(&id)
                    && let Some(mut ledger) = Ledger::restored(&id, &value, (now, SystemTime::now()))
                {
                    // The clocks of nodes may differ.
                    ledger.ends = now.checked_add(left.min(ledger.ttl)).unwrap_or(now);
                    ledger.unshared = Some(Box::default());
                    if ledger.is_active(now) {
                        ledgers.send_to_all(around.sessions, &id, &mut ledger, now);
                    }
                    self.active.fetch_add(usize::from(now < ledger.ends), Ordering::AcqRel);
                    ledgers.add(id, ledger);
                    ledgers.shrink(around, now);
                }
                Heard::Done
            }
            AlarmNews::Withdrawn { id } => match ledgers.by_id.get_mut(&id) {
                Some(ledger) => {
                    ledger.end_early(around.sessions, &id, now);
                    Heard::Done
                }
                None => Heard::Unknown,
            },
            news => ledgers.change(&id, |ledger, room| match news {
                AlarmNews::Recipients { first, users, .. } => {
                    let users = (first..).zip(users).map(|(number, user)| (number, Recipient::User(user)));
                    ledger.hear_recipients(around.sessions, &id, users, now);
                }
                AlarmNews::Progress { entries, .. } => {
                    for heard in &entries {
                        lacking.extend(ledger.hear(around.sessions, &id, heard, room));
                    }
                }
                AlarmNews::Counts { departed, unlisted, .. } => {
                    let narrow = |count| usize::try_from(count).unwrap_or(usize::MAX);
                    ledger.hear_counts(narrow(departed), narrow(unlisted));
                }
                AlarmNews::Forgotten { recipients, .. } => {
                    for recipient in &recipients {
                        ledger.hear_forgotten(around.sessions, recipient);
                    }
                }
                AlarmNews::Raised { .. } | AlarmNews::Withdrawn { .. } | AlarmNews::Wanted => {}
            }),
        };
        // One that was looked for and not found has been forgotten here.
        let heard = match heard {
            Heard::Unknown if !ledgers.note_unknown(id) => Heard::Done,
            heard => heard,
        };
        drop(ledgers);
        self.tell();
        (heard, lacking)
    }
}

impl Ledgers {
    /// Changes the ledger of an alarm, with the room for it.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Ledger, usize)) -> Heard {
        let Some(ledger) = self.by_id.get_mut(id) else { return Heard::Unknown };
        let before = ledger.bytes;
        let others = subtract(self.bytes, before).saturating_add(self.reserved.1);
        change(ledger, self.bound.saturating_sub(others));
        self.bytes = subtract(self.bytes, before).saturating_add(ledger.bytes);
        Heard::Done
    }

    /// Notes that an alarm is unknown. Returns `true` for the first time.
    fn note_unknown(&mut self, id: String) -> bool {
        if self.unknown.len() >= MAX_UNKNOWN {
            self.unknown.clear();
        }
        self.unknown.insert(id)
    }

    /// Forgets ended alarms that the store does not have any more: other nodes needed their room.
    pub(super) fn forget_ended(&mut self, now: Instant, is_stored: impl Fn(&str) -> bool) {
        let mut bytes = self.bytes;
        self.by_id.retain(|id, ledger| {
            let stays = ledger.is_active(now) || is_stored(id);
            if !stays {
                bytes = subtract(bytes, ledger.bytes);
            }
            stays
        });
        self.bytes = bytes;
    }
}

impl Ledger {
    /// Notifies the other nodes of the alarm.
    pub(super) fn announce(&mut self) {
        if let Some(unshared) = &mut self.unshared {
            unshared.is_raised = true;
        }
    }

    /// Takes the news for other nodes.
    fn take_news(&mut self, id: &str, now: Instant, news: &mut Vec<AlarmNews>) {
        let Some(mut unshared) = self.unshared.take() else { return };
        if std::mem::take(&mut unshared.is_raised) {
            news.extend(self.news_of_raising(id, now));
        }
        while news.len() < AT_ONCE && !unshared.changed.is_empty() {
            let few = unshared.changed.len().min(ENTRIES);
            let entries = unshared.changed.drain(..few).filter_map(|recipient| self.heard(&recipient));
            news.push(AlarmNews::Progress { id: id.into(), entries: entries.collect() });
        }
        if !unshared.forgotten.is_empty() {
            let recipients = std::mem::take(&mut unshared.forgotten);
            news.push(AlarmNews::Forgotten { id: id.into(), recipients });
        }
        if std::mem::take(&mut unshared.has_counts) {
            news.push(self.news_of_counts(id));
        }
        if std::mem::take(&mut unshared.is_withdrawn) {
            news.push(AlarmNews::Withdrawn { id: id.into() });
        }
        self.unshared = Some(unshared);
    }

    /// The alarm with its users.
    fn news_of_raising(&self, id: &str, now: Instant) -> Vec<AlarmNews> {
        let left = self.ends.saturating_duration_since(now);
        let mut news =
            vec![AlarmNews::Raised { id: id.into(), left, value: self.head(id, self.is_withdrawn) }];
        if !self.is_for_all {
            let users: Vec<_> = self.users().cloned().collect();
            let mut first = 0_u64;
            for users in users.chunks(USERS) {
                news.push(AlarmNews::Recipients { id: id.into(), first, users: users.into() });
                first = first.saturating_add(u64::try_from(users.len()).unwrap_or(u64::MAX));
            }
        }
        news
    }

    fn news_of_counts(&self, id: &str) -> AlarmNews {
        let wide = |count| u64::try_from(count).unwrap_or(u64::MAX);
        AlarmNews::Counts { id: id.into(), departed: wide(self.departed), unlisted: wide(self.unlisted) }
    }

    /// Adds users that another node has listed, and sends the alarm to those that are here.
    fn hear_recipients(
        &mut self,
        sessions: &Sessions,
        id: &str,
        users: impl Iterator<Item = (u64, Recipient)>,
        now: Instant,
    ) {
        if self.is_emptied {
            return;
        }
        let mut added = HashSet::new();
        for (number, recipient) in users {
            if self.add_with(&recipient, number) {
                added.insert(recipient);
            }
        }
        if added.is_empty() || !self.is_active(now) {
            return;
        }
        let mut frame = SharedFrame::new(self.frame(id, self.ends.saturating_duration_since(now)));
        sessions.for_each(|peer| {
            if added.contains(&Recipient::of(peer)) && self.note_sent(peer, 0) {
                peer.mailbox.push(Lane::Urgent, frame.bytes(peer.codec));
            }
        });
    }

    /// Merges the ledger that was restored from records of the same alarm. Returns the records that the store lacks.
    pub(super) fn merge(
        &mut self,
        sessions: &Sessions,
        id: &str,
        stored: &Self,
        room: usize,
        now: Instant,
    ) -> Vec<Record> {
        if stored.is_withdrawn {
            self.end_early(sessions, id, now);
        }
        if self.is_emptied || stored.is_emptied {
            return Vec::new();
        }
        for heard in stored.progressed() {
            self.hear(sessions, id, &heard, room);
        }
        let mut lacking = Vec::new();
        for HeardProgress { recipient, progress, since, .. } in self.progressed() {
            let is_stored = stored.progress_at(&recipient).is_some_and(|stored| stored >= progress);
            if progress >= AlarmProgress::Received && !is_stored {
                lacking.extend(self.recipient_record(id, &recipient, progress, since));
            }
        }
        lacking
    }

    /// Ends an active alarm early, and notifies its recipients.
    pub(super) fn end_early(&mut self, sessions: &Sessions, id: &str, now: Instant) -> bool {
        if !self.is_active(now) {
            return false;
        }
        self.is_withdrawn = true;
        let mut frame = SharedFrame::new(self.withdrawal(id));
        sessions.for_each(|peer| {
            if self.is_for_all || self.progress_of(peer).is_some() {
                peer.mailbox.push(Lane::Urgent, frame.bytes(peer.codec));
            }
        });
        true
    }
}

/// The present time to the millisecond, as records and news have it.
pub(super) fn present() -> SystemTime {
    let now = SystemTime::now();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds(now))).unwrap_or(now)
}

/// The number of recipients in one message, that of users, and the number of news that are taken at once.
const ENTRIES: usize = 500;
const USERS: usize = 4000;
const AT_ONCE: usize = 8;

/// The maximum number of unknown alarms that are noted.
const MAX_UNKNOWN: usize = 1000;
