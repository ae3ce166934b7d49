//! The ledger of one alarm.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use indexmap::IndexMap;
use tokio::time::Instant;
use wirehub_common::contract::hash_text;
use wirehub_common::frame::{Alarm as Frame, Push, ServerFrame};
use wirehub_common::{ChannelName, Payload};

use super::news::HeardProgress;
use super::shared::{Unshared, present};
use super::stored::{StoredProgress, part_key, recipient_key};
use super::{MAX_RECIPIENTS, RecipientPlace};
use crate::SessionId;
use crate::alarm::{AlarmProgress, AlarmRecipient, AlarmReport, AlarmState};
use crate::checked_subtraction::subtract;
use crate::engine::Record;
use crate::hub::sessions::{Peer, Sessions};
use crate::session::queue::Lane;
use crate::unix_time::milliseconds;

pub(super) struct Ledger {
    /// The number of alarms before this one.
    pub(super) number: u64,
    channel: ChannelName,
    payload: Payload,
    pub(super) raised: SystemTime,
    pub(super) ends: Instant,
    pub(super) ttl: Duration,
    pub(super) is_withdrawn: bool,
    pub(super) is_for_all: bool,
    recipients: IndexMap<Recipient, RecipientEntry>,
    /// The number of further records with its users.
    pub(super) parts: u32,
    /// The changes that other nodes do not know. Absent if the hub is alone.
    pub(super) unshared: Option<Box<Unshared>>,
    /// The number of recipients that were ever listed.
    added: u64,
    /// The number of recipients for each progress, including forgotten ones.
    pub(super) counts: ProgressCounts,
    /// The number of recipients that are counted but not listed any more.
    pub(super) departed: usize,
    /// `true` if the recipients were forgotten after the end.
    pub(super) is_emptied: bool,
    /// How often the alarm was sent to recipients without room in the ledger.
    pub(super) unlisted: usize,
    /// The number of anonymous recipients, and the number at which absent ones are searched next.
    anonymous: usize,
    next_search_at: usize,
    /// Its approximate size.
    pub(super) bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Recipient {
    User(Arc<str>),
    /// An anonymous client that is recognized when it comes back.
    Client(NonZeroU64),
    /// An anonymous session.
    Session(SessionId),
}

struct RecipientEntry {
    /// The number of recipients before this one.
    number: u64,
    progress: AlarmProgress,
    /// The progress that the engine stores, or was asked to store. `Waiting` if there is no record.
    stored: AlarmProgress,
    /// `true` if this hub has asked the engine to store it.
    is_stored_here: bool,
    /// `true` if this hub, and no other one, forgets the recipient when it is gone.
    is_own: bool,
    since: SystemTime,
    /// The last sessions to which it was sent.
    sessions: Vec<SessionId>,
}

/// The number of recipients for each progress.
#[derive(Default)]
pub(super) struct ProgressCounts {
    pub(super) waiting: usize,
    pub(super) sent: usize,
    pub(super) received: usize,
    pub(super) acknowledged: usize,
}

impl Ledger {
    pub(super) fn new(
        number: u64,
        channel: ChannelName,
        payload: Payload,
        now: Instant,
        ttl: Duration,
    ) -> Self {
        let bytes = LEDGER_BYTES.saturating_add(payload.data.len());
        Self {
            number,
            channel,
            payload,
            raised: present(),
            ends: now.checked_add(ttl).unwrap_or(now),
            ttl,
            is_withdrawn: false,
            is_for_all: false,
            recipients: IndexMap::new(),
            parts: 0,
            unshared: None,
            added: 0,
            counts: ProgressCounts::default(),
            departed: 0,
            is_emptied: false,
            unlisted: 0,
            anonymous: 0,
            next_search_at: FEW,
            bytes,
        }
    }

    pub(super) fn is_active(&self, now: Instant) -> bool {
        !self.is_withdrawn && now < self.ends
    }

    /// The number of listed recipients.
    pub(super) fn listed(&self) -> usize {
        self.recipients.len()
    }

    /// Adds a recipient that is not connected yet.
    pub(super) fn add(&mut self, recipient: &Recipient) {
        let number = match &self.unshared {
            // Recipients of an alarm for everybody come in another order to other nodes, and places have to mean the same there.
            Some(_) if self.is_for_all => recipient.number(),
            _ => self.added,
        };
        self.add_with(recipient, number);
    }

