//! The ledgers of alarms: the progress of each recipient.
//!
//! With an engine that has [`Records`], alarms outlive the process. A change is stored first, then the ledgers change, and then the
//! caller or client is answered. Records are put under the lock of the ledgers, so that those of a recipient have an order.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::try_join_all;
use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use wirehub_common::{ChannelName, Payload};

use self::ledger::{Ledger, Recipient};
pub(crate) use self::news::AlarmNews;
pub(crate) use self::shared::Heard;
use self::shared::{Unshared, present};
use self::stored::{alarm_key, recipient_key};
use super::sessions::{Peer, Sessions};
use super::shared_frame::SharedFrame;
use crate::alarm::{AlarmProgress, AlarmRecipient, AlarmReport};
use crate::checked_subtraction::subtract;
use crate::engine::{EngineError, EngineFuture, Record, RecordKind, Records};
use crate::session::queue::Lane;

mod ledger;
mod news;
mod restore;
mod shared;
mod stored;

/// The remembered alarms, in the order in which they were raised.
pub(crate) struct Alarms {
    /// Distinguishes the ids of this process from those of an earlier one.
    scope: u64,
    /// The number of ids so far.
    ids: AtomicU64,
    ledgers: Arc<Mutex<Ledgers>>,
    /// An upper bound of the active alarms. Sessions check it first, because there are seldom any.
    active: AtomicUsize,
    /// `true` if a task will remove old recipients.
    is_cleanup_scheduled: AtomicBool,
    /// Notified of changes that other nodes do not know. Absent if the hub is alone.
    changes: Option<Arc<Notify>>,
}

#[derive(Default)]
struct Ledgers {
    by_id: IndexMap<String, Ledger>,
    /// Their approximate size in bytes.
    bytes: usize,
    /// The maximum size in bytes.
    bound: usize,
    /// The number of alarms that were sent, or restored.
    sent: u64,
    /// The number and the bytes of new alarms that are not stored yet.
    reserved: (usize, usize),
    /// The keys of records that are not needed any more.
    obsolete: Vec<Bytes>,
    /// Alarms in the news of other nodes that were looked for.
    unknown: HashSet<String>,
}

/// The surroundings of the ledgers.
#[derive(Clone, Copy)]
pub(crate) struct AlarmSurroundings<'a> {
    pub(crate) sessions: &'a Sessions,
    /// The engine's store, if it has one.
    pub(crate) store: Option<&'a dyn Records>,
}

/// An alarm that is not sent yet. It has a place among the ledgers until it is dropped.
pub(crate) struct NewAlarm {
    pub(crate) id: String,
    ledger: Ledger,
    place: ReservedPlace,
}

struct ReservedPlace {
    ledgers: Arc<Mutex<Ledgers>>,
    /// Zero if the place was taken.
    bytes: usize,
}

/// The audience of an alarm.
#[derive(Debug, Clone)]
pub(crate) enum AlarmAudience {
    /// Every session that is connected, or connects before the end of the alarm.
    Everybody,
    Users(Vec<Arc<str>>),
}

/// The reason why an alarm is not raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlarmRefusal {
    /// Too many alarms are active.
    TooMany,
    /// It has more users than a ledger can list.
    TooManyRecipients,
    /// The active alarms use all the memory.
    NoRoom,
}

/// The result of an acknowledgement.
#[derive(Debug)]
pub(crate) enum Acknowledgement {
    /// It is in the ledger, now or already before.
    Recorded,
    /// The engine stores it. After that it is noted by [`Alarms::acknowledged`] with this time.
    Storing(EngineFuture<()>, SystemTime),
    /// The alarm has ended.
    IsOver,
    /// There is no such alarm for this session, or it is forgotten.
    Unknown,
}

/// A page of an alarm's recipients.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecipientPage {
    /// The alarm, without its recipients.
    pub report: AlarmReport,
    /// The recipients of this page. Recipients that have not acknowledged the alarm come first.
    pub recipients: Vec<AlarmRecipient>,
    /// The position behind which the next page begins; `None` on the last page.
    pub next: Option<RecipientPlace>,
}

/// A place among an alarm's recipients. Its text, such as `waiting.7`, can be parsed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecipientPlace {
    pub(crate) progress: AlarmProgress,
    pub(crate) number: u64,
}

