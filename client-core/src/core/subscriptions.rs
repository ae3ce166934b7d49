//! Subscriptions: the channels that the application wants, and their progress on each connection.
//!
//! The server answers `subscribe` and `unsubscribe` in line with the channel's publications. So a publication belongs
//! to the subscription whose `subscribed` came last before it. Before that reply, publications of the channel belong to
//! an older subscription, and are dropped.

use alloc::boxed::Box;
use alloc::vec::Vec;

use wirehub_common::code::ErrorCode;
use wirehub_common::frame::Position;
use wirehub_common::view::{self, Movement, Publication, PublicationParts, Subscribed, Unsubscribed};
use wirehub_common::{ChannelName, compose};

use super::Core;
use super::members::{MemberList, MemberReads, Reading};
use crate::time::Span;
use crate::{Error, ErrorKind, Gap, Listener, Recovery, Time};

/// The id of a subscription of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) u32);

/// The beginning of a subscription. The default begins with the next message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// Begins with this many of the newest messages in the channel's history, or with every kept one if there are
    /// fewer. In a channel without history it has no effect.
    pub history: u32,
    /// Begins behind this position, which has precedence over `history`: the messages since then come first. If they
    /// are not kept any more, a gap is reported. Positions are those of messages from this channel.
    pub since: Option<Position>,
}

impl SubscribeOptions {
    /// The default.
    pub const fn new() -> Self {
        Self { history: 0, since: None }
    }

    /// Sets [`history`](field@Self::history).
    #[must_use]
    pub fn history(self, messages: u32) -> Self {
        Self { history: messages, ..self }
    }

    /// Sets [`since`](field@Self::since).
    #[must_use]
    pub fn since(self, position: impl Into<Option<Position>>) -> Self {
        Self { since: position.into(), ..self }
    }
}

impl SubscriptionId {
    /// The id as a number: unique within its client.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The id with this number, for a driver that passes numbers to another language.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// The channels that the application is subscribed to.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// Sorted by channel. They are in boxes because there can be many, and they are moved.
    #[allow(clippy::vec_box, reason = "as the docs say")]
    wanted: Vec<Box<Wanted>>,
    /// The channels that the application has left over this connection, with the id of the `unsubscribe` in flight.
    /// Until it is answered, a subscription announced by the server for such a channel is an old one.
    leaving: Vec<(ChannelName, u32)>,
    pub(super) reads: MemberReads,
}

#[derive(Debug)]
pub(super) struct Wanted {
    channel: ChannelName,
    id: SubscriptionId,
    /// The number of the newest attempt.
    number: u32,
    phase: Phase,
    /// Whether it has ever been active.
    begun: bool,
    /// The application's position in the channel's history.
    position: Option<Position>,
    /// With how many messages of the history it begins.
    history: u32,
    /// The application has had the messages up to its position before the subscription began.
    resumes: bool,
    /// The offset at which it has caught up.
    missed: u64,
    /// The server began it, not the application.
    is_offered: bool,
    /// The members of the channel, if the application watches them.
    pub(super) members: Option<Box<MemberList>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for a connection.
    Idle,
    /// Requested by the command with this id. It is answered, or the connection ends.
    Requested { command: u32 },
    /// The server has confirmed it.
    Active,
    /// Refused temporarily.
    Retrying { at: Time },
}

impl Subscriptions {
    pub(super) const fn new() -> Self {
        Self { wanted: Vec::new(), leaving: Vec::new(), reads: MemberReads::new() }
    }

    /// Adds a subscription, unless the channel has one.
    fn add(&mut self, id: SubscriptionId, channel: &ChannelName) -> Option<&mut Wanted> {
        let index = self.find(channel.as_str()).err()?;
        let (channel, phase) = (channel.clone(), Phase::Idle);
        let wanted = Wanted {
            channel,
            id,
            number: 0,
            phase,
            begun: false,
            position: None,
            history: 0,
            resumes: false,
            missed: 0,
            is_offered: false,
            members: None,
        };
        self.wanted.insert(index, Box::new(wanted));
        self.wanted.get_mut(index).map(|wanted| &mut **wanted)
    }

    /// Removes a subscription.
    fn remove(&mut self, id: SubscriptionId) -> Option<Box<Wanted>> {
        // Removal is rare enough for a linear search.
        let index = self.wanted.iter().position(|wanted| wanted.id == id)?;
        Some(self.wanted.remove(index))
    }

