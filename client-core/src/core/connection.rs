//! The connection: opening it, the reply to `connect`, the timers of silence, losing it, and reconnecting.

use alloc::string::String;
use core::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::view::{Body, Connected, Frame, Frames, Part};
use wirehub_common::{Bytes, ChannelName, PartError, SUBPROTOCOL_PROTOBUF, compose};

use super::Core;
use crate::time::Span;
use crate::{ClientState, Error, ErrorKind, Listener, Time};

/// The phase of the connection.
#[derive(Debug)]
pub(super) enum Link {
    /// No connection is wanted.
    None,
    /// The next attempt waits for its time.
    Waiting { until: Time },
    /// The token provider is being asked.
    Authorizing,
    /// The transport is opening.
    Opening {
        deadline: Time,
        /// Whether the driver has been asked to open it.
        asked: bool,
    },
    /// `connect` is in flight.
    Greeting {
        deadline: Time,
        command: u32,
        greeting: Option<Bytes>,
        /// Whether a ping has to be answered. A server that is slow to answer `connect` may send one.
        pong_due: bool,
    },
    /// The connection is in use.
    Up {
        since: Time,
        /// The time of the last message.
        heard: Time,
        /// Until this time the connection is kept although it has been silent for too long: see `check_silence`.
        spared: Time,
        /// Whether the last message was a large one. Another large one may be half received, and is invisible until it
        /// is complete.
        large: bool,
        /// Whether a ping has to be answered.
        pong_due: bool,
    },
}

/// The longest time for which a client with a session is not reported as connected because its subscriptions are still
/// catching up.
const CATCH_UP: Span = Span::from_millis(30_000);

/// How long the server may be silent beyond its ping interval.
const PONG_GRACE: Span = Span::from_millis(10_000);

/// A timer that fires this late was held up together with everything else on this machine.
const LATE: Span = Span::from_millis(2000);

/// How long data that arrived meanwhile may take to be handed over, or an answer to arrive.
const SPARED: Span = Span::from_millis(5000);

/// The same behind a large message; a slow line brings a few thousand bytes a second.
const SPARED_BEHIND_LARGE: Span = Span::from_millis(15_000);

/// The size in bytes from which a message counts as large.
const LARGE: usize = 16 * 1024;

/// How many bytes of subscriptions go into `connect`, which has to be one message. The others are requested behind it.
const RESTORE_BYTES: usize = 48 * 1024;

/// The room in `connect` for the token and the subscriptions; the rest is for the names.
const CONNECT_BYTES: usize = 60 * 1024;

/// A connection that lasted this long was a good one: the next attempt after it counts as a first one.
const STABLE: Span = Span::from_millis(5000);

impl Link {
    /// The time of the last message.
    pub(super) fn heard(&self) -> Time {
        match self {
            Self::Up { heard, .. } => *heard,
            _ => Time::ZERO,
        }
    }

    pub(super) fn deadline(&self, ping_interval: Duration) -> Time {
        match self {
            // The question to the token provider has a deadline of its own.
            Self::None | Self::Authorizing => Time::NEVER,
            Self::Waiting { until: time }
            | Self::Opening { deadline: time, .. }
            | Self::Greeting { deadline: time, .. } => *time,
            Self::Up { spared, heard, .. } => match *spared {
                Time::NEVER => silence_deadline(*heard, ping_interval),
                until => until,
            },
        }
    }
}

/// The id of a frame of which only the beginning has arrived; 0 for a frame without one.
fn peek_id(begun: &[u8]) -> u32 {
    // The id is the first field, and its number is encoded in groups of seven bits.
    let Some((&0x08, digits)) = begun.split_first() else { return 0 };
    let mut id = 0_u32;
    for (index, &byte) in (0_u32..).zip(digits.iter().take(5)) {
        id |= u32::from(byte & 0x7f).wrapping_shl(index.wrapping_mul(7));
        if byte < 0x80 {
            return id;
        }
    }
    0
}

fn spared_for(large: bool) -> Span {
    if large { SPARED_BEHIND_LARGE } else { SPARED }
}

fn silence_deadline(heard: Time, ping_interval: Duration) -> Time {
    if ping_interval.is_zero() { Time::NEVER } else { heard.after(ping_interval).plus(PONG_GRACE) }
}

