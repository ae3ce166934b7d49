//! The ledgers of alarms: who got each, who acknowledged it, who has not.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_common::frame::{Alarm as Frame, Push, ServerFrame};
use wirehub_common::{ChannelName, Payload};

use super::SessionId;
use super::sessions::{Peer, Sessions};
use super::shared_frame::SharedFrame;
use crate::alarm::{AlarmProgress, AlarmRecipient, AlarmReport, AlarmState};
use crate::session::queue::Lane;
use crate::unix_time::milliseconds;

/// All alarms that are remembered, in the order in which they were raised.
pub(crate) struct Alarms {
    /// Tells the ids of this server's life from those of another one.
    scope: u64,
    raised: AtomicU64,
    ledgers: Mutex<IndexMap<String, Ledger>>,
    /// How many there are at most whose time is not over. Sessions look here first, for there are seldom any.
    active: AtomicUsize,
}

/// Whom an alarm is for.
#[derive(Debug, Clone)]
pub(crate) enum Audience {
    /// All who are connected, and all who connect before it is over.
    Everybody,
    Users(Vec<Arc<str>>),
}

struct Ledger {
    /// How many had been raised before.
    number: u64,
    channel: ChannelName,
    payload: Payload,
    raised: SystemTime,
    ends: Instant,
    ttl: Duration,
    is_withdrawn: bool,
    is_for_all: bool,
    recipients: IndexMap<Who, Entry>,
    /// How many got it beyond those that the ledger has room for.
    unlisted: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    User(Arc<str>),
    /// An anonymous one.
    Session(SessionId),
}

struct Entry {
    progress: AlarmProgress,
    since: SystemTime,
    /// The last sessions that it went to.
    sessions: Vec<SessionId>,
}

impl Alarms {
    pub(crate) fn new() -> Self {
        let scope = RandomState::new().hash_one(0);
        Self { scope, raised: AtomicU64::new(0), ledgers: Mutex::default(), active: AtomicUsize::new(0) }
    }

    /// Sends an alarm to those who are there. Gives its id; none where too many are active.
    pub(crate) fn raise(
        &self,
        sessions: &Sessions,
        channel: ChannelName,
        payload: Payload,
        audience: Audience,
        ttl: Duration,
    ) -> Option<String> {
        let mut ledgers = self.ledgers.lock();
        let now = Instant::now();
        if ledgers.len() >= MAX_ALARMS {
            let over = ledgers.values().position(|ledger| !ledger.is_active(now))?;
            ledgers.shift_remove_index(over);
        }
        let raised = SystemTime::now();
        let mut recipients = IndexMap::new();
        let is_for_all = match audience {
            Audience::Everybody => true,
            Audience::Users(users) => {
                recipients.extend(users.into_iter().map(|user| (Who::User(user), Entry::new(raised))));
                false
            }
        };
        let ends = now.checked_add(ttl).unwrap_or(now);
        let (is_withdrawn, unlisted) = (false, 0);
        let number = self.raised.fetch_add(1, Ordering::Relaxed);
        let mut ledger = Ledger {
            number,
            channel,
            payload,
            raised,
            ends,
            ttl,
            is_withdrawn,
            is_for_all,
            recipients,
            unlisted,
        };
        self.active.fetch_add(1, Ordering::AcqRel);
        let id = format!("{:016x}.{number}", self.scope);
        let mut frame = SharedFrame::new(ledger.frame(&id, ttl));
        sessions.for_each(|peer| {
            if ledger.note_sent(peer) {
                peer.mailbox.push(Lane::Urgent, frame.bytes(peer.codec));
            }
        });
        ledgers.insert(id.clone(), ledger);
        Some(id)
    }

