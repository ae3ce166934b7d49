//! A session: one task that reads commands, carries them out and writes the frames for its client.
//!
//! [`Session::poll_turn`] is one turn, from top to bottom. The commands are in `commands`, the answers of hooks and engines in
//! `pending_answers`, the recovery of missed publications in `recovery`, and the deadlines in `clock`.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use axum::http::HeaderMap;
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use wirehub_common::Limits;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::{ErrorInfo, Push, Reply, ReplyBody, ServerFrame};

use self::calls::{CallAnswer, Calls};
use self::clock::{Clock, Due};
use self::mailbox::{Ending, Mail, TakenBatch, TurnReason};
use self::optional_state::OptionalState;
use self::pending_answers::{MAX_WAITING, PendingAnswers};
use self::queue::Lane;
use self::recovery::Recoveries;
use self::subscriptions::{Subscription, Subscriptions};
use crate::Hub;
use crate::hub::connections::Phase;
use crate::hub::live::LiveSettings;
use crate::hub::sessions::Peer;
use crate::observe::SessionEvent;
use crate::socket::{Fault, Incoming, Kind, Socket};
use crate::token_bucket::TokenBucketLevel;

mod calls;
pub(crate) mod clock;
pub(crate) mod close_handshake;
mod commands;
mod connecting;
mod decisions;
mod identity;
pub(crate) mod mailbox;
mod optional_state;
mod pending_answers;
pub(crate) mod queue;
mod recovery;
mod refused_subscriptions;
mod subscribing;
mod subscriptions;

/// Serves the connection of `peer` until it ends. `headers` are those of the handshake, if the hub needs them. `held` is
/// dropped at its end.
pub(crate) fn serve<S: AsyncRead + AsyncWrite + Unpin, H>(
    hub: Hub,
    peer: Arc<Peer>,
    headers: Option<Box<HeaderMap>>,
    socket: Socket<S>,
    held: H,
) -> impl Future<Output = ()> {
    hub.counters().opened();
    let mut served = Some((Session::new(hub, peer, headers), socket, held));
    // An async block would need memory for its captures and for the borrows of them at the same time.
    let ended = poll_fn(move |cx| {
        let Some((session, socket, _)) = &mut served else { return Poll::Pending };
        let Err(end) = ready!(session.poll_turn(socket, cx));
        Poll::Ready((served.take(), end))
    });
    // On the heap, so that the task of an idle session has no memory for it.
    ended.then(|(served, end)| Box::pin(end_session(served, end)))
}

/// The last steps of a session.
async fn end_session<S: AsyncRead + AsyncWrite + Unpin, H>(
    served: Option<(Session, Socket<S>, H)>,
    end: Box<SessionEnd>,
) {
    let Some((mut session, mut socket, held)) = served else { return };
    session.ended = end.code();
    let (hub, peer) = (session.hub.clone(), Arc::clone(&session.peer));
    // From here on the session can't be found, and its calls are stopped.
    drop(session);
    tracing::debug!(session = %peer.id, ?end, "session ends");
    hub.counters().ended(end.code());
    close_handshake::run(*end, &peer, &hub, &mut socket).await;
    drop((socket, held));
}

/// The state of a session without its socket.
struct Session {
    hub: Hub,
    live: Arc<LiveSettings>,
    peer: Arc<Peer>,
    stage: Stage,
    subscriptions: Subscriptions,
    unread: Option<Box<UnreadMessages>>,
    calls: Option<Box<Calls>>,
    pending_answers: Option<Box<PendingAnswers>>,
    recoveries: Option<Box<Recoveries>>,
    extras: Option<Box<OptionalState>>,
    /// The commands that it may send now.
    commands: TokenBucketLevel,
    clock: Clock,
    /// An empty message is due.
    ping: bool,
    /// Something waits for room in the queue.
    is_held_back: bool,
    /// The KiB that the socket has taken since it was new, or full. While this is small, messages are small. So urgent frames
    /// wait less, and the first message on a slow line arrives in time.
    drained_kib: u8,
    /// The close code of the server.
    ended: Option<CloseCode>,
}

