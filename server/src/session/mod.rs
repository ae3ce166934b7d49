//! A session: one task that reads commands, carries them out and writes what waits in its outbox.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use wirehub_common::DecodeError;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::{Answer, Command, ErrorInfo, Push, Reply, ServerFrame};

use self::calls::{Answered, Calls};
use self::extras::Extras;
use self::outbox::{Ending, Lane};
use self::pulse::{Beat, Pulse};
use self::subscriptions::{Subscription, Subscriptions};
use self::tasks::Tasks;
use self::token::Turn;
use crate::Hub;
use crate::events::SessionEvent;
use crate::hub::connections::Phase;
use crate::hub::live::Live;
use crate::hub::sessions::Peer;
use crate::rate::Rate;
use crate::socket::{Fault, Incoming, Kind, Socket};

mod calls;
mod commands;
mod decisions;
mod extras;
pub(crate) mod farewell;
mod idle;
pub(crate) mod outbox;
mod pulse;
mod subscriptions;
mod tasks;
mod token;

/// Serves the connection of `peer` until it ends. `open` is what counts it as open, and goes with it.
pub(crate) fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    hub: Hub,
    peer: Arc<Peer>,
    mut socket: Socket<S>,
    open: impl Sized,
) -> impl Future<Output = ()> {
    hub.counters().opened();
    // Not within the task, which would keep room for what it is made of.
    let mut session = Session::new(hub, peer);
    async move {
        let Err(end) = session.run(&mut socket).await;
        session.ended = end.code();
        let (hub, peer) = (session.hub.clone(), Arc::clone(&session.peer));
        // From here on nobody finds the session, and its calls are stopped.
        drop(session);
        tracing::debug!(session = %peer.id, ?end, "session ends");
        hub.counters().ended(end.code());
        // On the heap: an idle session's task need not have room for it.
        Box::pin(farewell::part(*end, &peer, &hub, &mut socket)).await;
        drop((socket, open));
    }
}

/// Everything about a session but its socket.
struct Session {
    hub: Hub,
    live: Arc<Live>,
    peer: Arc<Peer>,
    connected: bool,
    subscriptions: Subscriptions,
    calls: Option<Box<Calls>>,
    tasks: Option<Box<Tasks>>,
    extras: Option<Box<Extras>>,
    /// The next message, read while the session was held up.
    ahead: Option<Bytes>,
    ahead_kind: Kind,
    pulse: Pulse,
    /// An empty message is due.
    ping: bool,
    /// What the server closes with.
    ended: Option<CloseCode>,
}

/// How far the commands of a message are.
enum Progress {
    Done,
    /// So many more have been carried out; the others wait.
    HeldUp {
        done: usize,
    },
}

/// A message some of whose commands have been carried out.
struct HeldUp {
    message: Bytes,
    done: usize,
}

/// Why a session ends.
#[derive(Debug)]
enum End {
    /// It is told to, or it broke a rule of Wirehub.
    Ending(Ending),
    /// It broke a rule of WebSocket: what it sends can't be understood any more.
    Violation(CloseCode, String),
    /// The client closed.
    Closed,
    /// The connection is gone.
    Gone,
}

impl Session {
    fn new(hub: Hub, peer: Arc<Peer>) -> Self {
        let live = hub.live();
        hub.session_registry().add(Arc::clone(&peer));
        let extras = live.commands_per_second.map(|per_second| {
            let rate = Some(Rate::new(per_second, Instant::now()));
            Box::new(Extras { rate, ..Extras::default() })
        });
        Self {
            hub,
            peer,
            connected: false,
            subscriptions: Subscriptions::default(),
            calls: None,
            tasks: None,
            extras,
            ahead: None,
            ahead_kind: Kind::Binary,
            pulse: Pulse::new(live.connect_timeout),
            ping: false,
            ended: None,
            live,
        }
    }