impl Alarms {
    pub(crate) fn new(is_shared: bool) -> Self {
        Self {
            changes: is_shared.then(Arc::default),
            scope: RandomState::new().hash_one(0),
            ids: AtomicU64::new(0),
            ledgers: Arc::default(),
            active: AtomicUsize::new(0),
            is_cleanup_scheduled: AtomicBool::new(false),
        }
    }

    /// Makes a new alarm, and room for it. It is sent by [`Self::send_new`]. All ledgers together have about `bound` bytes at
    /// most.
    pub(crate) fn prepare(
        &self,
        store: Option<&dyn Records>,
        (channel, payload): (ChannelName, Payload),
        audience: AlarmAudience,
        ttl: Duration,
        bound: usize,
    ) -> Result<NewAlarm, AlarmRefusal> {
        let now = Instant::now();
        let mut ledger = Ledger::new(0, channel, payload, now, ttl);
        ledger.unshared = self.changes.is_some().then(|| Box::new(Unshared::raised()));
        match audience {
            AlarmAudience::Everybody => ledger.is_for_all = true,
            AlarmAudience::Users(users) => {
                for user in users {
                    ledger.add(&Recipient::User(user));
                    // Repeated names count once.
                    if ledger.listed() > MAX_RECIPIENTS {
                        return Err(AlarmRefusal::TooManyRecipients);
                    }
                }
            }
        }
        let mut ledgers = self.ledgers.lock();
        ledgers.bound = bound;
        ledgers.forget_recipients(store, now);
        ledgers.make_room(store, ledger.bytes, now)?;
        let place = ReservedPlace { ledgers: Arc::clone(&self.ledgers), bytes: ledger.bytes };
        let (count, bytes) = ledgers.reserved;
        ledgers.reserved = (count.saturating_add(1), bytes.saturating_add(ledger.bytes));
        let id = format!("{:016x}.{}", self.scope, self.ids.fetch_add(1, Ordering::Relaxed));
        Ok(NewAlarm { id, ledger, place })
    }

    /// Sends an alarm to the connected recipients. Later sessions receive it too.
    pub(crate) fn send_new(&self, sessions: &Sessions, new: NewAlarm) -> String {
        let NewAlarm { id, mut ledger, mut place } = new;
        let now = Instant::now();
        // The store may have taken some time.
        ledger.ends = now.checked_add(ledger.ttl).unwrap_or(now);
        let mut ledgers = self.ledgers.lock();
        ledgers.release(std::mem::take(&mut place.bytes));
        if let Some(known) = ledgers.by_id.get_mut(&id) {
            // Another node has found its record, and news of it came back.
            known.announce();
            drop(ledgers);
            self.tell();
            return id;
        }
        self.active.fetch_add(1, Ordering::AcqRel);
        ledgers.send_to_all(sessions, &id, &mut ledger, now);
        ledgers.add(id.clone(), ledger);
        drop(ledgers);
        self.tell();
        id
    }

    /// Sends the unacknowledged alarms of its user to a new session. Alarms that ended early are sent as withdrawn, because the
    /// client may still show them. Returns the numbers of the alarms without room in the session's queue.
    pub(crate) fn send_active(&self, around: AlarmSurroundings<'_>, peer: &Peer) -> Option<Range<u64>> {
        if self.active.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut ledgers = self.ledgers.lock();
        let now = Instant::now();
        let active = ledgers.by_id.values().filter(|ledger| now < ledger.ends).count();
        self.active.store(active, Ordering::Release);
        // Later alarms are sent to the session anyway.
        let numbers = 0..ledgers.sent;
        let unsent = ledgers.send(around, peer, numbers, now);
        drop(ledgers);
        self.tell();
        unsent
    }

    /// Continues with the alarms of these numbers.
    pub(crate) fn send_remaining(
        &self,
        around: AlarmSurroundings<'_>,
        peer: &Peer,
        unsent: Range<u64>,
    ) -> Option<Range<u64>> {
        let unsent = self.ledgers.lock().send(around, peer, unsent, Instant::now());
        self.tell();
        unsent
    }