    /// Adds a recipient with its number. Returns `true` if it is a new one.
    pub(super) fn add_with(&mut self, recipient: &Recipient, number: u64) -> bool {
        if self.recipients.contains_key(recipient) {
            return false;
        }
        self.added = self.added.saturating_add(1);
        self.anonymous = self.anonymous.saturating_add(usize::from(recipient.is_anonymous()));
        self.bytes = self.bytes.saturating_add(recipient.bytes());
        *self.counts.of(AlarmProgress::Waiting) = self.counts.waiting.saturating_add(1);
        let since = self.raised;
        let (progress, stored) = (AlarmProgress::Waiting, AlarmProgress::Waiting);
        let is_own = self.unshared.is_none();
        let (is_stored_here, sessions) = (false, Vec::new());
        let entry = RecipientEntry { number, progress, stored, is_stored_here, is_own, since, sessions };
        self.recipients.insert(recipient.clone(), entry);
        true
    }

    /// Sets the progress of a recipient from its record. One without room in the ledger is not listed.
    pub(super) fn restore(&mut self, recipient: &Recipient, stored: &StoredProgress, room: usize) {
        if !self.recipients.contains_key(recipient) {
            if !self.is_for_all || self.is_emptied {
                return;
            }
            if !self.has_room_for(recipient, room) {
                self.unlisted = self.unlisted.saturating_add(1);
                return;
            }
            self.add(recipient);
        }
        if let Some(entry) = self.recipients.get_mut(recipient) {
            self.counts.change(entry, stored.progress, stored.since);
            entry.stored = stored.progress;
        }
    }

    fn has_room_for(&self, recipient: &Recipient, room: usize) -> bool {
        self.listed() < MAX_RECIPIENTS && self.bytes.saturating_add(recipient.bytes()) <= room
    }

    /// Returns `true` if the alarm has to be sent to a session, and notes it in the ledger if there is room.
    pub(super) fn note_sent(&mut self, peer: &Peer, room: usize) -> bool {
        let recipient = Recipient::of(peer);
        if !self.recipients.contains_key(&recipient) {
            if !self.is_for_all {
                return false;
            }
            if !self.has_room_for(&recipient, room) {
                self.unlisted = self.unlisted.saturating_add(1);
                if let Some(unshared) = &mut self.unshared {
                    unshared.has_counts = true;
                }
                return true;
            }
            self.add(&recipient);
        }
        let Some(entry) = self.recipients.get_mut(&recipient) else { return true };
        if entry.progress == AlarmProgress::Acknowledged {
            return false;
        }
        let is_change = entry.progress == AlarmProgress::Waiting;
        if is_change {
            self.counts.change(entry, AlarmProgress::Sent, present());
        }
        entry.is_own = true;
        if let Some(unshared) = &mut self.unshared
            && (is_change || recipient.is_anonymous())
        {
            unshared.changed.insert(recipient);
        }
        if entry.sessions.len() >= MAX_SESSIONS {
            entry.sessions.remove(0);
        }
        entry.sessions.push(peer.id);
        true
    }

    /// The progress of a session's user.
    pub(super) fn progress_of(&self, peer: &Peer) -> Option<AlarmProgress> {
        self.recipients.get(&Recipient::of(peer)).map(|entry| entry.progress)
    }

    pub(super) fn has_been_sent_to(&self, peer: &Peer) -> bool {
        self.progress_of(peer).is_some_and(|progress| progress > AlarmProgress::Waiting)
    }

    /// The record of a new progress of a session's user; `None` if it is not stored. The record never goes back, because an
    /// earlier one may be on its way to the store.
    pub(super) fn progress_record(
        &mut self,
        id: &str,
        peer: &Peer,
        progress: AlarmProgress,
        since: SystemTime,
    ) -> Option<Record> {
        let recipient = Recipient::of(peer);
        let entry = self.recipients.get_mut(&recipient)?;
        entry.stored = entry.stored.max(progress);
        entry.is_stored_here = true;
        let progress = entry.stored;
        self.recipient_record(id, &recipient, progress, since)
    }