/// Messages that are not carried out yet. Most sessions have none most of the time.
#[derive(Default)]
struct UnreadMessages {
    /// The rest of a message.
    message: Bytes,
    /// The next message, read while the session is held up, so that the session notices a vanished client.
    ahead: Bytes,
}

/// The stage of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `connect` has not come yet.
    New,
    /// `connect` is being checked; all other commands wait.
    Connecting,
    Connected,
}

/// The reason for the end of a session.
#[derive(Debug)]
enum SessionEnd {
    /// An ending from outside, or a violation of the Wirehub protocol.
    Ending(Ending),
    /// A violation of the WebSocket protocol: further frames can't be read.
    Violation(CloseCode, String),
    /// The client closed.
    Closed,
    /// The connection is gone.
    Gone,
    /// The connection is dropped without a close.
    Aborted,
}

/// The work of one turn, before other sessions have theirs. One unit is about a microsecond.
struct WorkBudget(u32);

impl Session {
    fn new(hub: Hub, peer: Arc<Peer>, headers: Option<Box<HeaderMap>>) -> Self {
        let live = hub.live();
        hub.session_registry().add(Arc::clone(&peer));
        // If the hub began to stop earlier, it did not see the session.
        if hub.connections().phase() >= Phase::Stopping {
            peer.mailbox.end(crate::hub::shutdown_ending(0));
        }
        Self {
            hub,
            peer,
            stage: Stage::New,
            subscriptions: Subscriptions::default(),
            unread: None,
            calls: None,
            pending_answers: None,
            recoveries: None,
            extras: headers.map(|headers| Box::new(OptionalState::of_unconnected(*headers))),
            commands: TokenBucketLevel::default(),
            clock: Clock::new(live.connect_timeout),
            ping: false,
            is_held_back: false,
            drained_kib: 0,
            ended: None,
            live,
        }
    }

    /// One turn: does the present work up to a bound, and waits for more. The task is registered with the mailbox first. Every
    /// other source of events [wakes](mailbox::Mailbox::wake_for_everything) it through the mailbox.
    fn poll_turn<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Infallible, Box<SessionEnd>>> {
        let look = self.peer.mailbox.begin_turn(cx);
        let caller = Waker::from(Arc::clone(&self.peer));
        let cx = &mut Context::from_waker(&caller);
        let mut budget = WorkBudget(TURN_WORK);
        let turn = match look {
            TurnReason::Frames if !self.is_held_back => self.poll_write(socket, cx, &mut budget).map(drop),
            TurnReason::Frames => self.try_turn(None, socket, cx, &mut budget),
            TurnReason::Everything(mail) => self.try_turn(mail, socket, cx, &mut budget),
        };
        match turn {
            Ok(()) if budget.is_spent() => cx.waker().wake_by_ref(),
            Ok(()) => {}
            Err(end) => return Poll::Ready(Err(Box::new(end))),
        }
        Poll::Pending
    }