    /// Runs until the session ends. What it seldom needs is on the heap: an idle session's task need not have room for it.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
    ) -> Result<Infallible, Box<End>> {
        // A hub that began to stop before the session was in its registry did not see it there.
        if self.hub.connections().phase() != Phase::Running {
            return Err(Box::new(End::Ending(crate::hub::shutdown_ending(0))));
        }
        loop {
            let held_up = poll_fn(|cx| self.poll_held_up(socket, cx)).await?;
            Box::pin(self.carry_out_rest(held_up, socket)).await?;
        }
    }

    /// Carries out what comes, until it is held up with a message.
    fn poll_held_up<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<HeldUp>, Box<End>>> {
        loop {
            let (kind, message) = ready!(self.poll_message(socket, cx))?;
            if let Progress::HeldUp { done } = self.carry_out(kind, &message)? {
                return Poll::Ready(Ok(Box::new(HeldUp { message, done })));
            }
        }
    }

    /// Carries out the commands of one message, up to the last or until the session is [held
    /// up](Self::is_held_up).
    fn carry_out(&mut self, kind: Kind, message: &Bytes) -> Result<Progress, End> {
        let codec = self.peer.codec;
        if kind != Kind::from(codec) {
            return Err(CloseCode::WRONG_MESSAGE_TYPE.into());
        }
        self.carry_out_some(&mut codec.decode_commands(message))
    }

    /// Carries out the other commands of a message, as the session is relieved.
    async fn carry_out_rest<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        held_up: Box<HeldUp>,
        socket: &mut Socket<S>,
    ) -> Result<(), Box<End>> {
        let HeldUp { message, done } = *held_up;
        let codec = self.peer.codec;
        let mut rest = codec.decode_commands(&message).skip(done);
        loop {
            poll_fn(|cx| self.poll_relief(socket, cx)).await?;
            if let Progress::Done = self.carry_out_some(&mut rest)? {
                return Ok(());
            }
        }
    }

    fn carry_out_some(
        &mut self,
        commands: &mut impl Iterator<Item = Result<Command, DecodeError>>,
    ) -> Result<Progress, End> {
        for (command, done) in commands.zip(1..) {
            let command = command.map_err(|error| Ending {
                reason: error.to_string().into(),
                ..CloseCode::BAD_FRAME.into()
            })?;
            self.execute(command)?;
            if self.is_held_up() {
                return Ok(Progress::HeldUp { done });
            }
        }
        Ok(Progress::Done)
    }

    /// The next message with content. What has arrived is read before anything is written, so that all answers to
    /// it go out together.
    fn poll_message<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Kind, Bytes), End>> {
        loop {
            self.follow_orders();
            self.poll_tasks(cx);
            let calls_wait = self.poll_calls(cx).is_break();
            let alarms_wait = self.send_alarms().is_break();
            if self.peer.outbox.has_batch() {
                self.poll_write(socket, cx)?;
            }
            let held_up = self.is_held_up();
            self.poll_ahead(socket, cx)?;
            if !held_up && let Some(message) = self.ahead.take() {
                return Poll::Ready(Ok((self.ahead_kind, message)));
            }
            self.poll_pulse(socket, cx)?;
            self.poll_write(socket, cx)?;
            // What was held back because of the congestion is not waited for yet.
            let held_back = held_up || calls_wait || alarms_wait;
            if !held_back || self.is_held_up() {
                return Poll::Pending;
            }
        }
    }

    /// Ready when enough has been written, and the engine has answered enough, for the session to go on.
    fn poll_relief<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        self.follow_orders();
        self.poll_tasks(cx);
        self.poll_ahead(socket, cx)?;
        self.poll_pulse(socket, cx)?;
        self.poll_write(socket, cx)?;
        if self.is_held_up() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Reads the next message, unless there is no room for its answers. Also while the session waits for something else:
    /// or it would not see that its client has gone.
    fn poll_ahead<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        while self.ahead.is_none() && !self.peer.outbox.is_congested() {
            let Poll::Ready(incoming) = socket.poll_receive(cx)? else { break };
            match incoming {
                Incoming::Close => return Err(End::Closed),
                Incoming::Message(kind, data) if !data.is_empty() => {
                    self.ahead = Some(data);
                    self.ahead_kind = kind;
                }
                // An empty message answers a ping: it was a sign of life.
                Incoming::Message(..) | Incoming::Control => {}
            }
        }
        Ok(())
    }

    /// Whether the next command has to wait: for room in the queue, or for the engine.
    fn is_held_up(&self) -> bool {
        let outbox = &self.peer.outbox;
        outbox.is_congested() || self.tasks.as_ref().is_some_and(|tasks| tasks.hold_up(outbox.limit()))
    }

    /// Queues the alarms of before that are still to be sent. Breaks off where there is no room for more.
    fn send_alarms(&mut self) -> ControlFlow<()> {
        let Some(unsent) = self.extras.as_mut().and_then(|extras| extras.alarms.take()) else {
            return ControlFlow::Continue(());
        };
        let left = self.hub.ledgers().greet_on(&self.peer, unsent);
        let flow = if left.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        if let Some(extras) = &mut self.extras {
            extras.alarms = left;
        }
        flow
    }

    /// Queues what calls answer. Breaks off where there is no room for more.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> ControlFlow<()> {
        let Some(calls) = &mut self.calls else { return ControlFlow::Continue(()) };
        while !self.peer.outbox.is_congested() {
            let Poll::Ready(Answered { command, result }) = calls.poll_answered(cx) else {
                return ControlFlow::Continue(());
            };
            answer(&self.peer, Reply { id: command, result: result.map(Answer::Called) });
        }
        ControlFlow::Break(())
    }

    fn poll_pulse<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        if socket.take_sign_of_life() {
            self.pulse.note_received();
        }
        while let Some(Poll::Ready(turn)) = self.extras.as_mut().map(|extras| extras.poll_token(cx)) {
            match turn {
                Turn::Remind => self.push(Push::RefreshDue),
                Turn::Expired => return Err(CloseCode::TOKEN_EXPIRED.into()),
            }
        }
        let is_busy = self.is_busy();
        if self.extras.as_mut().is_some_and(|extras| extras.poll_idle(cx, is_busy).is_ready()) {
            return Err(CloseCode::IDLE.into());
        }
        while let Poll::Ready(beat) = self.pulse.poll(cx) {
            match beat {
                Beat::Ping => self.ping = true,
                Beat::Lost(code) => return Err(code.into()),
            }
        }
        Ok(())
    }

    /// Whether something may come without another command.
    fn is_busy(&self) -> bool {
        !self.subscriptions.is_empty()
            || self.calls.as_ref().is_some_and(|calls| calls.len() > 0)
            || self.tasks.as_ref().is_some_and(|tasks| !tasks.is_empty())
    }

    /// Writes as much as the socket takes. The task is woken when it takes more, or when there is more, or when the
    /// session has to end.
    fn poll_write<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let kind = Kind::from(self.peer.codec);
        let outbox = &self.peer.outbox;
        loop {
            match socket.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Err(fault.into()),
                Poll::Pending => {
                    return match outbox.poll_ending(cx) {
                        Poll::Ready(ending) => Err(End::Ending(ending)),
                        Poll::Pending => Ok(()),
                    };
                }
            }
            if std::mem::take(&mut self.ping) {
                socket.queue_empty(kind);
            }
            match socket.queue(kind, |take| outbox.poll_batch(cx, take)) {
                Poll::Ready(Ok(())) => self.pulse.note_sent(),
                Poll::Ready(Err(ending)) => return Err(End::Ending(ending)),
                Poll::Pending if socket.queued_bytes() == 0 => return Ok(()),
                Poll::Pending => {}
            }
        }
    }
}