    /// Sends a session that has just connected the alarms that its user has not acknowledged. Of those that are over before
    /// their time it is told so: its client may show them still. Gives the numbers of those for which there was no room in
    /// its queue.
    pub(crate) fn greet(&self, peer: &Peer) -> Option<Range<u64>> {
        if self.active.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut ledgers = self.ledgers.lock();
        let now = Instant::now();
        let active = ledgers.values().filter(|ledger| now < ledger.ends).count();
        self.active.store(active, Ordering::Release);
        // Those that are raised from now on come to it anyway.
        send(&mut ledgers, peer, 0..self.raised.load(Ordering::Relaxed), now)
    }

    /// Goes on with those of these numbers for which there was no room.
    pub(crate) fn greet_on(&self, peer: &Peer, unsent: Range<u64>) -> Option<Range<u64>> {
        send(&mut self.ledgers.lock(), peer, unsent, Instant::now())
    }

    /// Takes note that a session got an alarm, or that its user acknowledged it; the user's other sessions need not show
    /// it any more then. `false` where there is no such alarm for it, or it is over.
    pub(crate) fn acknowledge(
        &self,
        sessions: &Sessions,
        peer: &Peer,
        id: &str,
        received_only: bool,
    ) -> bool {
        let mut ledgers = self.ledgers.lock();
        let Some(ledger) = ledgers.get_mut(id).filter(|ledger| ledger.is_active(Instant::now())) else {
            return false;
        };
        let withdrawn = ledger.withdrawal(id);
        let Some(entry) = ledger.recipients.get_mut(&Who::of(peer)) else {
            // One that the ledger has no room for.
            return ledger.is_for_all && ledger.unlisted > 0;
        };
        let progress = if received_only { AlarmProgress::Received } else { AlarmProgress::Acknowledged };
        if progress <= entry.progress {
            return true;
        }
        (entry.progress, entry.since) = (progress, SystemTime::now());
        if progress == AlarmProgress::Acknowledged {
            for session in std::mem::take(&mut entry.sessions).into_iter().filter(|id| *id != peer.id) {
                if let Some(other) = sessions.find(session) {
                    other.mailbox.push(Lane::Urgent, other.codec.encode_frame(&withdrawn));
                }
            }
        }
        true
    }

    /// Ends an alarm before its time. `false` where there is none that is not over.
    pub(crate) fn withdraw(&self, sessions: &Sessions, id: &str) -> bool {
        let mut ledgers = self.ledgers.lock();
        let Some(ledger) = ledgers.get_mut(id).filter(|ledger| ledger.is_active(Instant::now())) else {
            return false;
        };
        ledger.is_withdrawn = true;
        let mut frame = SharedFrame::new(ledger.withdrawal(id));
        sessions.for_each(|peer| {
            if ledger.is_for_all || ledger.recipients.contains_key(&Who::of(peer)) {
                peer.mailbox.push(Lane::Urgent, frame.bytes(peer.codec));
            }
        });
        true
    }

    /// What there is to know of an alarm.
    pub(crate) fn report(&self, id: &str) -> Option<AlarmReport> {
        self.ledgers.lock().get(id).map(|ledger| ledger.report(id, true))
    }

    /// The same of all, the newest first, without the recipients.
    pub(crate) fn reports(&self) -> Vec<AlarmReport> {
        self.ledgers.lock().iter().rev().map(|(id, ledger)| ledger.report(id, false)).collect()
    }
}

/// Sends a session those alarms of these numbers that it should know of, as long as there is room in its queue.
fn send(
    ledgers: &mut IndexMap<String, Ledger>,
    peer: &Peer,
    numbers: Range<u64>,
    now: Instant,
) -> Option<Range<u64>> {
    for (id, ledger) in ledgers.iter_mut() {
        if now >= ledger.ends || !numbers.contains(&ledger.number) {
            continue;
        }
        if peer.mailbox.is_half_full() {
            return Some(ledger.number..numbers.end);
        }
        let frame = if ledger.is_active(now) && ledger.note_sent(peer) {
            ledger.frame(id, ledger.ends.duration_since(now))
        } else if ledger.has_been_sent_to(peer) {
            ledger.withdrawal(id)
        } else {
            continue;
        };
        peer.mailbox.answer(Lane::Urgent, peer.codec.encode_frame(&frame));
    }
    None
}

