//! The ledgers of alarms: the progress of each recipient.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_common::{ChannelName, Payload};

use self::ledger::{Ledger, Recipient};
use super::sessions::{Peer, Sessions};
use super::shared_frame::SharedFrame;
use crate::alarm::{AlarmProgress, AlarmRecipient, AlarmReport};
use crate::checked_subtraction::subtract;
use crate::session::queue::Lane;

mod ledger;

/// The remembered alarms, in the order in which they were raised.
pub(crate) struct Alarms {
    /// Distinguishes the ids of this process from those of an earlier one.
    scope: u64,
    /// Hashes the instance names of anonymous clients into numbers. Other clients can't guess them.
    raised: AtomicU64,
    ledgers: Mutex<Ledgers>,
    /// An upper bound of the active alarms. Sessions check it first, because there are seldom any.
    active: AtomicUsize,
    /// `true` if a task will remove old recipients.
    is_cleanup_scheduled: AtomicBool,
}

#[derive(Default)]
struct Ledgers {
    by_id: IndexMap<String, Ledger>,
    /// Their approximate size in bytes.
    bytes: usize,
    /// The maximum size in bytes.
    bound: usize,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    /// It is in the ledger, now or already before.
    Recorded,
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
    pub(crate) fn new() -> Self {
        Self {
            scope: RandomState::new().hash_one(0),
            raised: AtomicU64::new(0),
            ledgers: Mutex::default(),
            active: AtomicUsize::new(0),
            is_cleanup_scheduled: AtomicBool::new(false),
        }
    }

    /// Sends an alarm to the connected recipients, and returns its id. All ledgers together have about `bound` bytes at most.
    pub(crate) fn raise(
        &self,
        sessions: &Sessions,
        (channel, payload): (ChannelName, Payload),
        audience: AlarmAudience,
        ttl: Duration,
        bound: usize,
    ) -> Result<String, AlarmRefusal> {
        let now = Instant::now();
        let number = self.raised.fetch_add(1, Ordering::Relaxed);
        let mut ledger = Ledger::new(number, channel, payload, now, ttl);
        match audience {
            AlarmAudience::Everybody => ledger.is_for_all = true,
            AlarmAudience::Users(users) => {
                for user in users {
                    ledger.add(Recipient::User(user));
                    // Repeated names count once.
                    if ledger.listed() > MAX_RECIPIENTS {
                        return Err(AlarmRefusal::TooManyRecipients);
                    }
                }
            }
        }
        let mut ledgers = self.ledgers.lock();
        ledgers.bound = bound;
        ledgers.forget_recipients(now);
        ledgers.make_room(ledger.bytes, now)?;
        self.active.fetch_add(1, Ordering::AcqRel);
        let id = format!("{:016x}.{number}", self.scope);
        let mut frame = SharedFrame::new(ledger.frame(&id, ttl));
        let room = subtract(ledgers.bound, ledgers.bytes);
        sessions.for_each(|peer| {
            if ledger.note_sent(peer, room) {
                peer.mailbox.push(Lane::Urgent, frame.bytes(peer.codec));
            }
        });
        ledgers.bytes = ledgers.bytes.saturating_add(ledger.bytes);
        ledgers.by_id.insert(id.clone(), ledger);
        Ok(id)
    }

    /// Sends the unacknowledged alarms of its user to a new session. Alarms that ended early are sent as withdrawn, because the
    /// client may still show them. Returns the numbers of the alarms without room in the session's queue.
    pub(crate) fn send_active(&self, sessions: &Sessions, peer: &Peer) -> Option<Range<u64>> {
        if self.active.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut ledgers = self.ledgers.lock();
        let now = Instant::now();
        let active = ledgers.by_id.values().filter(|ledger| now < ledger.ends).count();
        self.active.store(active, Ordering::Release);
        // Later alarms are sent to the session anyway.
        ledgers.send(sessions, peer, 0..self.raised.load(Ordering::Relaxed), now)
    }

    /// Continues with the alarms of these numbers.
    pub(crate) fn send_remaining(
        &self,
        sessions: &Sessions,
        peer: &Peer,
        unsent: Range<u64>,
    ) -> Option<Range<u64>> {
        self.ledgers.lock().send(sessions, peer, unsent, Instant::now())
    }