impl<L: Listener> Core<L> {
    /// The WebSocket is open; `subprotocol` is the one that the server chose.
    pub fn handle_open(&mut self, subprotocol: &str) {
        let Link::Opening { deadline, .. } = self.link else { return };
        if subprotocol != SUBPROTOCOL_PROTOBUF {
            let code = CloseCode::NOT_WIREHUB;
            self.drop_transport(code, "");
            return self.fail(code, "");
        }
        let command = self.next_id();
        let token = self.tokens.current().unwrap_or_default();
        let room = RESTORE_BYTES.min(CONNECT_BYTES.saturating_sub(token.len()));
        let subscriptions = self.subscriptions.restore(command, &mut self.last_id, room);
        let contract = self.config.contract.as_ref();
        // No command has this id.
        let instance = self.keys.make(0);
        let client = compose::Client {
            token,
            client: &self.config.client,
            version: &self.config.version,
            contract: contract.map(|contract| (contract.id.name.as_str(), contract.id.hash)),
            instance: &instance,
        };
        let greeting = Some(compose::connect(command, client, &subscriptions));
        self.link = Link::Greeting { deadline, command, greeting, pong_due: false };
    }

    /// A binary message arrived.
    pub fn handle_message(&mut self, now: Time, message: &L::Message) {
        let bytes = message.as_ref();
        match &mut self.link {
            Link::Greeting { deadline, pong_due, .. } => {
                *deadline = now.after(self.config.connect_timeout);
                *pong_due |= bytes.is_empty();
            }
            Link::Up { heard, spared, large, pong_due, .. } => {
                *heard = now;
                *large = bytes.len() >= LARGE;
                *spared = Time::NEVER;
                *pong_due |= bytes.is_empty();
                self.commands.note_progress(now);
            }
            _ => return,
        }
        self.listener.message(message);
        for frame in Frames::new(bytes) {
            // A frame can end the connection. The frames behind it are not read then.
            if !matches!(self.link, Link::Greeting { .. } | Link::Up { .. }) {
                return;
            }
            match frame {
                Ok(Frame { body: Body::Part(part), .. }) => {
                    self.handle_part(now, part);
                    self.listener.message(message);
                }
                Ok(frame) => self.handle_frame(now, frame),
                Err(error) => return self.handle_garbage(now, error.as_str()),
            }
        }
        self.read_members_due(now);
        self.end_catching_up();
        self.expire_catching_up(now);
    }

    /// The transport accepted some of the bytes it had been given: sending makes progress, although nothing was
    /// received yet.
    pub fn handle_drained(&mut self, now: Time) {
        match &mut self.link {
            Link::Greeting { deadline, .. } => *deadline = now.after(self.config.connect_timeout),
            Link::Up { spared, large, .. } => {
                if *spared != Time::NEVER {
                    *spared = now.plus(spared_for(*large));
                }
                self.commands.note_progress(now);
            }
            _ => {}
        }
    }

    /// A text message arrived, which the subprotocol does not allow.
    pub fn handle_text(&mut self, now: Time) {
        if matches!(self.link, Link::Greeting { .. } | Link::Up { .. }) {
            self.handle_garbage(now, "a text message");
        }
    }

    /// The WebSocket closed, or could not be opened. [`ABNORMAL`](CloseCode::ABNORMAL) stands for both if there is no
    /// code.
    pub fn handle_close(&mut self, now: Time, code: CloseCode, reason: &str) {
        if !matches!(self.link, Link::Opening { .. } | Link::Greeting { .. } | Link::Up { .. }) {
            return;
        }
        if code == CloseCode::TOKEN_EXPIRED && self.config.provides_tokens {
            self.tokens.session_expired();
        }
        if code.reconnects() {
            self.lose(now, code, reason);
        } else {
            self.fail(code, reason);
        }
    }

    /// The time returned by [`poll_timeout`](Self::poll_timeout) has come. An early call does no harm.
    pub fn handle_timeout(&mut self, now: Time) {
        match self.link {
            Link::Waiting { until } if until <= now => self.open(now),
            Link::Opening { deadline, .. } | Link::Greeting { deadline, .. } if deadline <= now => {
                self.break_off(now, CloseCode::SUPERSEDED);
            }
            _ => self.check_silence(now),
        }
        self.expire_catching_up(now);
        self.check_token_deadlines(now);
        self.expire_subscriptions(now);
        self.expire_commands(now);
        self.expire_alarms(now);
        self.expire_draining(now);
    }

