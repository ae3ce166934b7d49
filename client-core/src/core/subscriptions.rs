//! Subscriptions: what the application wants to receive, and how far each connection has got with it.
//!
//! The server answers `subscribe` and `unsubscribe` in line with the channel's publications. So a publication belongs
//! to the subscription whose `subscribed` came last before it; until that has come, publications of the channel are
//! an older subscription's, and dropped.

use alloc::boxed::Box;
use alloc::vec::Vec;

use wirehub_common::code::ErrorCode;
use wirehub_common::frame::Position;
use wirehub_common::view::{self, Movement, Publication, Subscribed, Unsubscribed};
use wirehub_common::{ChannelName, compose};

use super::Core;
use crate::time::Span;
use crate::{Error, ErrorKind, Listener, Recovery, Time};

/// Names a subscription of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) u32);

impl SubscriptionId {
    /// The id as a number: unique within its client.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The id with this number, for a driver that hands numbers to another language.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// The channels that the application is subscribed to.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// By their channels; in boxes, because they are many at times, and move.
    #[allow(clippy::vec_box, reason = "as the docs say")]
    wanted: Vec<Box<Wanted>>,
}

#[derive(Debug)]
struct Wanted {
    channel: ChannelName,
    id: SubscriptionId,
    /// The number of the newest attempt.
    number: u32,
    phase: Phase,
    /// Whether it has been in force.
    begun: bool,
    /// Where the application has got to in the channel's history.
    position: Option<Position>,
    /// The server began it, not the application.
    is_offered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for a connection.
    Idle,
    /// Asked for; the id is the command's.
    Requested { command: u32, deadline: Time },
    /// In force.
    Active,
    /// Refused for the time being.
    Retrying { at: Time },
}

impl Subscriptions {
    pub(super) const fn new() -> Self {
        Self { wanted: Vec::new() }
    }

    /// Adds one, unless the channel has one.
    fn add(&mut self, id: SubscriptionId, channel: &ChannelName) -> Option<&mut Wanted> {
        let index = self.find(channel.as_str()).err()?;
        let (channel, phase) = (channel.clone(), Phase::Idle);
        let wanted =
            Wanted { channel, id, number: 0, phase, begun: false, position: None, is_offered: false };
        self.wanted.insert(index, Box::new(wanted));
        self.wanted.get_mut(index).map(|wanted| &mut **wanted)
    }

    /// Takes a subscription out: its channel and the number of its newest attempt.
    pub(super) fn remove(&mut self, id: SubscriptionId) -> Option<(ChannelName, u32)> {
        // Rare enough to look through all of them.
        let index = self.wanted.iter().position(|wanted| wanted.id == id)?;
        let wanted = self.wanted.remove(index);
        Some((wanted.channel, wanted.number))
    }

    pub(super) fn deadline(&self) -> Time {
        let mut soonest = Time::NEVER;
        for wanted in &self.wanted {
            if let Phase::Requested { deadline: time, .. } | Phase::Retrying { at: time } = wanted.phase {
                soonest = soonest.min(time);
            }
        }
        soonest
    }

    /// After the connection was lost, all have to be made again.
    pub(super) fn reset(&mut self) {
        for wanted in &mut self.wanted {
            wanted.phase = Phase::Idle;
        }
    }

    fn of_channel(&mut self, channel: &str) -> Option<&mut Wanted> {
        let index = self.find(channel).ok()?;
        self.wanted.get_mut(index).map(|wanted| &mut **wanted)
    }

    fn of_attempt(&mut self, channel: &str, number: u32) -> Option<&mut Wanted> {
        self.of_channel(channel).filter(|wanted| wanted.number == number)
    }

    /// Where a channel is, or would be.
    fn find(&self, channel: &str) -> Result<usize, usize> {
        self.wanted.binary_search_by(|wanted| wanted.channel.as_str().cmp(channel))
    }
}