    /// Notes that a session received an alarm, or that its user acknowledged it. In the latter case the user's other sessions
    /// are notified.
    pub(crate) fn acknowledge(
        &self,
        around: AlarmSurroundings<'_>,
        peer: &Peer,
        id: &str,
        progress: AlarmProgress,
    ) -> Acknowledgement {
        let mut ledgers = self.ledgers.lock();
        let Some(ledger) = ledgers.by_id.get_mut(id) else { return Acknowledgement::Unknown };
        let is_over = !ledger.is_active(Instant::now());
        let Some(known) = ledger.progress_of(peer) else {
            return match ledger.is_for_all {
                true if is_over => Acknowledgement::IsOver,
                // The ledger had no room for the recipient.
                true if ledger.unlisted > 0 => Acknowledgement::Recorded,
                _ => Acknowledgement::Unknown,
            };
        };
        if progress <= known {
            return Acknowledgement::Recorded;
        }
        if is_over {
            return Acknowledgement::IsOver;
        }
        let since = present();
        if let Some(store) = around.store
            && let Some(record) = ledger.progress_record(id, peer, progress, since)
        {
            match store.put(record) {
                EngineFuture::Now(Ok(())) => {}
                stored => return Acknowledgement::Storing(stored, since),
            }
        }
        ledger.note(around.sessions, peer, id, progress, since);
        drop(ledgers);
        self.tell();
        Acknowledgement::Recorded
    }

    /// Notes a progress that has been stored, unless there is a later one.
    pub(crate) fn acknowledged(
        &self,
        sessions: &Sessions,
        peer: &Peer,
        id: &str,
        progress: AlarmProgress,
        since: SystemTime,
    ) {
        let mut ledgers = self.ledgers.lock();
        if let Some(ledger) = ledgers.by_id.get_mut(id)
            && ledger.progress_of(peer).is_some_and(|known| known < progress)
        {
            ledger.note(sessions, peer, id, progress, since);
        }
        drop(ledgers);
        self.tell();
    }

    /// Stores the early end of an alarm, which [`Self::withdrawn`] carries out. `None` if there is no active one with this id.
    pub(crate) fn withdraw(&self, store: Option<&dyn Records>, id: &str) -> Option<EngineFuture<()>> {
        let ledgers = self.ledgers.lock();
        let ledger = ledgers.by_id.get(id).filter(|ledger| ledger.is_active(Instant::now()))?;
        Some(store.map_or(EngineFuture::Now(Ok(())), |store| store.put(ledger.record(id, true))))
    }

    /// Takes back the stored end of an alarm, because the store may contain it after a failure.
    pub(crate) fn not_withdrawn(&self, store: &dyn Records, id: &str) {
        let ledgers = self.ledgers.lock();
        if let Some(ledger) = ledgers.by_id.get(id) {
            drop(store.put(ledger.record(id, ledger.is_withdrawn)));
        }
    }

    /// Ends an alarm early. Returns `false` if there is no active one with this id.
    pub(crate) fn withdrawn(&self, sessions: &Sessions, id: &str) -> bool {
        let mut ledgers = self.ledgers.lock();
        let Some(ledger) = ledgers.by_id.get_mut(id) else { return false };
        let is_withdrawn = ledger.end_early(sessions, id, Instant::now());
        if let Some(unshared) = &mut ledger.unshared {
            unshared.is_withdrawn |= is_withdrawn;
        }
        drop(ledgers);
        self.tell();
        is_withdrawn
    }

    /// The report on an alarm.
    pub(crate) fn report(&self, id: &str) -> Option<AlarmReport> {
        let ledgers = self.ledgers.lock();
        let ledger = ledgers.by_id.get(id)?;
        let recipients = ledger.recipients().map(|(_, recipient)| recipient()).collect();
        Some(AlarmReport { recipients, ..ledger.report(id) })
    }

    /// The report with a part of the recipients: at most `most` behind a place.
    pub(crate) fn recipient_page(
        &self,
        id: &str,
        after: Option<RecipientPlace>,
        most: usize,
    ) -> Option<RecipientPage> {
        let ledgers = self.ledgers.lock();
        let ledger = ledgers.by_id.get(id)?;
        let mut places: Vec<_> =
            ledger.recipients().filter(|(place, _)| after.is_none_or(|after| *place > after)).collect();
        let next = if places.len() > most {
            places.select_nth_unstable_by_key(most, |(place, _)| *place);
            places.truncate(most);
            places.iter().map(|(place, _)| *place).max()
        } else {
            None
        };
        places.sort_unstable_by_key(|(place, _)| *place);
        let recipients = places.into_iter().map(|(_, recipient)| recipient()).collect();
        Some(RecipientPage { report: ledger.report(id), recipients, next })
    }

