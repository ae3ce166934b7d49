//! The handle to a client.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use futures_core::Stream;
use futures_util::StreamExt as _;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::{Call, Channel, Message as _, StreamCall};
use wirehub_common::frame::{self, Member, Position};
use wirehub_common::{ChannelName, Payload, PayloadError};

use super::alarm::Alarms;
use super::history::HistoryPage;
use super::lifetime::{CancelOnDrop, Lifetime};
use super::members::PresenceCounts;
use super::progress::Watcher;
use super::queue::{self, Queue};
use super::responses::Responses;
use super::subscription::{Feed, Offer, Offers, Publication};
use super::{Inner, Shared, Waiting};
use crate::{
    ClientState, CommandId, Error, ErrorKind, Outcome, Overflow, SendOptions, StateChange, SubscribeOptions,
    Subscription, Time,
};

/// A client. A clone is another handle to the same client. When the last handle and the last [`Subscription`] are
/// dropped, the client closes with 1000.
///
/// All futures here may be dropped at any time. A publish or call that has not been sent is taken back; a running call
/// is cancelled on the server.
#[derive(Clone)]
#[must_use = "a client is closed when its last handle is dropped"]
pub struct Client {
    lifetime: Arc<Lifetime>,
    options: SendOptions,
    pub(super) progress: Option<Watcher>,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { lifetime: Arc::new(Lifetime(shared)), options: SendOptions::default(), progress: None }
    }

    /// This handle with another time limit for its publishes and calls: see [`SendOptions::timeout`].
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { options: SendOptions { timeout: Some(timeout), ..self.options }, ..self }
    }

    /// This handle, with publishes and calls that fail at once with [`NOT_CONNECTED`](ErrorCode::NOT_CONNECTED) instead
    /// of waiting for a connection.
    pub fn fail_fast(self) -> Self {
        Self { options: SendOptions { fail_fast: true, ..self.options }, ..self }
    }

    /// Begins to connect, unless that has begun, and waits until the client is connected. Attempts continue until one
    /// succeeds or the client is closed; dropping the future does not stop them.
    ///
    /// # Errors
    /// [`UNAUTHORIZED`](ErrorCode::UNAUTHORIZED) or another refusal by the server; [`CLOSED`](ErrorCode::CLOSED);
    /// [`TOKEN_EXPIRED`](ErrorCode::TOKEN_EXPIRED) if the client [`needs_token`](Self::needs_token). In the last case
    /// it is not closed, and continues with a new token.
    pub async fn connect(&self) -> Result<(), Error> {
        let mut changes = self.state_changes();
        self.shared().act(|inner, now| inner.core.connect(now));
        loop {
            match self.state() {
                ClientState::Connected => return Ok(()),
                ClientState::Closed => break,
                _ if self.needs_token() => {
                    return Err(Error::from_code(ErrorKind::Server, ErrorCode::TOKEN_EXPIRED));
                }
                _ => {}
            }
            if changes.next().await.is_none() {
                break;
            }
        }
        let failure = self.shared().lock().core.failure().cloned();
        Err(failure.unwrap_or_else(|| Error::from_code(ErrorKind::Usage, ErrorCode::CLOSED)))
    }

    /// Replaces the token, for the current connection or attempt and for later ones. If it belongs to another user, a
    /// session of that user takes the place of the current one, and commands that were sent and not answered end with
    /// [`CONNECTION_LOST`](ErrorCode::CONNECTION_LOST). A question to the token provider that is open at that moment
    /// needs no answer any more.
    ///
    /// # Errors
    /// [`CLOSED`](ErrorCode::CLOSED).
    pub fn set_token(&self, token: impl Into<String>) -> Result<(), Error> {
        let token = token.into();
        self.shared().act(|inner, now| {
            if inner.core.state() == ClientState::Closed {
                return Err(Error::from_code(ErrorKind::Usage, ErrorCode::CLOSED));
            }
            inner.core.set_token(now, token);
            Ok(())
        })
    }

    /// Whether the client waits for [`Self::set_token`]: the server reports that its token has expired, and there is no
    /// provider. The client is connecting or reconnecting then. Its last [change of state](Self::state_changes) has the
    /// code [`TOKEN_EXPIRED`](CloseCode::TOKEN_EXPIRED) and no next attempt. Its subscriptions stay, and queued
    /// commands wait within their timeouts.
    pub fn needs_token(&self) -> bool {
        self.shared().lock().core.needs_token()
    }

    /// The state of the client.
    pub fn state(&self) -> ClientState {
        self.shared().lock().core.state()
    }

    /// The changes of state from now on. The last 64 are kept for a slow reader.
    pub fn state_changes(&self) -> StateChanges {
        let (sender, queue) = queue::new(WATCHED, Overflow::DropOldest);
        let mut inner = self.shared().lock();
        if inner.core.state() != ClientState::Closed {
            queue::add(&mut inner.watchers, sender);
        }
        StateChanges(queue)
    }

    /// The errors from now on that belong to no command and no subscription. The last 64 are kept for a slow reader.
    pub fn errors(&self) -> impl Stream<Item = Error> + Unpin + Send + use<> {
        let (sender, queue) = queue::new(WATCHED, Overflow::DropOldest);
        let mut inner = self.shared().lock();
        if inner.core.state() != ClientState::Closed {
            queue::add(&mut inner.errors, sender);
        }
        queue
    }

    /// The messages from the server to every session, from now on. For a slow reader the newest are kept, up to the
    /// size of a receive queue.
    pub fn broadcasts(&self) -> impl Stream<Item = Publication<Payload>> + Unpin + Send + use<> {
        let mut inner = self.shared().lock();
        let (sender, queue) = queue::new(inner.core.config().receive_queue, Overflow::DropOldest);
        if inner.core.state() != ClientState::Closed {
            queue::add(&mut inner.broadcasts, sender);
        }
        queue.map(Publication::from)
    }

    /// The alarms from now on, each once, and the [end](wirehub_common::frame::Alarm::withdrawn) of each that was not
    /// acknowledged here. For a slow reader the newest are kept, up to the size of a receive queue.
    ///
    /// ```
    /// use futures_util::StreamExt as _;
    /// use wirehub_client_core::{Client, Error};
    ///
    /// async fn watch(client: &Client) -> Result<(), Error> {
    ///     let mut alarms = client.alarms();
    ///     while let Some(alarm) = alarms.next().await {
    ///         if !alarm.withdrawn {
    ///             // Once a person has seen it:
    ///             client.acknowledge(&alarm.id).await?;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn alarms(&self) -> Alarms {
        let mut inner = self.shared().lock();
        let (sender, queue) = queue::new(inner.core.config().receive_queue, Overflow::DropOldest);
        if inner.core.state() != ClientState::Closed {
            queue::add(&mut inner.alarms, sender);
        }
        Alarms(queue)
    }

    /// Acknowledges an alarm, so that the server does not send it again. This happens now or once the client is
    /// connected, however long that takes, whatever [timeout](Self::with_timeout) the handle has. If the connection
    /// breaks before the answer, it goes out again over the next one. Dropping the future takes it back if it has not
    /// been sent.
    ///
    /// # Errors
    /// As for [`Self::publish`]; [`UNKNOWN_ALARM`](ErrorCode::UNKNOWN_ALARM): the alarm has ended, as [`Self::alarms`]
    /// reports too.
    pub async fn acknowledge(&self, alarm: &str) -> Result<(), Error> {
        let options = SendOptions { timeout: None, ..self.options };
        match self.command(|inner, now| inner.core.acknowledge(now, alarm, options)).await? {
            Outcome::Acknowledged => Ok(()),
            _ => Err(another_answer()),
        }
    }

    /// The subscriptions that the server begins from now on. Call this before [`Self::connect`]. Subscriptions without
    /// a reader are ended, and so are those that wait when the stream is dropped. A later call replaces an earlier one.
    /// The application can subscribe to such a channel by itself as well: both get its messages, and the subscription
    /// ends with the last of them.
    pub fn offers(&self) -> Offers {
        let mut inner = self.shared().lock();
        let (sender, queue) = queue::new(WATCHED_OFFERS, Overflow::Error);
        if inner.core.state() != ClientState::Closed {
            inner.offers = Some(sender);
        }
        Offers::new(queue, Arc::clone(&self.lifetime))
    }

    /// The session's id; empty before the first connect.
    pub fn session(&self) -> String {
        self.shared().lock().core.session().into()
    }

    /// The session's user; empty for an anonymous one.
    pub fn user(&self) -> String {
        self.shared().lock().core.user().into()
    }

    /// Subscribes to a channel of a contract, now or once the client is connected, and again after each reconnect.
    /// [`Subscription::ready`] waits for the first time.
    ///
    /// # Errors
    /// [`ALREADY_SUBSCRIBED`](ErrorCode::ALREADY_SUBSCRIBED), [`CLOSED`](ErrorCode::CLOSED).
    pub fn subscribe<C: Channel>(&self, channel: &C) -> Result<Subscription<C::Message>, Error> {
        self.subscribe_with(channel, SubscribeOptions::new())
    }

    /// [`Self::subscribe`] that begins with messages of the channel's history. They and the new messages are one
    /// stream: each message once, in order, and none missing in between. A gap is reported only if messages
    /// [`since`](field@SubscribeOptions::since) a position are not kept any more.
    ///
    /// ```
    /// use futures_util::StreamExt as _;
    /// use wirehub_client_core::{Client, Error, SubscribeOptions};
    /// use wirehub_common::ChannelName;
    ///
    /// async fn show(client: &Client, lobby: ChannelName) -> Result<(), Error> {
    ///     let lines = client.subscribe_raw_with(lobby, SubscribeOptions::new().history(50))?;
    ///     let mut lines = lines.publications();
    ///     while let Some(line) = lines.next().await {
    ///         println!("{:?}", line?.message);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`Self::subscribe`].
    pub fn subscribe_with<C: Channel>(
        &self,
        channel: &C,
        options: SubscribeOptions,
    ) -> Result<Subscription<C::Message>, Error> {
        self.subscription(channel.name().clone(), options, C::Message::from_payload)
    }

    /// [`Self::subscribe`] without a contract.
    ///
    /// # Errors
    /// As there.
    pub fn subscribe_raw(&self, channel: ChannelName) -> Result<Subscription<Payload>, Error> {
        self.subscribe_raw_with(channel, SubscribeOptions::new())
    }

    /// [`Self::subscribe_with`] without a contract.
    ///
    /// # Errors
    /// As there.
    pub fn subscribe_raw_with(
        &self,
        channel: ChannelName,
        options: SubscribeOptions,
    ) -> Result<Subscription<Payload>, Error> {
        self.subscription(channel, options, |payload| Ok(payload.clone()))
    }

    /// Publishes a message in a channel of a contract, now or once the client is connected, and waits for the server's
    /// answer. Returns the message's position if the channel keeps history.
    ///
    /// # Errors
    /// A refusal by the server; [`TIMEOUT`](ErrorCode::TIMEOUT); [`CONNECTION_LOST`](ErrorCode::CONNECTION_LOST) if the
    /// message was sent, no answer came, and repeating it could double it; [`QUEUE_FULL`](ErrorCode::QUEUE_FULL);
    /// [`CLOSED`](ErrorCode::CLOSED).
    pub async fn publish<C: Channel>(
        &self,
        channel: &C,
        message: &C::Message,
    ) -> Result<Option<Position>, Error> {
        self.publish_raw(channel.name().clone(), message.to_payload()?).await
    }

    /// [`Self::publish`] without a contract.
    ///
    /// # Errors
    /// As there.
    pub async fn publish_raw(
        &self,
        channel: ChannelName,
        payload: Payload,
    ) -> Result<Option<Position>, Error> {
        self.publish_raw_with_key(channel, payload, "").await
    }

    /// [`Self::publish`] with a key of the application's, so that the message can be published again after a
    /// [`TIMEOUT`](ErrorCode::TIMEOUT) or [`CONNECTION_LOST`](ErrorCode::CONNECTION_LOST) without doubling it. A
    /// repetition returns the position of the first time. [`Core::publish_with_key`](crate::Core::publish_with_key) has
    /// the bounds of the key, and of the time.
    ///
    /// # Errors
    /// As for [`Self::publish`]; [`BAD_REQUEST`](ErrorCode::BAD_REQUEST): the key has more than 256 bytes.
    pub async fn publish_with_key<C: Channel>(
        &self,
        channel: &C,
        message: &C::Message,
        key: &str,
    ) -> Result<Option<Position>, Error> {
        self.publish_raw_with_key(channel.name().clone(), message.to_payload()?, key).await
    }

    /// [`Self::publish_with_key`] without a contract.
    ///
    /// # Errors
    /// As there.
    pub async fn publish_raw_with_key(
        &self,
        channel: ChannelName,
        payload: Payload,
        key: &str,
    ) -> Result<Option<Position>, Error> {
        let options = self.options;
        let begin =
            |inner: &mut Inner, now| inner.core.publish_with_key(now, &channel, &payload, key, options);
        match self.command(begin).await? {
            Outcome::Published(position) => Ok(position),
            _ => Err(another_answer()),
        }
    }

    /// Publishes a message now or never. The message is dropped, and `false` is returned, if the client is not
    /// connected or more is queued than the connection accepts. Use it for values that are worthless later, such as the
    /// position of a pointer. There is no answer about its success.
    ///
    /// # Errors
    /// The message can't be encoded.
    pub fn publish_volatile<C: Channel>(&self, channel: &C, message: &C::Message) -> Result<bool, Error> {
        let (channel, payload) = (channel.name().clone(), message.to_payload()?);
        Ok(self.shared().act(|inner, _| inner.core.publish_volatile(&channel, &payload)))
    }

    /// Calls a procedure of a contract, now or once the client is connected, and waits for its response.
    ///
    /// # Errors
    /// As for [`Self::publish`]; and a response that does not fit the contract.
    pub async fn call<C: Call>(&self, request: &C::Request) -> Result<C::Response, Error> {
        let response = self.call_raw(C::NAME, request.to_payload()?).await?;
        Ok(C::Response::from_payload(&response)?)
    }

    /// [`Self::call`] without a contract.
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub async fn call_raw(&self, name: &str, payload: Payload) -> Result<Payload, Error> {
        let options = self.options;
        match self.command(|inner, now| inner.core.call(now, name, &payload, options)).await? {
            Outcome::Called(payload) => Ok(payload),
            _ => Err(another_answer()),
        }
    }

    /// Calls a procedure of a contract that streams its responses. The call is sent now or once the client is
    /// connected; the timeout is for the first response. Dropping the stream cancels the call.
    ///
    /// # Errors
    /// [`QUEUE_FULL`](ErrorCode::QUEUE_FULL), [`CLOSED`](ErrorCode::CLOSED),
    /// [`NOT_CONNECTED`](ErrorCode::NOT_CONNECTED) for a handle that does not wait. Other errors are the stream's last
    /// item.
    pub fn call_stream<C: StreamCall>(&self, request: &C::Request) -> Result<Responses<C::Response>, Error> {
        self.responses(C::NAME, &request.to_payload()?, C::Response::from_payload)
    }

    /// [`Self::call_stream`] without a contract.
    ///
    /// # Errors
    /// As there.
    #[allow(clippy::needless_pass_by_value, reason = "as the others take theirs")]
    pub fn call_stream_raw(&self, name: &str, payload: Payload) -> Result<Responses<Payload>, Error> {
        self.responses(name, &payload, |payload| Ok(payload.clone()))
    }

    /// Waits until the client has ended and its last WebSocket is closed, or until its driver stops waiting for the
    /// server's part of the close.
    pub async fn closed(&self) {
        let ended = self.shared().ended.clone();
        // The driver drops the sender.
        let _ = ended.await;
    }

    /// Reads up to `limit` messages of a channel's history: those after `since`, or from the beginning. The server has
    /// limits of its own, in messages and in bytes. If a page has [`more`](HistoryPage::more) behind it, ask again from
    /// its last message on.
    ///
    /// # Errors
    /// As for [`Self::publish`]; [`NOT_AVAILABLE`](ErrorCode::NOT_AVAILABLE): the channel keeps no history;
    /// [`UNRECOVERABLE`](ErrorCode::UNRECOVERABLE): messages after `since` are lost. A message that does not fit the
    /// contract is no error: it is among the [`unreadable`](HistoryPage::unreadable) ones.
    pub async fn history<C: Channel>(
        &self,
        channel: &C,
        since: Option<Position>,
        limit: u32,
    ) -> Result<HistoryPage<C::Message>, Error> {
        let channel = channel.name().clone();
        let request = frame::History { channel, since, limit, reverse: false };
        Ok(HistoryPage::decode(self.history_raw(request).await?, C::Message::from_payload))
    }

    /// [`Self::history`] without a contract, and with every option of the request.
    ///
    /// # Errors
    /// As there.
    pub async fn history_raw(&self, request: frame::History) -> Result<frame::HistoryPage, Error> {
        let options = self.options;
        match self.command(|inner, now| inner.core.history(now, &request, options)).await? {
            Outcome::History(page) => Ok(page),
            _ => Err(another_answer()),
        }
    }

    /// Returns the members of a channel, an entry for each session. If there are more than the server returns at once,
    /// it is asked again; [`Self::presence_raw`] returns one page.
    ///
    /// # Errors
    /// As for [`Self::publish`]; [`NOT_AVAILABLE`](ErrorCode::NOT_AVAILABLE): the channel keeps no presence.
    pub async fn presence(&self, channel: ChannelName) -> Result<Vec<Member>, Error> {
        let mut members: Vec<Member> = Vec::new();
        loop {
            let after = members.last().map(|last| last.session.clone()).unwrap_or_default();
            let request = frame::Presence { channel: channel.clone(), counts_only: false, after };
            let list = self.presence_raw(request).await?;
            let reads_on = list.more && !list.members.is_empty();
            members.extend(list.members);
            if !reads_on {
                return Ok(members);
            }
        }
    }

    /// Returns one page of the members of a channel. If there are [`more`](frame::PresenceList::more), ask again
    /// [`after`](frame::Presence::after) its last member.
    ///
    /// # Errors
    /// As for [`Self::presence`].
    pub async fn presence_raw(&self, request: frame::Presence) -> Result<frame::PresenceList, Error> {
        let options = self.options;
        let frame::Presence { channel, counts_only, after } = request;
        let begin = |inner: &mut Inner, now| match counts_only {
            true => inner.core.presence_counts(now, &channel, options),
            false => inner.core.presence_after(now, &channel, &after, options),
        };
        match self.command(begin).await? {
            Outcome::Presence(list) => Ok(list),
            _ => Err(another_answer()),
        }
    }

    /// Returns the numbers of sessions and users in a channel.
    ///
    /// # Errors
    /// As for [`Self::presence`].
    pub async fn presence_counts(&self, channel: ChannelName) -> Result<PresenceCounts, Error> {
        let options = self.options;
        match self.command(|inner, now| inner.core.presence_counts(now, &channel, options)).await? {
            Outcome::Presence(list) => Ok(PresenceCounts { sessions: list.sessions, users: list.users }),
            _ => Err(another_answer()),
        }
    }

    /// Measures the round trip to the server and back, now.
    ///
    /// # Errors
    /// [`NOT_CONNECTED`](ErrorCode::NOT_CONNECTED); [`TIMEOUT`](ErrorCode::TIMEOUT);
    /// [`CONNECTION_LOST`](ErrorCode::CONNECTION_LOST).
    pub async fn rtt(&self) -> Result<Duration, Error> {
        let options = self.options;
        match self.command(|inner, now| inner.core.ping(now, options)).await? {
            Outcome::Answered(time) => Ok(time),
            _ => Err(another_answer()),
        }
    }

    /// Sends every queued command, waits for the answers, and closes the client for good, within `limit`. New commands
    /// and subscriptions fail with [`CLOSED`](ErrorCode::CLOSED) meanwhile; messages arrive until the end. Dropping the
    /// future does not stop it.
    ///
    /// # Errors
    /// Commands were unanswered when the client closed: [`TIMEOUT`](ErrorCode::TIMEOUT), or the reason for which it closed
    /// earlier.
    pub async fn drain(&self, limit: Duration) -> Result<(), Error> {
        self.shared().act(|inner, now| inner.core.drain(now, limit));
        self.closed().await;
        self.shared().lock().core.failure().cloned().map_or(Ok(()), Err)
    }

    /// Closes the client for good: queued commands fail, subscriptions end without an error. [`Self::closed`] waits for the end of it.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.shared().act(|inner, _| inner.core.close(code, reason));
    }

    fn shared(&self) -> &Shared {
        self.lifetime.shared()
    }

    fn subscription<M>(
        &self,
        channel: ChannelName,
        options: SubscribeOptions,
        decode: fn(&Payload) -> Result<M, PayloadError>,
    ) -> Result<Subscription<M>, Error> {
        self.shared().act(|inner, _| {
            let subscription = inner.core.subscribe_with(&channel, options)?;
            let config = inner.core.config();
            let (sender, queue) = queue::new(config.receive_queue, config.overflow);
            let (confirm, ready) = oneshot::channel();
            let mut feed = Feed::new(sender, confirm);
            // The server began it.
            if let Some(others) = inner.subscriptions.get_mut(subscription) {
                if inner.core.is_active(subscription) {
                    others.first().inspect(|other| feed.join(other));
                    feed.confirm(Ok(()));
                } else {
                    others.iter_mut().for_each(Feed::begin_anew);
                }
            }
            let feed = inner.add_feed(subscription, feed);
            let made = Offer { subscription, feed, channel, queue, ready };
            Ok(Subscription::new(made, decode, Arc::clone(&self.lifetime)))
        })
    }

    fn responses<R>(
        &self,
        name: &str,
        payload: &Payload,
        decode: fn(&Payload) -> Result<R, PayloadError>,
    ) -> Result<Responses<R>, Error> {
        self.shared().act(|inner, now| {
            let command = inner.core.call_stream(now, name, payload, self.options)?;
            let (sender, queue) = queue::new(inner.core.config().receive_queue, Overflow::Error);
            inner.commands.insert(command, Waiting::Responses(sender));
            Ok(Responses::new(command, queue, decode, Arc::clone(&self.lifetime)))
        })
    }

    async fn command(
        &self,
        begin: impl FnOnce(&mut Inner, Time) -> Result<CommandId, Error>,
    ) -> Result<Outcome, Error> {
        let (sender, receiver) = oneshot::channel();
        let command = self.shared().act(|inner, now| {
            let command = begin(inner, now)?;
            inner.commands.insert(command, Waiting::Answer(sender, self.progress.clone()));
            Ok::<_, Error>(command)
        })?;
        let _cancel = CancelOnDrop { shared: self.shared(), command };
        receiver.await.unwrap_or_else(|_| Err(Error::from_code(ErrorKind::Usage, ErrorCode::CLOSED)))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// The changes of a client's [`ClientState`]. See [`Client::state_changes`].
#[derive(Debug)]
#[must_use = "a stream does nothing before it is polled"]
pub struct StateChanges(Queue<StateChange>);

impl Stream for StateChanges {
    type Item = StateChange;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StateChange>> {
        self.0.poll_next_unpin(context)
    }
}

/// The server answered with the reply to another kind of command.
fn another_answer() -> Error {
    Error::from_code(ErrorKind::Server, ErrorCode::UNSUPPORTED)
}

/// How many changes or errors the queue of a watcher holds.
const WATCHED: usize = 64;

/// How many subscriptions of the server wait for a reader.
const WATCHED_OFFERS: usize = 1024;