impl Wanted {
    /// Whether `recovered` leads from where the application is to `position`, without a hole. Servers have bugs too.
    fn continues_with(&self, subscribed: Subscribed<'_>, position: Option<view::Position<'_>>) -> bool {
        let (Some(from), Some(to)) = (&self.position, position) else { return false };
        let mut offset = from.offset;
        for publication in subscribed.recovered() {
            offset = offset.saturating_add(1);
            if publication.offset() != offset {
                return false;
            }
        }
        offset == to.offset() && from.epoch == to.epoch()
    }

    /// Whether publications are missing between the last one and the one with this offset.
    fn has_hole_before(&self, offset: u64) -> bool {
        self.position.as_ref().is_some_and(|position| offset > position.offset.saturating_add(1))
    }

    /// Moves on to this offset; `false` where the application has had it.
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
    /// The subscriptions to put into `connect`; `command` is its id.
    pub(super) fn subscriptions_to_restore(
        &mut self,
        command: u32,
        deadline: Time,
    ) -> compose::Subscriptions {
        let mut restored = compose::Subscriptions::default();
        for wanted in &mut self.subscriptions.wanted {
            self.last_id = self.last_id.wrapping_add(1);
            let number = self.last_id;
            wanted.number = number;
            wanted.phase = Phase::Requested { command, deadline };
            restored.push(&wanted.channel, number, wanted.position.as_ref());
        }
        restored
    }

    /// Those that the application asked for while `connect` was on its way, and those that its reply left out.
    pub(super) fn request_idle_subscriptions(&mut self, now: Time) {
        self.request_each(now, |phase| matches!(phase, Phase::Idle | Phase::Requested { .. }));
    }

    /// Makes a subscription of the application's. It goes on where the one was that the server began, if any.
    pub(super) fn begin_subscription(
        &mut self,
        id: SubscriptionId,
        channel: &ChannelName,
    ) -> Result<(), Error> {
        if self.subscriptions.add(id, channel).is_some() {
            return Ok(());
        }
        match self.subscriptions.of_channel(channel.as_str()) {
            Some(wanted) if wanted.is_offered => {
                let subscription = core::mem::replace(&mut wanted.id, id);
                wanted.number = 0;
                wanted.is_offered = false;
                wanted.begun = false;
                wanted.phase = Phase::Idle;
                self.listener.unsubscribed(subscription, None);
                Ok(())
            }
            _ => Err(Error::from_code(ErrorKind::Usage, ErrorCode::ALREADY_SUBSCRIBED)),
        }
    }

    pub(super) fn request_subscription(&mut self, now: Time, channel: &str) {
        let command = self.next_id();
        let deadline = now.after(self.config.command_timeout);
        let Some(wanted) = self.subscriptions.of_channel(channel) else { return };
        wanted.number = command;
        wanted.phase = Phase::Requested { command, deadline };
        let frame = compose::subscribe(command, &wanted.channel, command, wanted.position.as_ref());
        self.send_transient(frame);
    }

    /// Ends a subscription, and tells the server if there is one to tell.
    pub(super) fn end_subscription(&mut self, subscription: SubscriptionId, error: Option<Error>) {
        let Some((channel, number)) = self.subscriptions.remove(subscription) else { return };
        if self.is_up() {
            self.send_transient(compose::unsubscribe(0, &channel, number));
        }
        self.listener.unsubscribed(subscription, error);
    }

    /// The error of a `subscribe` command, if it was one.
    pub(super) fn handle_subscribe_error(&mut self, now: Time, command: u32, error: Error) {
        let refused = self.subscriptions.wanted.iter().find_map(|wanted| {
            let is_this = matches!(wanted.phase, Phase::Requested { command: of, .. } if of == command);
            is_this.then(|| (wanted.channel.clone(), wanted.number))
        });
        if let Some((channel, number)) = refused {
            self.handle_refusal(now, channel.as_str(), number, error);
        }
    }