impl Ledger {
    fn is_active(&self, now: Instant) -> bool {
        !self.is_withdrawn && now < self.ends
    }

    /// Whether the alarm has to go to a session, and notes that it does.
    fn note_sent(&mut self, peer: &Peer) -> bool {
        let who = Who::of(peer);
        if !self.recipients.contains_key(&who) {
            if !self.is_for_all {
                return false;
            }
            if self.recipients.len() >= MAX_RECIPIENTS {
                self.unlisted = self.unlisted.saturating_add(1);
                return true;
            }
        }
        let entry = self.recipients.entry(who).or_insert_with(|| Entry::new(SystemTime::now()));
        if entry.progress == AlarmProgress::Acknowledged {
            return false;
        }
        if entry.progress == AlarmProgress::Waiting {
            (entry.progress, entry.since) = (AlarmProgress::Sent, SystemTime::now());
        }
        if entry.sessions.len() >= MAX_SESSIONS {
            entry.sessions.remove(0);
        }
        entry.sessions.push(peer.id);
        true
    }

    fn has_been_sent_to(&self, peer: &Peer) -> bool {
        let entry = self.recipients.get(&Who::of(peer));
        entry.is_some_and(|entry| entry.progress > AlarmProgress::Waiting)
    }

    fn frame(&self, id: &str, ttl: Duration) -> ServerFrame {
        ServerFrame::Push(Push::Alarm(Box::new(Frame {
            id: id.into(),
            channel: self.channel.clone(),
            payload: self.payload.clone(),
            time: milliseconds(self.raised),
            ttl,
            withdrawn: false,
        })))
    }

    fn withdrawal(&self, id: &str) -> ServerFrame {
        ServerFrame::Push(Push::Alarm(Box::new(Frame {
            id: id.into(),
            channel: self.channel.clone(),
            payload: Payload::default(),
            time: milliseconds(self.raised),
            ttl: Duration::ZERO,
            withdrawn: true,
        })))
    }

    fn report(&self, id: &str, with_recipients: bool) -> AlarmReport {
        let state = match (self.is_withdrawn, self.is_active(Instant::now())) {
            (true, _) => AlarmState::Withdrawn,
            (false, true) => AlarmState::Active,
            (false, false) => AlarmState::Expired,
        };
        let count = |progress| self.recipients.values().filter(|entry| entry.progress == progress).count();
        let recipients = self.recipients.iter().filter(|_| with_recipients).map(|(who, entry)| {
            let (user, session) = match who {
                Who::User(user) => (Arc::clone(user), None),
                Who::Session(session) => ("".into(), Some(*session)),
            };
            AlarmRecipient { user, session, progress: entry.progress, since: entry.since }
        });
        AlarmReport {
            id: id.into(),
            channel: self.channel.clone(),
            payload: self.payload.clone(),
            raised: self.raised,
            ttl: self.ttl,
            state,
            waiting: count(AlarmProgress::Waiting),
            sent: count(AlarmProgress::Sent),
            received: count(AlarmProgress::Received),
            acknowledged: count(AlarmProgress::Acknowledged),
            unlisted: self.unlisted,
            recipients: recipients.collect(),
        }
    }
}

impl Who {
    fn of(peer: &Peer) -> Self {
        let user = peer.user();
        if user.is_empty() { Self::Session(peer.id) } else { Self::User(user) }
    }
}

impl Entry {
    fn new(since: SystemTime) -> Self {
        Self { progress: AlarmProgress::Waiting, since, sessions: Vec::new() }
    }
}

/// How many alarms are remembered. One that is over makes room for another one; so many may be active at once.
const MAX_ALARMS: usize = 1000;

/// How many recipients a ledger has.
const MAX_RECIPIENTS: usize = 100_000;

/// How many sessions of one user hear that another one has acknowledged.
const MAX_SESSIONS: usize = 16;