    fn try_turn<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mail: Option<Mail>,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
        budget: &mut WorkBudget,
    ) -> Result<(), SessionEnd> {
        if let Some(mail) = mail {
            self.process_mail(mail)?;
        }
        loop {
            let was_held_up = self.read(socket, cx, budget)?.is_break();
            self.is_held_back = was_held_up | self.recover(budget).is_break();
            // Behind the steps that may have asked a hook or the engine.
            let has_answers = self.poll_waiting(cx);
            self.is_held_back |= self.poll_calls(cx).is_break() | self.send_alarms().is_break();
            self.poll_clock(socket, cx)?;
            let has_written = self.poll_write(socket, cx, budget)?;
            if self.has_ended_calls()
                && let Some(ending) = self.extras.as_mut().and_then(|extras| extras.stopping.take())
            {
                return Err(SessionEnd::Ending(ending));
            }
            // Held back work may continue if there is room now, or an answer.
            let goes_on =
                has_answers || self.is_held_back && has_written || was_held_up && !self.is_held_up();
            if !goes_on || budget.is_spent() {
                return Ok(());
            }
        }
    }

    /// Processes the mail.
    fn process_mail(&mut self, Mail { orders, ending, is_aborted }: Mail) -> Result<(), SessionEnd> {
        if is_aborted {
            return Err(SessionEnd::Aborted);
        }
        match ending {
            Some(ending) if ending.lets_calls_end => {
                self.stop_streams();
                if self.has_ended_calls() {
                    return Err(SessionEnd::Ending(ending));
                }
                self.extras.get_or_insert_default().stopping.get_or_insert(ending);
            }
            Some(ending) => return Err(SessionEnd::Ending(ending)),
            None => {}
        }
        self.follow_orders(orders);
        Ok(())
    }

    /// Carries out the received commands, while the session is not [held up](Self::is_held_up). Everything is read before
    /// anything is written, so that all answers go out together.
    fn read<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
        budget: &mut WorkBudget,
    ) -> Result<ControlFlow<()>, SessionEnd> {
        let mut unread = self.unread.take().map_or_else(UnreadMessages::default, |unread| *unread);
        let flow = self.read_on(&mut unread, socket, cx, budget);
        if !unread.message.is_empty() || !unread.ahead.is_empty() {
            self.unread = Some(Box::new(unread));
        }
        flow
    }

    fn read_on<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        UnreadMessages { message, ahead }: &mut UnreadMessages,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
        budget: &mut WorkBudget,
    ) -> Result<ControlFlow<()>, SessionEnd> {
        while !budget.is_spent() {
            if self.is_held_up() {
                if ahead.is_empty() && !self.peer.mailbox.is_congested() {
                    *ahead = self.poll_message(socket, cx)?.unwrap_or_default();
                }
                return Ok(ControlFlow::Break(()));
            }
            if message.is_empty() {
                *message = std::mem::take(ahead);
            }
            if message.is_empty() {
                match self.poll_message(socket, cx)? {
                    Some(next) => *message = next,
                    None => break,
                }
            }
            let before = message.len();
            let command = self.peer.codec.next_command(message);
            let bytes = before.saturating_sub(message.len());
            match command {
                Some(Ok(_)) if bytes > self.largest_command() => return Err(CloseCode::TOO_LARGE.into()),
                Some(Ok(command)) => self.execute(command)?,
                Some(Err(error)) => return Err(bad_frame(error.to_string())),
                None => {}
            }
            budget.spend_on(bytes);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The next message that is not empty.
    fn poll_message<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Bytes>, SessionEnd> {
        while let Poll::Ready(incoming) = socket.poll_receive(cx)? {
            match incoming {
                Incoming::Close => return Err(SessionEnd::Closed),
                Incoming::Message(kind, _) if kind != Kind::from(self.peer.codec) => {
                    return Err(CloseCode::WRONG_MESSAGE_TYPE.into());
                }
                Incoming::Message(_, data) if !data.is_empty() => return Ok(Some(data)),
                // An empty message answers a ping: it is only a sign of life.
                Incoming::Message(..) | Incoming::Control => {}
            }
        }
        Ok(None)
    }

    /// The maximum size of a command.
    fn largest_command(&self) -> usize {
        match self.live.limits.message_bytes {
            0 => usize::MAX,
            limit => limit as usize,
        }
    }

    /// `true` if the next command has to wait for room in the queue, for the engine or for a hook.
    fn is_held_up(&self) -> bool {
        let mailbox = &self.peer.mailbox;
        self.stage == Stage::Connecting
            || self.pending_answers.as_ref().is_some_and(|waiting| waiting.holds_up(mailbox.limit()))
            || self.recoveries.as_ref().is_some_and(|recoveries| recoveries.unanswered() >= MAX_WAITING)
            || mailbox.is_congested()
    }

    /// Queues the earlier alarms that are not sent yet. Breaks if there is no room.
    fn send_alarms(&mut self) -> ControlFlow<()> {
        let Some(unsent) = self.extras.as_mut().and_then(|extras| extras.alarms.take()) else {
            return ControlFlow::Continue(());
        };
        let left = self.hub.ledgers().send_remaining(self.hub.around_alarms(), &self.peer, unsent);
        let flow = if left.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        if let Some(extras) = &mut self.extras {
            extras.alarms = left;
        }
        flow
    }

    /// Queues the answers of calls. Breaks if there is no room.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> ControlFlow<()> {
        let Some(calls) = &mut self.calls else { return ControlFlow::Continue(()) };
        while !self.peer.mailbox.is_congested() {
            let Poll::Ready(CallAnswer { command, result, is_alone }) = calls.poll_answer(cx) else {
                return ControlFlow::Continue(());
            };
            let reply = Reply { id: command, result: result.map(ReplyBody::Called) };
            if is_alone { answer(&self.peer, reply) } else { answer_in_line(&self.peer, reply) }
        }
        ControlFlow::Break(())
    }

    /// `true` if a stop has nothing more to wait for.
    fn has_ended_calls(&self) -> bool {
        self.calls.as_ref().is_none_or(|calls| calls.len() == 0)
            && self.pending_answers.as_ref().is_none_or(|waiting| waiting.is_empty())
            && self.recoveries.as_ref().is_none_or(|recoveries| recoveries.unanswered() == 0)
    }

    fn poll_clock<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionEnd> {
        if socket.take_sign_of_life() {
            let is_unfinished =
                socket.is_receiving() || self.extras.as_ref().is_some_and(|extras| extras.has_parts());
            self.ping |= self.clock.note_received(is_unfinished);
        }
        while let Poll::Ready(due) = self
            .clock
            .poll(cx, || is_busy(&self.subscriptions, self.calls.as_deref(), self.pending_answers.as_deref()))
        {
            match due {
                Due::Ping => self.ping = true,
                Due::Remind => self.push(Push::RefreshDue),
                Due::End(code) => return Err(code.into()),
            }
        }
        Ok(())
    }

    /// Writes as much as the socket takes. The task is woken when it takes more. Returns `true` if anything was written.
    fn poll_write<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
        budget: &mut WorkBudget,
    ) -> Result<bool, SessionEnd> {
        let kind = Kind::from(self.peer.codec);
        let (mut has_written, mut is_last) = (false, false);
        loop {
            match socket.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Err(fault.into()),
                Poll::Pending => {
                    self.drained_kib = 0;
                    return Ok(has_written);
                }
            }
            if is_last {
                return Ok(has_written);
            }
            // The answers of this turn go out in any case.
            if has_written && budget.is_spent() {
                return Ok(true);
            }
            if std::mem::take(&mut self.ping) {
                socket.queue_empty(kind);
            }
            let room = if self.drained_kib < FLOWING_KIB { SLOW_BATCH_BYTES } else { Limits::BATCH_BYTES };
            match socket.queue(kind, |take| self.peer.mailbox.take_batch(self.peer.codec, room, take)) {
                TakenBatch::Gaps(channels) => {
                    for channel in channels {
                        self.report_gap(&channel);
                    }
                    budget.spend_on(0);
                    continue;
                }
                TakenBatch::Empty => is_last = true,
                taken @ (TakenBatch::More | TakenBatch::Last) => {
                    let bytes = socket.queued_bytes();
                    self.clock.note_sent();
                    self.drained_kib =
                        self.drained_kib.saturating_add(u8::try_from(bytes / 1024).unwrap_or(u8::MAX));
                    budget.spend_on(bytes);
                    has_written = true;
                    is_last = taken == TakenBatch::Last;
                }
            }
        }
    }
}