    /// A subscription that the server does not make: for now, or for good.
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
        let Self { subscriptions, listener, .. } = self;
        let Some(wanted) = subscriptions.of_attempt(subscribed.channel(), subscribed.number()) else {
            return;
        };
        wanted.phase = Phase::Active;
        let first = !core::mem::replace(&mut wanted.begun, true);
        let position = subscribed.position();
        let complete = subscribed.complete() && wanted.continues_with(subscribed, position);
        let recovery = match position {
            _ if first => Recovery::First,
            _ if complete => Recovery::Complete,
            None => Recovery::NoHistory,
            Some(_) => Recovery::Lost,
        };
        if !complete {
            // What comes now is not measured against what came before.
            wanted.position = None;
        }
        listener.subscribed(wanted.id, recovery);
        for publication in subscribed.recovered() {
            listener.publication(wanted.id, publication);
        }
        wanted.position = position.map(view::Position::read);
    }

    /// The server began a subscription. One of the application's own has precedence.
    pub(super) fn handle_offer(&mut self, subscribed: Subscribed<'_>) {
        // It was checked together with its frame.
        let Ok(channel) = ChannelName::new(subscribed.channel()) else { return };
        if self.subscriptions.wanted.len() >= MAX_SUBSCRIPTIONS {
            return;
        }
        let subscription = SubscriptionId(self.next_id());
        let Some(wanted) = self.subscriptions.add(subscription, &channel) else { return };
        wanted.number = subscribed.number();
        wanted.is_offered = true;
        self.listener.offered(subscription, &channel);
        self.handle_subscribed(subscribed);
    }

    pub(super) fn handle_movement(&mut self, movement: Movement<'_>, joined: bool) {
        // As for publications: before the subscription is in force it is an older one's.
        if let Some(wanted) = self.subscriptions.of_channel(movement.channel())
            && wanted.phase == Phase::Active
        {
            self.listener.moved(wanted.id, joined, movement.member());
        }
    }

    pub(super) fn handle_publication(&mut self, now: Time, publication: Publication<'_>) {
        let channel = publication.channel();
        let Some(wanted) = self.subscriptions.of_channel(channel) else {
            if channel == BROADCAST {
                self.listener.broadcast(publication);
            }
            return;
        };
        if wanted.phase != Phase::Active {
            return;
        }
        let offset = publication.offset();
        if wanted.has_hole_before(offset) {
            // Subscribing again recovers this one too, or tells that it can't be.
            return self.request_subscription(now, channel);
        }
        if wanted.take(offset) {
            self.listener.publication(wanted.id, publication);
        }
    }

    /// The server ended a subscription.
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
            self.request_each(now, |phase| match phase {
                Phase::Requested { deadline: time, .. } | Phase::Retrying { at: time } => time <= now,
                Phase::Idle | Phase::Active => false,
            });
        }
    }

    /// Asks for the subscriptions that are in such a phase.
    fn request_each(&mut self, now: Time, is_due: impl Fn(Phase) -> bool) {
        let mut due = Vec::new();
        for wanted in &self.subscriptions.wanted {
            if is_due(wanted.phase) {
                due.push(wanted.channel.clone());
            }
        }
        for channel in due {
            self.request_subscription(now, channel.as_str());
        }
    }

    pub(super) fn end_all_subscriptions(&mut self) {
        for wanted in core::mem::replace(&mut self.subscriptions, Subscriptions::new()).wanted {
            let subscription = wanted.id;
            let error = Error::from_code(ErrorKind::Connection, ErrorCode::CLOSED);
            self.listener.unsubscribed(subscription, Some(error));
        }
    }
}

/// A subscription that was refused for the time being is asked for again after this long and up to `RETRY_SPREAD` more.
const RETRY_AFTER: Span = Span::from_millis(500);
const RETRY_SPREAD: Span = Span::from_millis(5000);

/// With so many subscriptions a client takes no more from the server.
const MAX_SUBSCRIPTIONS: usize = 1024;

/// The channel name under which a server speaks to every session.
const BROADCAST: &str = "@all";