    /// The environment of the client is back: its page is shown or resumed, its network is there. Makes the next attempt
    /// now instead of waiting for its time, if one is planned, and [checks](Self::check_connection) an open connection,
    /// which may have died meanwhile without a notice.
    pub fn reconnect_now(&mut self, now: Time) {
        match self.link {
            Link::Waiting { .. } => self.open(now),
            _ => self.check_connection(now),
        }
    }

    /// Checks whether an open connection still works, because the network may have changed or gone. The server gets a
    /// question, and 5 s to send anything; 15 s if a large message may be in transit. The time starts anew whenever the
    /// transport accepts data.
    pub fn check_connection(&mut self, now: Time) {
        let Link::Up { spared, large, .. } = &mut self.link else { return };
        if *spared == Time::NEVER {
            *spared = now.plus(spared_for(*large));
            let id = self.next_id();
            // The command cancels itself: there is nothing to cancel, and it is always answered.
            self.send_transient(compose::cancel(id, id));
        }
    }

    /// Closes the connection, or gives up opening it, because the environment of the client is suspended and would not
    /// run.
    pub fn suspend(&mut self, now: Time) {
        if matches!(self.link, Link::Opening { .. } | Link::Greeting { .. } | Link::Up { .. }) {
            self.drop_transport(CloseCode::NORMAL, "");
            self.lose(now, CloseCode::GOING_AWAY, "");
        }
    }

    pub(super) fn open(&mut self, now: Time) {
        self.retry_after = None;
        if self.tokens.current().is_none() {
            self.link = Link::Authorizing;
            return self.ask_for_token(now);
        }
        self.link = Link::Opening { deadline: now.after(self.config.connect_timeout), asked: false };
    }

    /// Closes a connection on which nothing has arrived for too long.
    ///
    /// A timer that fires far too late shows that this machine was suspended: a closed laptop, a hidden page, a stopped
    /// process. Messages that the server sent meanwhile may be right behind the timer, so they get a moment to arrive.
    fn check_silence(&mut self, now: Time) {
        let deadline = self.link.deadline(self.limits.ping_interval);
        let Link::Up { spared, large, .. } = &mut self.link else { return };
        if now < deadline {
            return;
        }
        if *spared == Time::NEVER && now.span_since(deadline) > LATE {
            *spared = now.plus(spared_for(*large));
        } else {
            self.break_off(now, CloseCode::SERVER_SILENT);
        }
    }

    /// Handles a part of a frame. The last part completes the frame, which is then handled like any other.
    fn handle_part(&mut self, now: Time, part: Part<'_>) {
        let stream = part.stream();
        match self.incoming.take(stream, part.data(), part.left(), self.config.frame_bytes) {
            Ok(None) => {
                let answered = self.incoming.begun(stream).map_or(0, peek_id);
                self.commands.note_progress_of(answered, now);
            }
            Ok(Some(bytes)) => {
                self.listener.frame(&bytes);
                match Frame::new(&bytes) {
                    Ok(Frame { body: Body::Part(_), .. }) => self.handle_garbage(now, "a part in parts"),
                    Ok(frame) => self.handle_frame(now, frame),
                    Err(error) => self.handle_garbage(now, error.as_str()),
                }
            }
            Err(PartError::TooLarge) => self.handle_garbage(now, "a frame is larger than this client takes"),
            Err(error) => self.handle_garbage(now, error.kind().as_str()),
        }
    }

    fn handle_frame(&mut self, now: Time, frame: Frame<'_>) {
        match frame.id {
            0 => self.handle_push(now, frame.body),
            id => self.handle_reply(now, id, frame.body),
        }
    }

    fn handle_reply(&mut self, now: Time, id: u32, answer: Body<'_>) {
        if let Link::Greeting { command, .. } = self.link {
            if command == id {
                match answer {
                    Body::Connected(connected) => self.handle_connected(now, connected),
                    Body::Error(error) => self.handle_connect_error(now, error.into()),
                    _ => self.handle_garbage(now, "no answer to connect"),
                }
            }
            return;
        }
        match answer {
            Body::Subscribed(subscribed) => self.handle_subscribed(subscribed),
            _ if self.subscriptions.have_left(id) => {}
            Body::Unsubscribed(_) => {}
            _ if self.subscriptions.reads.have_asked(id) => self.handle_members(now, id, answer),
            _ if self.alarms.are_asked_for(id) => {
                let is_unknown =
                    matches!(answer, Body::Error(error) if error.code() == ErrorCode::UNKNOWN_ALARM);
                self.handle_alarm_answer(id, !is_unknown);
            }
            _ if self.note_arrival(id, now) => {}
            _ if self.is_command(id) => self.answer(now, id, answer),
            _ if self.tokens.is_refreshing(id) => self.handle_refreshed(now, answer),
            Body::Error(error) => self.handle_subscribe_error(now, id, error.into()),
            _ => {}
        }
    }

