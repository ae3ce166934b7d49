//! The state machine. Its connection is in `connection`; commands and subscriptions have their own files.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::History;
use wirehub_common::view::Payload;
use wirehub_common::{Assembler, Bytes, ChannelName, Limits, compose};

use self::alarms::Alarms;
use self::commands::{Commands, Kind};
use self::connection::Link;
use self::keys::Keys;
use self::subscriptions::Subscriptions;
use self::token::Tokens;
use crate::backoff::Backoff;
use crate::time::Span;
use crate::{ClientState, Config, Error, ErrorKind, Event, Events, Listener, StateView, Time};

mod alarms;
mod commands;
mod connection;
mod keys;
mod members;
mod outgoing;
mod subscriptions;
#[cfg(test)]
mod tests;
mod token;

pub use self::commands::{CommandId, SendOptions};
pub use self::members::MembersChange;
pub use self::subscriptions::{SubscribeOptions, SubscriptionId};
pub use self::token::TokenRequest;

/// The error of a longer key than [`Limits::KEY_BYTES`].
const KEY_TOO_LONG: &str = "the key has more than 256 bytes: make it of 128 random bits";

/// A client as a state machine. See [the crate](crate) for an example, and [`Driver`](crate::Driver) for how to run it.
///
/// After each call of another method the driver takes everything that [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event) return, and sets its timer to [`poll_timeout`](Self::poll_timeout). A driver with a
/// [`Listener`] of its own is notified at once instead.
#[derive(Debug)]
pub struct Core<L = Events> {
    config: Config,
    backoff: Backoff,
    state: ClientState,
    link: Link,
    /// The frames from the server that are arriving in parts.
    incoming: Assembler,
    session: String,
    user: String,
    limits: Limits,
    last_id: u32,
    tokens: Tokens,
    commands: Commands,
    keys: Keys,
    subscriptions: Subscriptions,
    alarms: Alarms,
    /// The time until which the client answers for its commands before it closes.
    draining: Time,
    /// The deadline for reporting a client with a session as connected while its subscriptions are catching up.
    catching_up: Time,
    /// Whether the transport accepted more when it was last asked.
    writable: bool,
    /// The code and reason with which the transport has to be closed.
    closing: Option<(CloseCode, String)>,
    /// The delay before the next attempt in milliseconds, if the server sent one before it closed.
    retry_after: Option<u32>,
    /// The reason for which the client ended against the application's wish.
    failure: Option<Error>,
    listener: L,
}

/// An instruction to the driver for its WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// Open a WebSocket that offers [`SUBPROTOCOL_PROTOBUF`](wirehub_common::SUBPROTOCOL_PROTOBUF). There is no other
    /// one at that moment.
    Open,
    /// Send this as one binary message.
    Send(Bytes),
    /// Close the WebSocket, or give up opening it, and report nothing more of it.
    Close {
        /// The code, which [may be sent](CloseCode::is_sendable).
        code: CloseCode,
        /// The reason: at most 123 bytes (RFC 6455, section 5.5).
        reason: String,
    },
}

impl Core {
    /// A client that does nothing yet. `seed` determines its delays and the keys of its publishes: pass 64 random bits
    /// to each client.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut core = Self::idle(Events::default());
        core.start(seed, |own| *own = config);
        core
    }

    /// The next event for the application.
    #[must_use = "the event is not there a second time"]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.listener.next()
    }
}

impl<L: Listener> Core<L> {
    /// A client with another listener, as a constant for a static. It has to be [started](Self::start).
    pub const fn idle(listener: L) -> Self {
        Self {
            config: Config::new(),
            backoff: Backoff::idle(0),
            state: ClientState::Disconnected,
            link: Link::None,
            incoming: Assembler::new(),
            session: String::new(),
            user: String::new(),
            limits: Limits::DEFAULT,
            last_id: 0,
            tokens: Tokens::new(),
            commands: Commands::new(),
            keys: Keys::new(0),
            subscriptions: Subscriptions::new(),
            alarms: Alarms(Vec::new()),
            draining: Time::NEVER,
            catching_up: Time::NEVER,
            writable: true,
            closing: None,
            retry_after: None,
            failure: None,
            listener,
        }
    }