    /// Sets the progress of a session's user. Returns the other sessions that need not show the alarm any more.
    pub(super) fn advance(
        &mut self,
        peer: &Peer,
        progress: AlarmProgress,
        since: SystemTime,
    ) -> Vec<SessionId> {
        let recipient = Recipient::of(peer);
        let Some(entry) = self.recipients.get_mut(&recipient) else { return Vec::new() };
        self.counts.change(entry, progress, since);
        if let Some(unshared) = &mut self.unshared {
            unshared.changed.insert(recipient);
        }
        if progress < AlarmProgress::Acknowledged {
            return Vec::new();
        }
        let mut others = std::mem::take(&mut entry.sessions);
        others.retain(|session| *session != peer.id);
        entry.sessions.push(peer.id);
        others
    }

    /// [Advances](Self::advance) the progress, and notifies those sessions.
    pub(super) fn note(
        &mut self,
        sessions: &Sessions,
        peer: &Peer,
        id: &str,
        progress: AlarmProgress,
        since: SystemTime,
    ) {
        let withdrawn = self.withdrawal(id);
        for session in self.advance(peer, progress, since) {
            if let Some(other) = sessions.find(session) {
                other.mailbox.push(Lane::Urgent, other.codec.encode_frame(&withdrawn));
            }
        }
    }

    /// Forgets anonymous recipients without a session, each time when their number has doubled. So reconnects do not make the
    /// ledger grow beyond the present clients. Their acknowledgements stay counted, and the last absent clients that
    /// acknowledged are not asked again. `forgotten` is called for each recipient with a record that is not needed any more.
    pub(super) fn forget_absent(
        &mut self,
        is_there: impl Fn(SessionId) -> bool,
        forgotten: impl Fn(&Recipient),
    ) {
        if self.anonymous < self.next_search_at {
            return;
        }
        let is_absent = |entry: &RecipientEntry| !entry.sessions.iter().any(|session| is_there(*session));
        let has_done_it = |recipient: &Recipient, entry: &RecipientEntry| {
            matches!(recipient, Recipient::Client(_)) && entry.progress == AlarmProgress::Acknowledged
        };
        let absent = self
            .recipients
            .iter()
            .filter(|(recipient, entry)| has_done_it(recipient, entry) && is_absent(entry));
        let mut too_many = absent.count().saturating_sub(MAX_ABSENT);
        let Self { recipients, counts, departed, anonymous, bytes, unshared, .. } = self;
        recipients.retain(|recipient, entry| {
            // The clients of other nodes are absent here.
            if !recipient.is_anonymous() || !entry.is_own || !is_absent(entry) {
                return true;
            }
            if has_done_it(recipient, entry) {
                if too_many == 0 {
                    return true;
                }
                too_many = subtract(too_many, 1);
            }
            if entry.progress == AlarmProgress::Acknowledged {
                *departed = departed.saturating_add(1);
            } else {
                *counts.of(entry.progress) = subtract(*counts.of(entry.progress), 1);
                if entry.stored > AlarmProgress::Waiting {
                    forgotten(recipient);
                }
            }
            *anonymous = subtract(*anonymous, 1);
            *bytes = subtract(*bytes, recipient.bytes());
            if let Some(unshared) = unshared {
                unshared.changed.shift_remove(recipient);
                unshared.forgotten.push(recipient.clone());
            }
            false
        });
        self.next_search_at = self.anonymous.saturating_mul(2).max(FEW);
    }

    /// Forgets all recipients. Their counts stay. Returns the keys of their records.
    pub(super) fn forget_recipients(&mut self, id: &str) -> Vec<Bytes> {
        let keys = self.record_keys(id);
        let recipients = std::mem::take(&mut self.recipients);
        self.is_emptied = true;
        self.departed = self.departed.saturating_add(recipients.len());
        self.bytes =
            recipients.keys().fold(self.bytes, |bytes, recipient| subtract(bytes, recipient.bytes()));
        self.anonymous = 0;
        keys
    }

    /// The keys of the records besides that of the alarm: those of recipients with progress, and those with its users.
    pub(super) fn record_keys(&self, id: &str) -> Vec<Bytes> {
        let stored = self.recipients.iter().filter(|(_, entry)| entry.stored > AlarmProgress::Waiting);
        let of_recipients = stored.filter_map(|(recipient, _)| recipient_key(id, recipient));
        (0..self.parts).map(|part| part_key(id, part)).chain(of_recipients).collect()
    }