impl Session {
    /// Queues an answer that the engine, or the rules, gave.
    fn reply(&self, id: u32, result: Result<Answer, ErrorInfo>) {
        if let Err(error) = &result {
            self.hub.counters().error(error.code);
        }
        answer(&self.peer, Reply { id, result });
    }

    /// Tells those who want to know it what has happened.
    fn notice(&self, event: impl FnOnce() -> SessionEvent) {
        let observers = &self.hub.settings().observers;
        if !observers.is_empty() {
            observers.notice(&self.context(), &event());
        }
    }

    /// Queues a push that belongs to no channel.
    fn push(&self, push: Push) {
        self.peer.outbox.answer(Lane::Control, self.peer.codec.encode_frame(&ServerFrame::Push(push)));
    }
}

/// Queues a reply, where the command wants one.
fn answer(peer: &Peer, reply: Reply) {
    if let Some(frame) = encode(peer, reply) {
        peer.outbox.answer(Lane::Control, frame);
    }
}

/// A reply in the session's codec; none for a command without an id.
fn encode(peer: &Peer, reply: Reply) -> Option<Bytes> {
    (reply.id != 0).then(|| peer.codec.encode_frame(&ServerFrame::Reply(reply)))
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.session_registry().remove(self.peer.id);
        for (_, Subscription { channel, .. }) in self.subscriptions.iter() {
            self.hub.channel_registry().unsubscribe(channel, &self.peer, None);
        }
        if self.connected {
            self.notice(|| SessionEvent::Disconnected { code: self.ended });
        }
    }
}

impl End {
    /// What the server closes with; nothing where the client did, or is gone.
    fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Ending(ending) => Some(ending.code),
            Self::Violation(code, _) => Some(*code),
            Self::Closed | Self::Gone => None,
        }
    }
}

impl From<CloseCode> for End {
    fn from(code: CloseCode) -> Self {
        Self::Ending(code.into())
    }
}

impl From<Ending> for End {
    fn from(ending: Ending) -> Self {
        Self::Ending(ending)
    }
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Violation(code, reason) => Self::Violation(code, reason),
            Fault::Gone => Self::Gone,
        }
    }
}

#[cfg(test)]
mod tests;
