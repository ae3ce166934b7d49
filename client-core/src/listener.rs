//! The receiver of a core's events.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::{self, Vec};
use core::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::differing_items;
use wirehub_common::frame::{Alarm, ContractDigest};
use wirehub_common::view::{self, PublicationParts};
use wirehub_common::{Bytes, ChannelName, Payload};

use crate::{
    ClientState, CommandId, Error, ErrorKind, Event, Gap, MembersChange, Outcome, Recovery, StateChange,
    SubscriptionId, TokenRequest,
};

/// Receives the events of a [`Core`](crate::Core) at the moment they happen, borrowed from the server's message: a
/// value that is not wanted is never built. See [`Event`] for their meaning; [`Events`] turns them into such values.
pub trait Listener {
    /// The type of a message from the server.
    type Message: AsRef<[u8]> + ?Sized;

    /// Later arguments may borrow from this message, until the next message or frame.
    fn message(&mut self, message: &Self::Message);
    /// Later arguments may borrow from this frame, which arrived in parts, until the next message or frame.
    fn frame(&mut self, frame: &Bytes);
    /// [`Event::State`].
    fn state(&mut self, news: StateView<'_>);
    /// [`Event::Epoch`]. Comes only when it changes: a listener keeps it for each subscription.
    fn epoch(&mut self, _subscription: SubscriptionId, _epoch: &str) {}
    /// [`Event::Subscribed`].
    fn subscribed(&mut self, subscription: SubscriptionId, recovery: Recovery);
    /// [`Event::Gap`].
    fn gap(&mut self, subscription: SubscriptionId, reason: Gap);
    /// [`Event::Unsubscribed`].
    fn unsubscribed(&mut self, subscription: SubscriptionId, error: Option<Error>);
    /// [`Event::Publication`].
    fn publication(&mut self, subscription: SubscriptionId, publication: PublicationParts<'_>);
    /// [`Event::Broadcast`].
    fn broadcast(&mut self, publication: PublicationParts<'_>);
    /// [`Event::Joined`], or else [`Event::Left`].
    fn moved(&mut self, subscription: SubscriptionId, joined: bool, member: view::Member<'_>);
    /// [`Event::Members`], with the change: a listener may keep the list itself.
    fn members(&mut self, _subscription: SubscriptionId, _change: MembersChange<'_>) {}
    /// [`Event::Offered`].
    fn offered(&mut self, subscription: SubscriptionId, channel: &ChannelName);
    /// [`Event::Alarm`].
    fn alarm(&mut self, alarm: view::Alarm<'_>);
    /// A withdrawn [`Event::Alarm`] without a message from the server: the alarm has expired, or the server has
    /// forgotten it. `raised` is in milliseconds since 1970 by the server's clock.
    fn alarm_over(&mut self, id: &str, channel: &ChannelName, raised: u64);
    /// [`Event::Progress`].
    fn progress(&mut self, _command: CommandId, _sent: usize, _total: usize) {}
    /// [`Event::Response`].
    fn response(&mut self, command: CommandId, payload: view::Payload<'_>);
    /// [`Event::Completed`].
    fn completed(&mut self, command: CommandId, result: Result<OutcomeView<'_>, Error>);
    /// [`Event::Error`] with [`CONTRACT_MISMATCH`](ErrorCode::CONTRACT_MISMATCH).
    fn contract_differs(&mut self, ours: &ContractDigest, theirs: view::ContractDigest<'_>);
    /// [`Event::TokenNeeded`].
    fn token_needed(&mut self, request: TokenRequest);
    /// [`Event::Error`].
    fn error(&mut self, error: Error);
}

/// See [`StateChange`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StateView<'a> {
    /// The state from now on.
    pub state: ClientState,
    /// The code of the connection that ended, if one did.
    pub code: Option<CloseCode>,
    /// The reason for which it ended, for people.
    pub reason: &'a str,
    /// The time until the next attempt.
    pub retry_in: Option<Duration>,
    /// [`Core::session`](crate::Core::session).
    pub session: &'a str,
    /// [`Core::user`](crate::Core::user).
    pub user: &'a str,
    /// [`Core::failure`](crate::Core::failure).
    pub failure: Option<&'a Error>,
}

/// See [`Outcome`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "they are those of `Outcome`")]
#[non_exhaustive]
pub enum OutcomeView<'a> {
    Published(view::Published<'a>),
    Called(view::Called<'a>),
    Streamed,
    History(view::HistoryPage<'a>),
    Presence(view::PresenceList<'a>),
    Acknowledged,
    Answered(Duration),
}

/// A queue of events.
#[derive(Debug, Default)]
pub struct Events {
    /// The last message from the server, or the last frame put together from parts.
    message: Bytes,
    happened: Vec<Event>,
    /// The events that are being taken out.
    taken: vec::IntoIter<Event>,
}

impl Events {
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.taken.next().or_else(|| {
            self.taken = core::mem::take(&mut self.happened).into_iter();
            // The message is not kept in memory while nothing else arrives.
            self.message = Bytes::new();
            self.taken.next()
        })
    }
}

impl Listener for Events {
    type Message = Bytes;

    fn message(&mut self, message: &Bytes) {
        self.message = message.clone();
    }

    fn frame(&mut self, frame: &Bytes) {
        self.message = frame.clone();
    }

    fn state(&mut self, StateView { state, code, reason, retry_in, .. }: StateView<'_>) {
        self.happened.push(Event::State(StateChange { state, code, reason: reason.into(), retry_in }));
    }

    fn epoch(&mut self, subscription: SubscriptionId, epoch: &str) {
        self.happened.push(Event::Epoch { subscription, epoch: epoch.into() });
    }

    fn subscribed(&mut self, subscription: SubscriptionId, recovery: Recovery) {
        self.happened.push(Event::Subscribed { subscription, recovery });
    }

    fn gap(&mut self, subscription: SubscriptionId, reason: Gap) {
        self.happened.push(Event::Gap { subscription, reason });
    }

    fn unsubscribed(&mut self, subscription: SubscriptionId, error: Option<Error>) {
        self.happened.push(Event::Unsubscribed { subscription, error });
    }

    fn publication(&mut self, subscription: SubscriptionId, publication: PublicationParts<'_>) {
        let publication = publication.read(&self.message);
        self.happened.push(Event::Publication { subscription, publication });
    }

    fn broadcast(&mut self, publication: PublicationParts<'_>) {
        self.happened.push(Event::Broadcast(publication.read(&self.message)));
    }

    fn moved(&mut self, subscription: SubscriptionId, joined: bool, member: view::Member<'_>) {
        let member = member.read();
        self.happened.push(match joined {
            true => Event::Joined { subscription, member },
            false => Event::Left { subscription, member },
        });
    }

    fn members(&mut self, subscription: SubscriptionId, change: MembersChange<'_>) {
        let error = match change {
            MembersChange::Failed(error) => Some(error.clone()),
            _ => None,
        };
        self.happened.push(Event::Members { subscription, error });
    }

    fn offered(&mut self, subscription: SubscriptionId, channel: &ChannelName) {
        self.happened.push(Event::Offered { subscription, channel: channel.clone() });
    }

    fn alarm(&mut self, alarm: view::Alarm<'_>) {
        self.happened.push(Event::Alarm(alarm.read(&self.message).into()));
    }

    fn alarm_over(&mut self, id: &str, channel: &ChannelName, raised: u64) {
        self.happened.push(Event::Alarm(Box::new(Alarm {
            id: id.into(),
            channel: channel.clone(),
            payload: Payload::default(),
            time: raised,
            ttl: Duration::ZERO,
            withdrawn: true,
        })));
    }

    fn progress(&mut self, command: CommandId, sent: usize, total: usize) {
        self.happened.push(Event::Progress { command, sent, total });
    }

    fn response(&mut self, command: CommandId, payload: view::Payload<'_>) {
        self.happened.push(Event::Response { command, payload: payload.read(&self.message) });
    }

    fn completed(&mut self, command: CommandId, result: Result<OutcomeView<'_>, Error>) {
        let message = &self.message;
        let result = result.map(|answered| match answered {
            OutcomeView::Published(published) => Outcome::Published(published.read().position),
            OutcomeView::Called(called) => Outcome::Called(called.payload().read(message)),
            OutcomeView::Streamed => Outcome::Streamed,
            OutcomeView::History(page) => Outcome::History(page.read(message)),
            OutcomeView::Presence(list) => Outcome::Presence(list.read()),
            OutcomeView::Acknowledged => Outcome::Acknowledged,
            OutcomeView::Answered(time) => Outcome::Answered(time),
        });
        self.happened.push(Event::Completed { command, result });
    }

    fn contract_differs(&mut self, ours: &ContractDigest, theirs: view::ContractDigest<'_>) {
        let theirs = theirs.read();
        let what = format!("different items: {}", differing_items(&ours.items, &theirs.items).join(", "));
        self.error(Error::about(ErrorKind::Server, ErrorCode::CONTRACT_MISMATCH, what));
    }

    fn token_needed(&mut self, request: TokenRequest) {
        self.happened.push(Event::TokenNeeded(request));
    }

    fn error(&mut self, error: Error) {
        self.happened.push(Event::Error(error));
    }
}