/// `true` if something may come without another command.
fn is_busy(subscriptions: &Subscriptions, calls: Option<&Calls>, waiting: Option<&PendingAnswers>) -> bool {
    !subscriptions.is_empty()
        || calls.is_some_and(|calls| calls.len() > 0)
        || waiting.is_some_and(|waiting| !waiting.is_empty())
}

impl Session {
    /// Queues the reply to a command.
    fn reply(&self, id: u32, result: Result<ReplyBody, ErrorInfo>) {
        if let Err(error) = &result {
            self.hub.counters().error(error.code);
        }
        answer(&self.peer, Reply { id, result });
    }

    /// Notifies the observers of an event.
    fn notice(&self, event: impl FnOnce() -> SessionEvent) {
        let observers = &self.hub.settings().observers;
        if !observers.is_empty() {
            observers.notice(&self.context(), &event());
        }
    }

    /// Queues a push that belongs to no channel.
    fn push(&self, push: Push) {
        self.peer.mailbox.answer(Lane::Control, self.peer.codec.encode_frame(&ServerFrame::Push(push)));
    }
}

/// Queues a reply, if the command has an id. A large reply does not hold up later ones.
fn answer(peer: &Peer, reply: Reply) {
    if let Some(frame) = encode(peer, reply) {
        let lane = if frame.len() > Limits::BATCH_BYTES { Lane::Bulk } else { Lane::Control };
        peer.mailbox.answer(lane, frame);
    }
}