    pub(super) fn deadline(&self) -> Time {
        let mut soonest = self.reads.deadline();
        for wanted in &self.wanted {
            if let Phase::Retrying { at } = wanted.phase {
                soonest = soonest.min(at);
            }
        }
        soonest
    }

    /// The connection was lost: every subscription has to be made again.
    pub(super) fn reset(&mut self) {
        self.leaving.clear();
        self.reads.clear();
        for wanted in &mut self.wanted {
            wanted.phase = Phase::Idle;
            if let Some(list) = &mut wanted.members {
                list.stop_reading();
            }
        }
    }

    /// The subscriptions for `connect`, limited by its room. `command` is its id; their numbers follow `last`.
    pub(super) fn restore(
        &mut self,
        command: u32,
        last: &mut u32,
        mut room: usize,
    ) -> compose::Subscriptions {
        let mut restored = compose::Subscriptions::default();
        for wanted in &mut self.wanted {
            let epoch = wanted.position.as_ref().map_or(0, |position| position.epoch.len());
            let bytes = wanted.channel.as_str().len().saturating_add(epoch).saturating_add(ENTRY_BYTES);
            let Some(rest) = room.checked_sub(bytes) else { break };
            room = rest;
            *last = last.wrapping_add(1);
            wanted.number = *last;
            wanted.phase = Phase::Requested { command };
            restored.push(&wanted.channel, *last, wanted.position.as_ref(), wanted.history);
        }
        restored
    }

    /// Whether a subscription has not caught up, or does not know its position yet.
    pub(super) fn are_behind(&self) -> bool {
        self.wanted.iter().any(|wanted| match wanted.phase {
            Phase::Active => wanted.position.as_ref().is_some_and(|position| position.offset < wanted.missed),
            Phase::Requested { .. } => wanted.begun,
            Phase::Idle | Phase::Retrying { .. } => false,
        })
    }

    /// Whether some that were active had no room in `connect`.
    pub(super) fn have_no_room(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.begun && wanted.phase == Phase::Idle)
    }

    /// Whether this answers an `unsubscribe` that was awaited.
    pub(super) fn have_left(&mut self, command: u32) -> bool {
        let index = self.leaving.iter().position(|(_, of)| *of == command);
        index.map(|index| self.leaving.remove(index)).is_some()
    }

    fn is_leaving(&self, channel: &str) -> bool {
        self.leaving.iter().any(|(name, _)| name.as_str() == channel)
    }

    /// Whether a subscription is active.
    pub(super) fn is_active(&self, subscription: SubscriptionId) -> bool {
        self.wanted.iter().any(|wanted| wanted.id == subscription && wanted.phase == Phase::Active)
    }

    /// Whether a subscription to a channel has to be requested.
    pub(super) fn is_idle(&self, channel: &str) -> bool {
        self.find(channel)
            .ok()
            .and_then(|index| self.wanted.get(index))
            .is_some_and(|wanted| wanted.phase == Phase::Idle)
    }

    /// Whether the application wants a channel.
    pub(super) fn has(&self, channel: &str) -> bool {
        self.find(channel).is_ok()
    }

    /// The subscription with this id.
    pub(super) fn with_id(&mut self, id: SubscriptionId) -> Option<&mut Wanted> {
        let wanted = self.wanted.iter_mut().find(|wanted| wanted.id == id)?;
        Some(&mut **wanted)
    }

    /// The members of a subscription's channel.
    pub(super) fn members(&self, id: SubscriptionId) -> Option<&MemberList> {
        self.wanted.iter().find(|wanted| wanted.id == id)?.members.as_deref()
    }

    pub(super) fn member_list(&mut self, channel: &ChannelName) -> Option<&mut MemberList> {
        self.of_channel(channel.as_str())?.members.as_deref_mut()
    }

    pub(super) fn list_and_reads(
        &mut self,
        channel: &ChannelName,
    ) -> (Option<&mut MemberList>, &mut MemberReads) {
        let wanted = of_channel(&mut self.wanted, channel.as_str().as_bytes());
        (wanted.and_then(|wanted| wanted.members.as_deref_mut()), &mut self.reads)
    }

    /// The channels whose members have to be read now. The time of the next ones is noted.
    pub(super) fn with_members_due(&mut self, now: Time) -> Vec<ChannelName> {
        let mut due = Vec::new();
        for wanted in &self.wanted {
            let Some(list) = wanted.members.as_ref().filter(|_| wanted.phase == Phase::Active) else {
                continue;
            };
            if list.is_due(now) {
                due.push(wanted.channel.clone());
            } else {
                self.reads.note(list.due());
            }
        }
        due
    }

    /// Takes the list that is being read by this command.
    pub(super) fn take_reading(&mut self, command: u32) -> Option<(SubscriptionId, ChannelName, Reading)> {
        self.wanted.iter_mut().find_map(|wanted| {
            let reading = wanted.members.as_mut()?.take_reading(command)?;
            Some((wanted.id, wanted.channel.clone(), reading))
        })
    }

    fn of_channel(&mut self, channel: &str) -> Option<&mut Wanted> {
        of_channel(&mut self.wanted, channel.as_bytes())
    }

    fn of_attempt(&mut self, channel: &str, number: u32) -> Option<&mut Wanted> {
        self.of_channel(channel).filter(|wanted| wanted.number == number)
    }

    /// The index of a channel, or the place to insert it.
    fn find(&self, channel: &str) -> Result<usize, usize> {
        find(&self.wanted, channel.as_bytes())
    }
}