    fn handle_connected(&mut self, now: Time, connected: Connected<'_>) {
        let is_other = !self.session.is_empty() && self.user != connected.user();
        self.session = connected.session().into();
        self.user = connected.user().into();
        self.limits = connected.limits().read();
        let pong_due = matches!(self.link, Link::Greeting { pong_due: true, .. });
        self.link = Link::Up { since: now, heard: now, spared: Time::NEVER, large: false, pong_due };
        self.tokens.connected();
        self.plan_refresh(now, connected.token_ttl());
        self.keys.of_publishes.connected(now, connected.idempotency());
        self.keys.of_calls.connected(now, connected.call_idempotency());
        let is_behind = connected
            .subscriptions()
            .any(|outcome| outcome.result().is_ok_and(|subscribed| subscribed.recovering() > 0));
        if is_behind || self.subscriptions.have_no_room() {
            self.catching_up = now.plus(CATCH_UP);
        } else {
            self.enter(ClientState::Connected, None, "", None);
        }
        if let (Some(ours), Some(theirs)) = (&self.config.contract, connected.contract()) {
            self.listener.contract_differs(ours, theirs);
        }
        for outcome in connected.subscriptions() {
            match outcome.result() {
                Ok(subscribed) if !self.subscriptions.has(outcome.channel()) => {
                    // The application has ended it while `connect` was in flight.
                    if let Ok(channel) = ChannelName::new(outcome.channel()) {
                        self.leave(channel, subscribed.number());
                    }
                }
                Ok(subscribed) => self.handle_subscribed(subscribed),
                Err(error) => self.handle_refusal(now, outcome.channel(), outcome.number(), error.into()),
            }
        }
        self.request_idle_subscriptions();
        if is_other {
            self.settle_as_other_user();
        }
        self.settle_doubts();
        self.ask_for_alarms();
    }

    /// Reports that the client is connected, once the subscriptions have caught up.
    pub(super) fn end_catching_up(&mut self) {
        if self.catching_up < Time::NEVER && !self.subscriptions.are_behind() {
            self.catching_up = Time::NEVER;
            self.enter(ClientState::Connected, None, "", None);
        }
    }

    /// Reports that the client is connected if catching up takes too long.
    fn expire_catching_up(&mut self, now: Time) {
        if self.catching_up <= now {
            self.catching_up = Time::NEVER;
            self.enter(ClientState::Connected, None, "", None);
        }
    }

    fn handle_connect_error(&mut self, now: Time, error: Error) {
        if self.may_need_new_token(&error) {
            self.drop_transport(CloseCode::SUPERSEDED, "");
            self.forget_connection();
            // The server is not at fault: no need to wait.
            self.open(now);
        } else if error.code() == ErrorCode::TOKEN_EXPIRED && !self.config.provides_tokens {
            self.wait_for_token(error);
        } else if error.is_temporary() {
            let code = match error.code() {
                ErrorCode::TOKEN_EXPIRED => CloseCode::TOKEN_EXPIRED,
                _ => CloseCode::SUPERSEDED,
            };
            self.listener.error(error);
            self.break_off(now, code);
        } else {
            self.refuse(error);
        }
    }

    fn handle_push(&mut self, now: Time, push: Body<'_>) {
        match push {
            Body::Publication(publication) => self.handle_publication(publication),
            Body::Unsubscribed(unsubscribed) => self.handle_unsubscribed(unsubscribed),
            Body::Disconnect(farewell) => self.retry_after = farewell.retry_after(),
            Body::RefreshDue => self.ask_for_token(now),
            Body::Join(movement) => self.handle_movement(movement, true),
            Body::Leave(movement) => self.handle_movement(movement, false),
            Body::Subscribed(subscribed) => self.handle_subscribed_unasked(subscribed),
            Body::Alarm(alarm) => self.handle_alarm(now, alarm),
            _ => {}
        }
    }

    /// The peer is no proper server, or something in between garbles messages. Reports the error and tries another
    /// connection.
    fn handle_garbage(&mut self, now: Time, what: &'static str) {
        let error = Error::about(ErrorKind::Server, ErrorCode::BAD_FRAME, what);
        self.listener.error(error);
        self.break_off(now, CloseCode::BAD_FRAME);
    }