    /// Notes that a session received an alarm, or that its user acknowledged it. In the latter case the user's other sessions
    /// are notified.
    pub(crate) fn acknowledge(
        &self,
        sessions: &Sessions,
        peer: &Peer,
        id: &str,
        received_only: bool,
    ) -> Acknowledgement {
        let mut ledgers = self.ledgers.lock();
        let Some(ledger) = ledgers.by_id.get_mut(id) else { return Acknowledgement::Unknown };
        let is_over = !ledger.is_active(Instant::now());
        let progress = if received_only { AlarmProgress::Received } else { AlarmProgress::Acknowledged };
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
        let withdrawn = ledger.withdrawal(id);
        for session in ledger.advance(peer, progress) {
            if let Some(other) = sessions.find(session) {
                other.mailbox.push(Lane::Urgent, other.codec.encode_frame(&withdrawn));
            }
        }
        Acknowledgement::Recorded
    }

    /// Ends an alarm early. Returns `false` if there is no active one with this id.
    pub(crate) fn withdraw(&self, sessions: &Sessions, id: &str) -> bool {
        let mut ledgers = self.ledgers.lock();
        let Some(ledger) = ledgers.by_id.get_mut(id).filter(|ledger| ledger.is_active(Instant::now())) else {
            return false;
        };
        ledger.is_withdrawn = true;
        let mut frame = SharedFrame::new(ledger.withdrawal(id));
        sessions.for_each(|peer| {
            if ledger.is_for_all || ledger.progress_of(peer).is_some() {
                peer.mailbox.push(Lane::Urgent, frame.bytes(peer.codec));
            }
        });
        true
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
        self.ledgers.lock().by_id.iter().rev().map(|(id, ledger)| ledger.report(id)).collect()
    }

    /// Returns `true` if the caller has to schedule the [removal](Self::forget_recipients) of recipients.
    pub(crate) fn claim_cleanup(&self) -> bool {
        !self.is_cleanup_scheduled.swap(true, Ordering::AcqRel)
    }

    /// Forgets the recipients of alarms that ended a while ago. Returns the time of the next check; `None` if no recipients are
    /// left.
    pub(crate) fn forget_recipients(&self, now: Instant) -> Option<Instant> {
        let mut ledgers = self.ledgers.lock();
        let are_left = ledgers.forget_recipients(now);
        self.is_cleanup_scheduled.store(are_left, Ordering::Release);
        are_left.then(|| now.checked_add(CLEANUP_INTERVAL).unwrap_or(now))
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
    fn make_room(&mut self, bytes: usize, now: Instant) -> Result<(), AlarmRefusal> {
        loop {
            let are_many = self.by_id.len() >= MAX_ALARMS;
            if !are_many && self.bytes.saturating_add(bytes) <= self.bound {
                return Ok(());
            }
            let Some(over) = self.by_id.values().position(|ledger| !ledger.is_active(now)) else {
                return Err(if are_many { AlarmRefusal::TooMany } else { AlarmRefusal::NoRoom });
            };
            if let Some((_, ledger)) = self.by_id.shift_remove_index(over) {
                self.bytes = subtract(self.bytes, ledger.bytes);
            }
        }
    }

    /// Sends the relevant alarms of these numbers to a session, as long as its queue has room.
    fn send(
        &mut self,
        sessions: &Sessions,
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
                let room = self.bound.saturating_sub(subtract(self.bytes, before));
                ledger.forget_absent(|session| sessions.find(session).is_some());
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
    fn forget_recipients(&mut self, now: Instant) -> bool {
        let mut are_left = false;
        for ledger in self.by_id.values_mut() {
            if ledger.ends.checked_add(KEPT).is_some_and(|until| until <= now) {
                let before = ledger.bytes;
                ledger.forget_recipients();
                self.bytes = subtract(self.bytes, subtract(before, ledger.bytes));
            }
            are_left |= ledger.listed() > 0 || now < ledger.ends;
        }
        are_left
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