    /// The reports on all alarms, the newest first, without the recipients.
    pub(crate) fn reports(&self) -> Vec<AlarmReport> {
        let ledgers = self.ledgers.lock();
        let mut reports: Vec<_> = ledgers.by_id.iter().rev().map(|(id, ledger)| ledger.report(id)).collect();
        drop(ledgers);
        if self.changes.is_some() {
            // They may have come in another order to other nodes.
            reports.sort_by(|one, other| (other.raised, &other.id).cmp(&(one.raised, &one.id)));
        }
        reports
    }

    /// Returns `true` if the caller has to schedule the [removal](Self::forget_recipients) of recipients.
    pub(crate) fn claim_cleanup(&self) -> bool {
        !self.is_cleanup_scheduled.swap(true, Ordering::AcqRel)
    }

    /// Forgets the recipients of alarms that ended a while ago. Returns the time of the next check; `None` if no recipients are
    /// left.
    pub(crate) fn forget_recipients(&self, store: Option<&dyn Records>, now: Instant) -> Option<Instant> {
        let mut ledgers = self.ledgers.lock();
        let are_left = ledgers.forget_recipients(store, now);
        self.is_cleanup_scheduled.store(are_left, Ordering::Release);
        are_left.then(|| now.checked_add(CLEANUP_INTERVAL).unwrap_or(now))
    }

    /// `true` if no alarm is remembered.
    pub(crate) fn are_none(&self) -> bool {
        self.ledgers.lock().by_id.is_empty()
    }

    /// Takes the keys of the records that are not needed any more.
    pub(crate) fn take_obsolete(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.ledgers.lock().obsolete)
    }

    /// The approximate size of all ledgers in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let ledgers = self.ledgers.lock();
        let sum = ledgers.by_id.values().map(|ledger| ledger.bytes).sum::<usize>();
        assert_eq!(ledgers.bytes, sum, "what is counted is what is there");
        sum
    }
}

impl Ledgers {
    /// Forgets ended alarms, the oldest first, until there is room for a new one of this size.
    fn make_room(
        &mut self,
        store: Option<&dyn Records>,
        bytes: usize,
        now: Instant,
    ) -> Result<(), AlarmRefusal> {
        loop {
            let (reserved, reserved_bytes) = self.reserved;
            let are_many = self.by_id.len().saturating_add(reserved) >= MAX_ALARMS;
            if !are_many && self.bytes.saturating_add(reserved_bytes).saturating_add(bytes) <= self.bound {
                return Ok(());
            }
            let Some(over) = self.by_id.values().position(|ledger| !ledger.is_active(now)) else {
                return Err(if are_many { AlarmRefusal::TooMany } else { AlarmRefusal::NoRoom });
            };
            if let Some((id, ledger)) = self.by_id.shift_remove_index(over) {
                self.bytes = subtract(self.bytes, ledger.bytes);
                self.remove_records(store, &id, &ledger);
            }
        }
    }

    /// Frees a reserved place of this size.
    fn release(&mut self, bytes: usize) {
        let (count, reserved) = self.reserved;
        self.reserved = (subtract(count, 1), subtract(reserved, bytes));
    }

    /// Adds the ledger of an alarm that has been sent.
    fn add(&mut self, id: String, mut ledger: Ledger) {
        ledger.number = self.sent;
        self.sent = self.sent.saturating_add(1);
        self.bytes = self.bytes.saturating_add(ledger.bytes);
        self.by_id.insert(id, ledger);
    }

    /// Sends an alarm that has not been added yet to the connected recipients.
    fn send_to_all(&self, sessions: &Sessions, id: &str, ledger: &mut Ledger, now: Instant) {
        let left = ledger.ends.saturating_duration_since(now);
        let mut frame = SharedFrame::new(ledger.frame(id, left));
        let room = self.bound.saturating_sub(self.bytes).saturating_sub(self.reserved.1);
        sessions.for_each(|peer| {
            if ledger.note_sent(peer, room) {
                peer.mailbox.push(Lane::Urgent, frame.bytes(peer.codec));
            }
        });
    }