    /// The progress of a recipient, for other nodes.
    pub(super) fn heard(&self, recipient: &Recipient) -> Option<HeardProgress> {
        Some(heard(recipient, self.recipients.get(recipient)?))
    }

    /// The recipients with progress.
    pub(super) fn progressed(&self) -> impl Iterator<Item = HeardProgress> {
        let progressed = self.recipients.iter().filter(|(_, entry)| entry.progress > AlarmProgress::Waiting);
        progressed.map(|(recipient, entry)| heard(recipient, entry))
    }

    pub(super) fn progress_at(&self, recipient: &Recipient) -> Option<AlarmProgress> {
        self.recipients.get(recipient).map(|entry| entry.progress)
    }

    /// Hears the progress of a recipient from another node. Returns the record if this hub has stored an earlier progress, maybe
    /// over the later one.
    pub(super) fn hear(
        &mut self,
        sessions: &Sessions,
        id: &str,
        HeardProgress { recipient, progress, since, session }: &HeardProgress,
        room: usize,
    ) -> Option<Record> {
        if !self.recipients.contains_key(recipient) {
            if !self.is_for_all || self.is_emptied || !self.has_room_for(recipient, room) {
                return None;
            }
            self.add(recipient);
        }
        let withdrawn = self.withdrawal(id);
        let entry = self.recipients.get_mut(recipient)?;
        let before = entry.progress;
        if *progress < before {
            return None;
        }
        if *progress > before || *since < entry.since {
            self.counts.change(entry, *progress, *since);
        }
        if *progress > before && *progress == AlarmProgress::Acknowledged {
            for peer in std::mem::take(&mut entry.sessions).iter().filter_map(|own| sessions.find(*own)) {
                peer.mailbox.push(Lane::Urgent, peer.codec.encode_frame(&withdrawn));
            }
        }
        if let Some(session) = session
            && recipient.is_anonymous()
        {
            entry.is_own = entry.sessions.iter().any(|own| sessions.find(*own).is_some());
            entry.sessions.retain(|own| own != session);
            if entry.sessions.len() >= MAX_SESSIONS {
                entry.sessions.remove(0);
            }
            entry.sessions.push(*session);
        }
        if *progress < AlarmProgress::Received {
            return None;
        }
        let is_overwritten = entry.is_stored_here && entry.stored < *progress;
        entry.stored = entry.stored.max(*progress);
        if is_overwritten { self.recipient_record(id, recipient, *progress, *since) } else { None }
    }

    /// Hears that an anonymous recipient is gone.
    pub(super) fn hear_forgotten(&mut self, sessions: &Sessions, recipient: &Recipient) {
        let Some(entry) = self.recipients.get_mut(recipient).filter(|_| recipient.is_anonymous()) else {
            return;
        };
        if entry.is_own && entry.sessions.iter().any(|own| sessions.find(*own).is_some()) {
            // It is here.
            if let Some(unshared) = &mut self.unshared {
                unshared.changed.insert(recipient.clone());
            }
            return;
        }
        if entry.progress == AlarmProgress::Acknowledged {
            self.departed = self.departed.saturating_add(1);
        } else {
            let count = self.counts.of(entry.progress);
            *count = subtract(*count, 1);
        }
        self.recipients.shift_remove(recipient);
        self.anonymous = subtract(self.anonymous, 1);
        self.bytes = subtract(self.bytes, recipient.bytes());
    }

    /// Hears the numbers of recipients that are counted and not listed.
    pub(super) fn hear_counts(&mut self, departed: usize, unlisted: usize) {
        if !self.is_emptied {
            let unknown = departed.saturating_sub(self.departed);
            self.departed = self.departed.saturating_add(unknown);
            self.counts.acknowledged = self.counts.acknowledged.saturating_add(unknown);
        }
        self.unlisted = self.unlisted.max(unlisted);
    }

    /// The users among the recipients, in the order in which they were added.
    pub(super) fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.recipients.keys().filter_map(|recipient| match recipient {
            Recipient::User(user) => Some(user),
            Recipient::Client(_) | Recipient::Session(_) => None,
        })
    }

    pub(super) fn frame(&self, id: &str, ttl: Duration) -> ServerFrame {
        self.push(id, self.payload.clone(), ttl, false)
    }

    pub(super) fn withdrawal(&self, id: &str) -> ServerFrame {
        self.push(id, Payload::default(), Duration::ZERO, true)
    }