fn of_channel<'a>(wanted: &'a mut [Box<Wanted>], channel: &[u8]) -> Option<&'a mut Wanted> {
    let index = find(wanted, channel).ok()?;
    wanted.get_mut(index).map(|wanted| &mut **wanted)
}

/// The index of a channel, or the place to insert it.
fn find(wanted: &[Box<Wanted>], channel: &[u8]) -> Result<usize, usize> {
    wanted.binary_search_by(|wanted| wanted.channel.as_str().as_bytes().cmp(channel))
}

impl Wanted {
    /// Begins where the application wants it, if it says so.
    fn begin_at(&mut self, SubscribeOptions { history, since }: SubscribeOptions) {
        if since.is_some() {
            self.position = since;
            self.resumes = true;
        } else if history > 0 {
            self.position = None;
            self.history = history;
        }
    }

    /// Reports the epoch of the messages from now on, if it is another one.
    fn report_epoch(&self, position: Option<view::Position<'_>>, listener: &mut impl Listener) {
        let epoch = position.map_or("", |position| position.epoch());
        // An application that subscribes has not been notified yet, whatever position it begins at.
        let known = self.position.as_ref().filter(|_| self.begun).map_or("", |own| own.epoch.as_str());
        if epoch != known {
            listener.epoch(self.id, epoch);
        }
    }

    /// Whether the subscription continues at the application's position. Servers have bugs too.
    fn continues_at(&self, position: view::Position<'_>) -> bool {
        self.position
            .as_ref()
            .is_some_and(|own| own.offset == position.offset() && own.epoch == position.epoch())
    }

    /// Whether publications are missing between the last one and the one with this offset.
    fn has_hole_before(&self, offset: u64) -> bool {
        self.position.as_ref().is_some_and(|position| offset > position.offset.saturating_add(1))
    }

    /// Moves on to this offset; `false` if the application has had it already.
    fn take(&mut self, offset: u64) -> bool {
        match &mut self.position {
            Some(position) if offset != 0 => {
                let is_new = offset > position.offset;
                position.offset = position.offset.max(offset);
                is_new
            }
            _ => true,
        }
    }
}

impl<L: Listener> Core<L> {
    /// Requests the subscriptions that the application made while `connect` was in flight, those without room in it,
    /// and those that its reply left out.
    pub(super) fn request_idle_subscriptions(&mut self) {
        self.request_each(|phase| matches!(phase, Phase::Idle | Phase::Requested { .. }));
    }

    /// Makes a subscription of the application's. One that the server began becomes its own.
    pub(super) fn begin_subscription(
        &mut self,
        channel: &ChannelName,
        options: SubscribeOptions,
    ) -> Result<SubscriptionId, Error> {
        let id = SubscriptionId(self.next_id());
        if let Some(wanted) = self.subscriptions.add(id, channel) {
            wanted.begin_at(options);
            return Ok(id);
        }
        match self.subscriptions.of_channel(channel.as_str()) {
            Some(wanted) if wanted.is_offered => {
                wanted.is_offered = false;
                // An active one without a position is in a channel without history.
                let goes_back = options != SubscribeOptions::new();
                if goes_back && (wanted.phase != Phase::Active || wanted.position.is_some()) {
                    wanted.begun = false;
                    wanted.phase = Phase::Idle;
                    wanted.begin_at(options);
                }
                Ok(wanted.id)
            }
            _ => Err(Error::from_code(ErrorKind::Usage, ErrorCode::ALREADY_SUBSCRIBED)),
        }
    }