    /// Removes the records of a forgotten alarm: those of its recipients later, because there may be many.
    fn remove_records(&mut self, store: Option<&dyn Records>, id: &str, ledger: &Ledger) {
        if let Some(store) = store {
            drop(store.remove(RecordKind::Alarm, alarm_key(id)));
            self.obsolete.extend(ledger.record_keys(id));
        }
    }

    /// Sends the relevant alarms of these numbers to a session, as long as its queue has room.
    fn send(
        &mut self,
        AlarmSurroundings { sessions, store }: AlarmSurroundings<'_>,
        peer: &Peer,
        numbers: Range<u64>,
        now: Instant,
    ) -> Option<Range<u64>> {
        for (id, ledger) in &mut self.by_id {
            if now >= ledger.ends || !numbers.contains(&ledger.number) {
                continue;
            }
            if peer.mailbox.is_congested() {
                return Some(ledger.number..numbers.end);
            }
            let frame = if ledger.is_active(now) {
                let before = ledger.bytes;
                let others = subtract(self.bytes, before).saturating_add(self.reserved.1);
                let room = self.bound.saturating_sub(others);
                let is_there = |session| sessions.find(session).is_some();
                ledger.forget_absent(is_there, |recipient| {
                    if let Some(store) = store
                        && let Some(key) = recipient_key(id, recipient)
                    {
                        // At once: the recipient may come back, and get another record.
                        drop(store.remove(RecordKind::Alarm, key));
                    }
                });
                let is_due = ledger.note_sent(peer, room);
                self.bytes = subtract(self.bytes, before).saturating_add(ledger.bytes);
                match is_due {
                    true => Some(ledger.frame(id, ledger.ends.duration_since(now))),
                    false => ledger.has_been_sent_to(peer).then(|| ledger.withdrawal(id)),
                }
            } else {
                ledger.has_been_sent_to(peer).then(|| ledger.withdrawal(id))
            };
            if let Some(frame) = frame {
                peer.mailbox.answer(Lane::Urgent, peer.codec.encode_frame(&frame));
            }
        }
        None
    }

    /// Returns `true` if recipients are left.
    fn forget_recipients(&mut self, store: Option<&dyn Records>, now: Instant) -> bool {
        let mut are_left = false;
        for (id, ledger) in &mut self.by_id {
            if !ledger.is_emptied && ledger.ends.checked_add(KEPT).is_some_and(|until| until <= now) {
                let before = ledger.bytes;
                let keys = ledger.forget_recipients(id);
                if let Some(store) = store {
                    // With the numbers of the recipients.
                    drop(store.put(ledger.record(id, ledger.is_withdrawn)));
                    self.obsolete.extend(keys);
                }
                self.bytes = subtract(self.bytes, subtract(before, ledger.bytes));
            }
            are_left |= ledger.listed() > 0 || now < ledger.ends;
        }
        are_left
    }
}

impl NewAlarm {
    /// Stores the alarm: its record last, so that it is never there without its users.
    pub(crate) fn store(
        &mut self,
        store: &dyn Records,
    ) -> impl Future<Output = Result<(), EngineError>> + Send {
        let parts: Vec<_> = self.ledger.split(&self.id).into_iter().map(|part| store.put(part)).collect();
        let record = self.record();
        async move {
            try_join_all(parts).await?;
            store.put(record).await
        }
    }

    /// The record of the alarm.
    fn record(&self) -> Record {
        self.ledger.record(&self.id, false)
    }

    /// The keys of its other records.
    pub(crate) fn record_keys(&self) -> Vec<Bytes> {
        self.ledger.record_keys(&self.id)
    }
}

impl Drop for Alarms {
    /// The task that tells other nodes ends.
    fn drop(&mut self) {
        self.tell();
    }
}

impl Drop for ReservedPlace {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.ledgers.lock().release(self.bytes);
        }
    }
}

/// The maximum number of remembered alarms. An ended one makes room for a new one.
const MAX_ALARMS: usize = 1000;

/// The maximum number of recipients of a ledger.
pub(crate) const MAX_RECIPIENTS: usize = 100_000;

/// The time for which recipients are kept after the end of an alarm, and the interval of the checks.
const KEPT: Duration = Duration::from_secs(3600);
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