/// Queues a reply that later replies must not overtake.
fn answer_in_line(peer: &Peer, reply: Reply) {
    if let Some(frame) = encode(peer, reply) {
        peer.mailbox.answer(Lane::Control, frame);
    }
}

/// A reply in the session's codec; `None` for a command without an id.
fn encode(peer: &Peer, reply: Reply) -> Option<Bytes> {
    (reply.id != 0).then(|| peer.codec.encode_frame(&ServerFrame::Reply(reply)))
}

impl Drop for Session {
    fn drop(&mut self) {
        let was_counted = self.hub.session_registry().remove(self.peer.id);
        for (_, Subscription { channel, place, .. }) in self.subscriptions.iter() {
            self.hub.leave_channel(channel, *place, &self.peer, None);
        }
        if was_counted {
            self.hub.uncount_session(&self.peer);
        }
        if self.stage == Stage::Connected {
            self.notice(|| SessionEvent::Disconnected { code: self.ended });
        }
    }
}

impl WorkBudget {
    fn spend_on(&mut self, bytes: usize) {
        let kibibytes = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        self.0 = self.0.saturating_sub(kibibytes.saturating_add(1));
    }

    fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// The commands, and the kibibytes read and written, of one turn. A fast client gets no more than this before other sessions
/// have their turn.
const TURN_WORK: u32 = 128;

/// The message size for a line that is slow, or not known yet. At 1 KB/s such a message takes 16 seconds, less than a client
/// waits for a sign of life.
const SLOW_BATCH_BYTES: usize = 16 * 1024;

/// A socket that has taken this many KiB has really sent some of them: it buffers at most half of that.
const FLOWING_KIB: u8 = 64;

impl SessionEnd {
    /// The close code of the server, if it has sent a close first.
    fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Ending(ending) => Some(ending.code),
            Self::Violation(code, _) => Some(*code),
            Self::Closed | Self::Gone | Self::Aborted => None,
        }
    }
}

/// The end because of an unreadable frame.
fn bad_frame(reason: String) -> SessionEnd {
    SessionEnd::Ending(Ending { reason: reason.into(), ..CloseCode::BAD_FRAME.into() })
}

impl From<CloseCode> for SessionEnd {
    fn from(code: CloseCode) -> Self {
        Self::Ending(code.into())
    }
}

impl From<Ending> for SessionEnd {
    fn from(ending: Ending) -> Self {
        Self::Ending(ending)
    }
}

impl From<Fault> for SessionEnd {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Violation(code, reason) => Self::Violation(code, reason),
            Fault::Gone => Self::Gone,
        }
    }
}

#[cfg(test)]
mod tests;