    /// Makes an idle client behave like a [`new`](Core::new) one. `configure` changes the defaults of [`Config`].
    pub fn start(&mut self, seed: u64, configure: impl FnOnce(&mut Config)) {
        configure(&mut self.config);
        self.tokens.begin(&self.config.token, self.config.provides_tokens);
        self.backoff = Backoff::new(seed, self.config.min_delay.into(), self.config.max_delay.into());
        self.keys.seed(seed);
    }

    /// The state of the client.
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// The id of the session. Empty before the first connect; while reconnecting, the id of the last session.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The session's user; empty for an anonymous one.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The reason for which the client ended against the application's wish: a refusal by the server, or
    /// [`CLOSED`](ErrorCode::CLOSED) with the reason of a close that forbids reconnecting. Also the reason for which
    /// [draining](Self::drain) left commands unanswered.
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The listener that is notified of events.
    pub fn listener_mut(&mut self) -> &mut L {
        &mut self.listener
    }

    /// The client's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Begins to connect. Does nothing if the client has begun already or is closed.
    pub fn connect(&mut self, now: Time) {
        if self.state == ClientState::Disconnected {
            self.enter(ClientState::Connecting, None, "", None);
            self.open(now);
        }
    }

    /// Ends the client: queued commands fail, subscriptions end, without an error because the application wants it. A code that may not be sent is replaced by 1000; a
    /// reason of more than 123 bytes is cut.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        if self.state == ClientState::Closed {
            return;
        }
        let code = if code.is_sendable() { code } else { CloseCode::NORMAL };
        if self.draining < Time::NEVER && !self.commands.are_over() && self.failure.is_none() {
            self.failure = Some(Error::from_code(ErrorKind::Usage, ErrorCode::CLOSED));
        }
        self.drop_transport(code, reason);
        self.end(code, reason, None);
    }

    /// Subscribes to a channel, now or once the client is connected, and again after each reconnect. A subscription to
    /// this channel that the [server began](Event::Offered) becomes the application's own: it keeps its id, which is
    /// returned, and its progress. [`is_active`](Self::is_active) reports whether its first [`Event::Subscribed`] has
    /// been. So the receiver of the offer, if there is one, has to let it be.
    ///
    /// # Errors
    /// [`ALREADY_SUBSCRIBED`](ErrorCode::ALREADY_SUBSCRIBED): the channel has a subscription.
    /// [`CLOSED`](ErrorCode::CLOSED): the client is closed.
    pub fn subscribe(&mut self, channel: &ChannelName) -> Result<SubscriptionId, Error> {
        self.subscribe_with(channel, SubscribeOptions::new())
    }

    /// [`subscribe`](Self::subscribe) that begins with messages of the channel's history. They and the new messages are
    /// one stream, each message once and in order. After a reconnect it continues from the last message, as others do.
    /// The first [`Event::Subscribed`] is [`First`](crate::Recovery::First) with
    /// [`history`](field@SubscribeOptions::history). With [`since`](field@SubscribeOptions::since) it reports like one
    /// after a reconnect whether messages since then are missing.
    ///
    /// # Errors
    /// As for [`subscribe`](Self::subscribe).
    pub fn subscribe_with(
        &mut self,
        channel: &ChannelName,
        options: SubscribeOptions,
    ) -> Result<SubscriptionId, Error> {
        self.refuse_when_closed()?;
        let id = self.begin_subscription(channel, options)?;
        if self.is_up() && self.subscriptions.is_idle(channel.as_str()) {
            self.request_subscription(channel.as_str());
        }
        self.end_catching_up();
        Ok(id)
    }

    /// Whether a subscription is active: the server has confirmed it in this connection.
    pub fn is_active(&self, subscription: SubscriptionId) -> bool {
        self.subscriptions.is_active(subscription)
    }

    /// Ends a subscription. Its [`Event::Unsubscribed`] follows at once, and no message after it. Does nothing if the
    /// subscription has ended already.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.end_subscription(subscription, None);
    }

    /// Ends a subscription for a reason of the receiver's, such as a full receive queue. Like [`Self::unsubscribe`],
    /// with the error in the event.
    pub fn fail_subscription(&mut self, subscription: SubscriptionId, error: Error) {
        self.end_subscription(subscription, Some(error));
    }

    /// Publishes a message, now or once the client is connected. Its [`Event::Completed`] always follows, at the latest
    /// after the timeout.
    ///
    /// If the connection breaks before the answer, the message is sent again over the next one with the same key, so
    /// that it is published once. If the server may have forgotten the key, or remembers no keys at all, the publish
    /// ends with [`CONNECTION_LOST`](ErrorCode::CONNECTION_LOST) and may have happened.
    ///
    /// # Errors
    /// [`QUEUE_FULL`](ErrorCode::QUEUE_FULL), [`CLOSED`](ErrorCode::CLOSED),
    /// [`NOT_CONNECTED`](ErrorCode::NOT_CONNECTED) for a command that does not wait,
    /// [`BAD_REQUEST`](ErrorCode::BAD_REQUEST) for a command over the server's limit. Nothing was done in any of these
    /// cases.
    pub fn publish<'a>(
        &mut self,
        now: Time,
        channel: &ChannelName,
        payload: impl Into<Payload<'a>>,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        self.publish_with_key(now, channel, payload, "", options)
    }

    /// [`publish`](Self::publish) with a key of the application's, which makes it safe to publish the message again
    /// after a [`TIMEOUT`](ErrorCode::TIMEOUT) or [`CONNECTION_LOST`](ErrorCode::CONNECTION_LOST): with the same key it
    /// is published once, and has the position of the first time. An empty key is the same as none.
    ///
    /// - The key is that of one message: 128 random bits, an id from a database. It has at most
    ///   [`Limits::KEY_BYTES`] bytes.
    /// - The server remembers it for the user and the channel, and for an anonymous client as long as this
    ///   client lives.
    /// - The server remembers it for [`Idempotency::window`](wirehub_common::frame::Idempotency::window) since its first
    ///   arrival: two minutes by default. Publish it again within half of that. The other half is for this client, which
    ///   repeats a message by itself after a lost connection.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish); [`BAD_REQUEST`](ErrorCode::BAD_REQUEST): the key is too long.
    pub fn publish_with_key<'a>(
        &mut self,
        now: Time,
        channel: &ChannelName,
        payload: impl Into<Payload<'a>>,
        key: &str,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        let (payload, options) = (payload.into(), options.into());
        let id = self.begin(options)?;
        self.check_size(payload.data.len().saturating_add(channel.as_str().len()).saturating_add(key.len()))?;
        if key.len() > Limits::KEY_BYTES {
            return Err(Error::in_words(ErrorKind::Usage, ErrorCode::BAD_REQUEST, KEY_TOO_LONG));
        }
        let (kind, made);
        let key = if key.is_empty() {
            (kind, made) = (Kind::Publish, self.keys.make(id));
            &made
        } else {
            kind = Kind::KeyedPublish;
            key
        };
        self.queue(now, id, kind, compose::publish(id, channel, payload, key), options)
    }

    /// Checks whether a message of this many bytes, with the name of its channel or call, can be accepted at the moment.
    /// A driver asks before it copies a large message; a command is checked by itself.
    ///
    /// # Errors
    /// [`BAD_REQUEST`](ErrorCode::BAD_REQUEST), which is not temporary: the message is over the server's limit.
    /// [`QUEUE_FULL`](ErrorCode::QUEUE_FULL): there is no room at the moment, or the limit is unknown before the first
    /// connect.
    pub fn check_size(&self, bytes: usize) -> Result<(), Error> {
        self.refuse_too_large(bytes)?;
        if self.has_room(bytes) { Ok(()) } else { Err(self.queue_full(bytes)) }
    }

    /// Publishes a message now or never. The message is dropped, and `false` is returned, if the client is not
    /// connected, if more is queued than the transport accepts, or if the message is larger than the server accepts.
    /// There is no answer about its success.
    pub fn publish_volatile<'a>(&mut self, channel: &ChannelName, payload: impl Into<Payload<'a>>) -> bool {
        let payload = payload.into();
        let possible = self.is_up()
            && self.draining == Time::NEVER
            && self.writable
            && !self.commands.has_queued()
            && self.refuse_too_large(payload.data.len()).is_ok();
        if possible {
            self.send_transient(compose::publish(0, channel, payload, ""));
        }
        possible
    }

    /// Calls a procedure of the server. It is carried out once, as a message is published once: see [`Self::publish`].
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub fn call<'a>(
        &mut self,
        now: Time,
        name: &str,
        payload: impl Into<Payload<'a>>,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        let (payload, options) = (payload.into(), options.into());
        let id = self.begin(options)?;
        self.check_size(payload.data.len().saturating_add(name.len()))?;
        let frame = compose::call(id, name, payload, &self.keys.make(id));
        self.queue(now, id, Kind::Call, frame, options)
    }

    /// Calls a procedure of the server that streams its responses. Each is an [`Event::Response`], in order, before the
    /// [`Event::Completed`]. The timeout is for the first response. See [`Self::publish`].
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub fn call_stream<'a>(
        &mut self,
        now: Time,
        name: &str,
        payload: impl Into<Payload<'a>>,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        let (payload, options) = (payload.into(), options.into());
        let id = self.begin(options)?;
        self.check_size(payload.data.len().saturating_add(name.len()))?;
        self.queue(now, id, Kind::Stream, compose::call(id, name, payload, ""), options)
    }

    /// Reads a channel's history. See [`Self::publish`].
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub fn history(
        &mut self,
        now: Time,
        history: &History,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        let options = options.into();
        let id = self.begin(options)?;
        self.queue(now, id, Kind::Question, compose::history(id, history), options)
    }

    /// Asks for the members of a channel. See [`Self::publish`].
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub fn presence(
        &mut self,
        now: Time,
        channel: &ChannelName,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        self.ask_for_presence(now, channel, false, "", options.into())
    }

    /// Asks for the numbers of sessions and users in a channel. See [`Self::publish`].
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub fn presence_counts(
        &mut self,
        now: Time,
        channel: &ChannelName,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        self.ask_for_presence(now, channel, true, "", options.into())
    }

    /// Asks for the members of a channel behind the one with this session, which is the last one of a
    /// [list](crate::Outcome::Presence) that has [more](wirehub_common::frame::PresenceList::more). See
    /// [`Self::publish`].
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub fn presence_after(
        &mut self,
        now: Time,
        channel: &ChannelName,
        session: &str,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        self.ask_for_presence(now, channel, false, session, options.into())
    }

    /// Acknowledges an [alarm](Event::Alarm), now or once the client is connected, however long that takes, and again
    /// after a reconnect until it is answered. Only a timeout in `options` ends it earlier. If the server does not know
    /// the alarm any more, the command ends with [`UNKNOWN_ALARM`](ErrorCode::UNKNOWN_ALARM), and an event announces
    /// the end of the alarm. If the client comes back as another user, it ends in the same way without being sent. See
    /// [`Self::publish`].
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub fn acknowledge(
        &mut self,
        now: Time,
        alarm: &str,
        options: impl Into<SendOptions>,
    ) -> Result<CommandId, Error> {
        let options = options.into();
        let id = self.begin(options)?;
        let frame = compose::acknowledge(id, alarm, false);
        let command = self.queue(now, id, Kind::Acknowledgement, frame, options)?;
        self.note_acknowledged(alarm, id);
        Ok(command)
    }

    /// Measures the round trip to the server and back: [`Outcome::Answered`](crate::Outcome::Answered) has the time. The
    /// question goes out before other commands do if a large command is on its way in parts. It never waits for a
    /// connection.
    ///
    /// # Errors
    /// As for [`Self::publish`]; [`NOT_CONNECTED`](ErrorCode::NOT_CONNECTED) whatever the options.
    pub fn ping(&mut self, now: Time, options: impl Into<SendOptions>) -> Result<CommandId, Error> {
        let options = SendOptions { fail_fast: true, ..options.into() };
        let id = self.begin(options)?;
        // The command cancels itself: there is nothing to cancel, and it is always answered.
        self.queue(now, id, Kind::Ping, compose::cancel(id, id), options)
    }

    /// Sends every queued command, waits for the answers, and closes the client with 1000. After `limit` the client
    /// closes in any case: [`failure`](Self::failure) is [`TIMEOUT`](ErrorCode::TIMEOUT) then, and unanswered commands
    /// end with [`CLOSED`](ErrorCode::CLOSED). New commands and subscriptions fail with it from now on. Messages arrive
    /// until the end. A client that has not begun to connect closes at once.
    pub fn drain(&mut self, now: Time, limit: Duration) {
        if self.state != ClientState::Closed {
            self.draining = self.draining.min(now.after(limit));
            self.end_draining();
        }
    }

    /// Cancels a command. It ends with [`CANCELLED`](ErrorCode::CANCELLED), and a running call is cancelled on the
    /// server. Does nothing if it has ended already.
    pub fn cancel(&mut self, command: CommandId) {
        self.abandon(command.0, Error::from_code(ErrorKind::Usage, ErrorCode::CANCELLED));
    }

    /// The next instruction to the driver. It contains messages only while the transport is `writable`, except for the
    /// answer to a ping. Otherwise they stay queued here, within the bound of the queue.
    #[must_use = "the driver has to do it"]
    pub fn poll_transmit(&mut self, writable: bool) -> Option<Transmit> {
        self.writable = writable;
        self.end_draining();
        if let Some(close) = self.take_closing() {
            return Some(close);
        }
        match &mut self.link {
            Link::Opening { asked, .. } if !*asked => {
                *asked = true;
                Some(Transmit::Open)
            }
            // Nothing goes out before `connect`.
            Link::Greeting { greeting: greeting @ Some(_), .. } => greeting.take().map(Transmit::Send),
            Link::Greeting { pong_due, .. } => {
                core::mem::take(pong_due).then(|| Transmit::Send(Bytes::new()))
            }
            Link::Up { pong_due, .. } => {
                if core::mem::take(pong_due) {
                    return Some(Transmit::Send(Bytes::new()));
                }
                // A server that has given the time of the reconnect reads nothing more: commands wait for the next connection.
                if !writable || self.retry_after.is_some() {
                    return None;
                }
                let message = self.next_message().map(Transmit::Send);
                // The close takes the place of a message that must not be sent any more.
                message.or_else(|| self.take_closing())
            }
            _ => None,
        }
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) has to be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = self.link.deadline(self.limits.ping_interval).min(self.tokens.deadline());
        let own = own.min(self.catching_up).min(self.alarms.deadline()).min(self.draining);
        let soonest = own.min(self.commands.deadline()).min(self.subscriptions.deadline());
        (soonest < Time::NEVER).then_some(soonest)
    }

    fn take_closing(&mut self) -> Option<Transmit> {
        self.closing.take().map(|(code, reason)| Transmit::Close { code, reason })
    }

    fn ask_for_presence(
        &mut self,
        now: Time,
        channel: &ChannelName,
        counts_only: bool,
        after: &str,
        options: SendOptions,
    ) -> Result<CommandId, Error> {
        let id = self.begin(options)?;
        self.queue(now, id, Kind::Question, compose::presence(id, channel, counts_only, after), options)
    }

    fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// Closes a draining client that has nothing left to send or to wait for.
    fn end_draining(&mut self) {
        if self.draining < Time::NEVER
            && (self.commands.are_over() || self.state == ClientState::Disconnected)
        {
            self.close(CloseCode::NORMAL, "");
        }
    }

    /// Closes a draining client whose time is over.
    pub(super) fn expire_draining(&mut self, now: Time) {
        if self.draining <= now {
            self.failure = Some(Error::from_code(ErrorKind::Connection, ErrorCode::TIMEOUT));
            self.close(CloseCode::NORMAL, "");
        }
    }

    fn refuse_when_closed(&self) -> Result<(), Error> {
        if self.state == ClientState::Closed || self.draining < Time::NEVER {
            return Err(Error::from_code(ErrorKind::Usage, ErrorCode::CLOSED));
        }
        Ok(())
    }

    fn enter(&mut self, state: ClientState, code: Option<CloseCode>, reason: &str, retry_in: Option<Span>) {
        self.state = state;
        let Self { session, user, .. } = self;
        let failure = self.failure.as_ref();
        let retry_in = retry_in.map(Into::into);
        self.listener.state(StateView { state, code, reason, retry_in, session, user, failure });
    }
}