    /// Drops this connection in favour of another one.
    pub(super) fn break_off(&mut self, now: Time, code: CloseCode) {
        self.drop_transport(code, "");
        self.lose(now, code, "");
    }

    /// Makes the driver close the transport, if it has one.
    pub(super) fn drop_transport(&mut self, code: CloseCode, reason: &str) {
        // A transport that was never opened need not be closed.
        if let Link::Opening { asked: true, .. } | Link::Greeting { .. } | Link::Up { .. } = self.link {
            let mut end = reason.len().min(123);
            while !reason.is_char_boundary(end) {
                end = end.saturating_sub(1);
            }
            self.closing = Some((code, reason.get(..end).unwrap_or_default().into()));
        }
    }

    /// The connection is lost; another attempt will be made.
    fn lose(&mut self, now: Time, code: CloseCode, reason: &str) {
        self.forget_connection();
        self.retry(now, Some(code), reason);
    }

    pub(super) fn forget_connection(&mut self) {
        self.catching_up = Time::NEVER;
        self.incoming.clear();
        self.subscriptions.reset();
        self.tokens.connection_lost();
        self.settle_after_loss();
    }

    /// Plans the next attempt.
    pub(super) fn retry(&mut self, now: Time, code: Option<CloseCode>, reason: &str) {
        let was_up = self.is_up();
        if self.is_stable(now) {
            self.backoff.reset();
        }
        let delay = match self.retry_after.take() {
            Some(milliseconds) => {
                // The delay given by a server that refuses every connection is not followed again and again.
                let is_first = self.backoff.is_fresh();
                let own = self.backoff.next_delay();
                let told = Span::from_millis(milliseconds);
                if is_first { told } else { told.max(own) }
            }
            // The server stopped without a close message: all its clients reconnect at once.
            None if was_up && !self.limits.reconnect_window.is_zero() && self.backoff.is_fresh() => {
                self.backoff.first_delay(self.limits.reconnect_window.into())
            }
            None => self.backoff.next_delay(),
        };
        self.link = Link::Waiting { until: now.plus(delay) };
        self.enter(self.state_between(), code, reason, Some(delay));
    }

    /// The state of a client without a connection that is not closed.
    pub(super) fn state_between(&self) -> ClientState {
        if self.session.is_empty() { ClientState::Connecting } else { ClientState::Reconnecting }
    }

    /// Whether the connection is up and has lasted long enough to be a good one.
    pub(super) fn is_stable(&self, now: Time) -> bool {
        matches!(self.link, Link::Up { since, .. } if now.span_since(since) >= STABLE)
    }

    /// Ends the client against the application's wish.
    fn fail(&mut self, code: CloseCode, reason: &str) {
        self.failure = Some(if reason.is_empty() {
            Error::closed_with(code)
        } else {
            Error::in_words(ErrorKind::Connection, ErrorCode::CLOSED, String::from(reason))
        });
        self.end(code, reason, Some(ErrorCode::CLOSED));
    }

    /// Ends the client because nothing runs it any more.
    #[cfg(feature = "handles")]
    pub(crate) fn stop(&mut self, code: CloseCode, reason: &str) {
        if self.state != ClientState::Closed {
            self.drop_transport(code, reason);
            self.fail(code, reason);
        }
    }

    /// Ends the client. Subscriptions end with `error`, or without one if the application wants it.
    pub(super) fn end(&mut self, code: CloseCode, reason: &str, error: Option<ErrorCode>) {
        self.link = Link::None;
        self.catching_up = Time::NEVER;
        self.draining = Time::NEVER;
        self.incoming.clear();
        self.state = ClientState::Closed;
        self.tokens.clear();
        self.alarms.0.clear();
        self.fail_all_commands();
        self.end_all_subscriptions(error);
        self.enter(ClientState::Closed, Some(code), reason, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_frame_is_seen_in_its_first_bytes() {
        for (begun, id) in [
            (&[][..], 0),
            (&[0x10, 1], 0),
            (&[0x08, 5], 5),
            (&[0x08, 0x7f, 9], 127),
            (&[0x08, 0x80, 1, 9], 128),
            (&[0x08, 0x80, 0x80, 1], 16_384),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX),
            (&[0x08, 0x80], 0),
            (&[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 1], 0),
        ] {
            assert_eq!(peek_id(begun), id, "{begun:?}");
        }
    }
}