    pub(super) fn request_subscription(&mut self, channel: &str) {
        let command = self.next_id();
        let Some(wanted) = self.subscriptions.of_channel(channel) else { return };
        wanted.number = command;
        wanted.phase = Phase::Requested { command };
        let position = wanted.position.as_ref();
        let frame = compose::subscribe(command, &wanted.channel, command, position, wanted.history);
        self.send_transient(frame);
    }

    /// Ends a subscription, and notifies the server if it knows the subscription.
    pub(super) fn end_subscription(&mut self, subscription: SubscriptionId, error: Option<Error>) {
        let Some(wanted) = self.subscriptions.remove(subscription) else { return };
        if self.is_up() {
            self.leave(wanted.channel, wanted.number);
        }
        self.listener.unsubscribed(subscription, error);
        self.end_catching_up();
    }

    /// Notifies the server that a subscription has ended.
    pub(super) fn leave(&mut self, channel: ChannelName, number: u32) {
        let id = self.next_id();
        self.send_transient(compose::unsubscribe(id, &channel, number));
        self.subscriptions.leaving.push((channel, id));
    }

    /// Handles an error that answers a `subscribe` command; returns whether it was one.
    pub(super) fn handle_subscribe_error(&mut self, now: Time, command: u32, error: Error) {
        let refused = self.subscriptions.wanted.iter().find_map(|wanted| {
            let is_this = matches!(wanted.phase, Phase::Requested { command: of, .. } if of == command);
            is_this.then(|| (wanted.channel.clone(), wanted.number))
        });
        if let Some((channel, number)) = refused {
            self.handle_refusal(now, channel.as_str(), number, error);
        }
    }

    /// Handles a subscription that the server refuses, temporarily or for good.
    pub(super) fn handle_refusal(&mut self, now: Time, channel: &str, number: u32, error: Error) {
        let delay = self.backoff.spread(RETRY_SPREAD);
        let Some(wanted) = self.subscriptions.of_attempt(channel, number) else { return };
        if error.is_temporary() {
            wanted.phase = Phase::Retrying { at: now.plus(RETRY_AFTER).plus(delay) };
            self.listener.error(error);
        } else {
            let subscription = wanted.id;
            self.drop_subscription(subscription, error);
        }
    }

    pub(super) fn handle_subscribed(&mut self, subscribed: Subscribed<'_>) {
        let Self { subscriptions: Subscriptions { wanted, reads, .. }, listener, .. } = self;
        let Some(wanted) = of_channel(wanted, subscribed.channel().as_bytes()) else { return };
        if wanted.number != subscribed.number() {
            return;
        }
        wanted.phase = Phase::Active;
        let position = subscribed.position();
        wanted.report_epoch(position, listener);
        let first = !core::mem::replace(&mut wanted.begun, true) && !wanted.resumes;
        // From here on it has a position, or its channel has no history.
        wanted.history = 0;
        let recovery = match position {
            _ if first => Recovery::First,
            None => Recovery::NoHistory,
            Some(position) if subscribed.complete() && wanted.continues_at(position) => Recovery::Complete,
            Some(_) => Recovery::Lost,
        };
        wanted.missed =
            position.map_or(0, |position| position.offset().saturating_add(subscribed.recovering()));
        wanted.position = position.map(view::Position::read);
        listener.subscribed(wanted.id, recovery);
        if let Some(list) = &mut wanted.members {
            list.expire(reads, Time::ZERO);
        }
    }

    /// Handles a `subscribed` without a command: the new position of an active subscription, or a subscription begun by
    /// the server. A subscription of the application's has precedence over the latter.
    pub(super) fn handle_subscribed_unasked(&mut self, subscribed: Subscribed<'_>) {
        let Self { subscriptions, listener, .. } = self;
        let Some(wanted) = subscriptions.of_channel(subscribed.channel()) else {
            // A number is that of a subscription which the application has ended. Without a number it may be an old one
            // as well, while the server may not know of the end.
            if subscribed.number() == 0 && !self.subscriptions.is_leaving(subscribed.channel()) {
                self.handle_offer(subscribed);
            }
            return;
        };
        if wanted.number == subscribed.number() && wanted.phase == Phase::Active {
            let position = subscribed.position();
            wanted.report_epoch(position, listener);
            wanted.missed =
                position.map_or(0, |position| position.offset().saturating_add(subscribed.recovering()));
            wanted.position = position.map(view::Position::read);
            listener.gap(wanted.id, if position.is_some() { Gap::Lost } else { Gap::Dropped });
        }
    }