    fn push(&self, id: &str, payload: Payload, ttl: Duration, withdrawn: bool) -> ServerFrame {
        let (channel, time) = (self.channel.clone(), milliseconds(self.raised));
        let alarm = Frame { id: id.into(), channel, payload, time, ttl, withdrawn };
        ServerFrame::Push(Push::Alarm(Box::new(alarm)))
    }

    /// The report without the recipients.
    pub(super) fn report(&self, id: &str) -> AlarmReport {
        let state = match (self.is_withdrawn, self.is_active(Instant::now())) {
            (true, _) => AlarmState::Withdrawn,
            (false, true) => AlarmState::Active,
            (false, false) => AlarmState::Expired,
        };
        let ProgressCounts { waiting, sent, received, acknowledged } = self.counts;
        AlarmReport {
            id: id.into(),
            channel: self.channel.clone(),
            payload: self.payload.clone(),
            raised: self.raised,
            ttl: self.ttl,
            state,
            waiting,
            sent,
            received,
            acknowledged,
            departed: self.departed,
            unlisted: self.unlisted,
            recipients: Vec::new(),
        }
    }

    /// The recipients, each with its place.
    pub(super) fn recipients(&self) -> impl Iterator<Item = (RecipientPlace, impl Fn() -> AlarmRecipient)> {
        self.recipients.iter().map(|(recipient, entry)| {
            let place = RecipientPlace { progress: entry.progress, number: entry.number };
            (place, || {
                let (user, session) = match recipient {
                    Recipient::User(user) => (Arc::clone(user), None),
                    Recipient::Client(_) => ("".into(), entry.sessions.last().copied()),
                    Recipient::Session(session) => ("".into(), Some(*session)),
                };
                AlarmRecipient { user, session, progress: entry.progress, since: entry.since }
            })
        })
    }
}

fn heard(recipient: &Recipient, entry: &RecipientEntry) -> HeardProgress {
    HeardProgress {
        recipient: recipient.clone(),
        progress: entry.progress,
        since: entry.since,
        session: entry.sessions.last().copied().filter(|_| recipient.is_anonymous()),
    }
}

impl Recipient {
    /// A number that is the same on all nodes.
    fn number(&self) -> u64 {
        match self {
            Self::User(user) => hash_text(user),
            Self::Client(client) => client.get(),
            Self::Session(session) => hash_text(&session.to_string()),
        }
    }

    pub(super) fn of(peer: &Peer) -> Self {
        let user = peer.user();
        match peer.instance() {
            _ if !user.is_empty() => Self::User(user),
            Some(client) => Self::Client(client),
            None => Self::Session(peer.id),
        }
    }

    fn is_anonymous(&self) -> bool {
        !matches!(self, Self::User(_))
    }

    /// The approximate size of such a recipient.
    fn bytes(&self) -> usize {
        match self {
            Self::User(user) => RECIPIENT_BYTES.saturating_add(user.len()),
            Self::Client(_) | Self::Session(_) => RECIPIENT_BYTES,
        }
    }
}

impl ProgressCounts {
    fn of(&mut self, progress: AlarmProgress) -> &mut usize {
        match progress {
            AlarmProgress::Waiting => &mut self.waiting,
            AlarmProgress::Sent => &mut self.sent,
            AlarmProgress::Received => &mut self.received,
            AlarmProgress::Acknowledged => &mut self.acknowledged,
        }
    }

    /// Moves a recipient to another progress.
    fn change(&mut self, entry: &mut RecipientEntry, progress: AlarmProgress, since: SystemTime) {
        *self.of(entry.progress) = subtract(*self.of(entry.progress), 1);
        *self.of(progress) = self.of(progress).saturating_add(1);
        (entry.progress, entry.since) = (progress, since);
    }
}

/// The maximum number of sessions of one user that are notified of an acknowledgement.
const MAX_SESSIONS: usize = 16;

/// So few anonymous recipients are not worth a search.
const FEW: usize = 64;

/// The maximum number of absent anonymous clients whose acknowledgement is remembered.
const MAX_ABSENT: usize = 10_000;

/// The approximate size of an empty ledger, and of a recipient without its name but with a few sessions, with the overhead of
/// the allocator and the tables.
const LEDGER_BYTES: usize = 512;
const RECIPIENT_BYTES: usize = 192;