    fn handle_offer(&mut self, subscribed: Subscribed<'_>) {
        // The name was checked together with its frame.
        let Ok(channel) = ChannelName::new(subscribed.channel()) else { return };
        if self.subscriptions.wanted.len() >= MAX_SUBSCRIPTIONS {
            return;
        }
        let subscription = SubscriptionId(self.next_id());
        let Some(wanted) = self.subscriptions.add(subscription, &channel) else { return };
        wanted.is_offered = true;
        self.listener.offered(subscription, &channel);
        self.handle_subscribed(subscribed);
    }

    pub(super) fn handle_movement(&mut self, movement: Movement<'_>, joined: bool) {
        let Self { subscriptions: Subscriptions { wanted, reads, .. }, listener, .. } = self;
        let Some(wanted) = of_channel(wanted, movement.channel().as_bytes()) else { return };
        // As for publications: before the subscription is active, this belongs to an older one.
        if wanted.phase != Phase::Active {
            return;
        }
        let member = movement.member();
        listener.moved(wanted.id, joined, member);
        match &mut wanted.members {
            Some(list) if member.session().is_empty() => list.expire(reads, Time::ZERO),
            Some(list) => list.note(wanted.id, member, joined, listener),
            None => {}
        }
    }

    pub(super) fn handle_publication(&mut self, publication: Publication<'_>) {
        let publication = publication.parts();
        let PublicationParts { channel, offset, .. } = publication;
        let Some(wanted) = of_channel(&mut self.subscriptions.wanted, channel) else {
            if channel == BROADCAST {
                self.listener.broadcast(publication);
            }
            return;
        };
        if wanted.phase != Phase::Active {
            return;
        }
        if wanted.has_hole_before(offset) {
            // The channel's policy dropped them for this client. Asking for them again would make it slower still.
            self.listener.gap(wanted.id, Gap::Dropped);
        }
        if wanted.take(offset) {
            self.listener.publication(wanted.id, publication);
        }
    }

    /// Handles a subscription that the server ended.
    pub(super) fn handle_unsubscribed(&mut self, unsubscribed: Unsubscribed<'_>) {
        let wanted = self.subscriptions.of_attempt(unsubscribed.channel(), unsubscribed.number());
        if let Some(wanted) = wanted {
            let subscription = wanted.id;
            self.drop_subscription(subscription, unsubscribed.error().into());
        }
    }

    fn drop_subscription(&mut self, subscription: SubscriptionId, error: Error) {
        self.subscriptions.remove(subscription);
        self.listener.unsubscribed(subscription, Some(error));
    }

    pub(super) fn expire_subscriptions(&mut self, now: Time) {
        if self.is_up() {
            self.request_each(|phase| matches!(phase, Phase::Retrying { at } if at <= now));
            self.read_members_due(now);
        }
    }

    /// Requests the subscriptions in a phase for which `is_due` is true.
    fn request_each(&mut self, is_due: impl Fn(Phase) -> bool) {
        let mut due = Vec::new();
        for wanted in &self.subscriptions.wanted {
            if is_due(wanted.phase) {
                due.push(wanted.channel.clone());
            }
        }
        for channel in due {
            self.request_subscription(channel.as_str());
        }
    }

    pub(super) fn end_all_subscriptions(&mut self, error: Option<ErrorCode>) {
        for wanted in core::mem::replace(&mut self.subscriptions, Subscriptions::new()).wanted {
            let subscription = wanted.id;
            let error = error.map(|code| Error::from_code(ErrorKind::Connection, code));
            self.listener.unsubscribed(subscription, error);
        }
    }
}

/// A subscription that was refused temporarily is requested again after this time and up to `RETRY_SPREAD` more.
pub(super) const RETRY_AFTER: Span = Span::from_millis(500);
pub(super) const RETRY_SPREAD: Span = Span::from_millis(5000);

/// The largest size of a subscription in `connect`, without its texts.
const ENTRY_BYTES: usize = 32;

/// A client with this many subscriptions accepts no more from the server.
const MAX_SUBSCRIPTIONS: usize = 1024;

/// The channel name for messages to every session.
const BROADCAST: &[u8] = b"@all";
