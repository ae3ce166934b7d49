//! Publishes and calls: each ends exactly once.
//!
//! A publish or call that was sent and not answered when the connection broke is in doubt. Over the next connection it
//! is repeated if the server still knows its key; otherwise it fails. See [`keys`](super::keys).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use wirehub_common::code::ErrorCode;
use wirehub_common::view::{Body, Called};
use wirehub_common::{Bytes, compose};

use super::Core;
use super::keys::{Keys, Memory, MemoryMark};
use super::outgoing::{Arriving, Upload, start_of, too_large};
use crate::{Error, ErrorKind, Listener, OutcomeView, Time};

/// The id of a publish or a call of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub(crate) u32);

impl CommandId {
    /// The id as a number: unique within its client.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The id with this number, for a driver that passes numbers to another language.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// Options of a publish or a call. A plain timeout [converts](From) into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SendOptions {
    /// The time limit, including the time offline; the configured one if there is none. It starts anew with each sign
    /// of progress for a command that goes out in parts, for the commands behind it, and for a command whose answer
    /// comes in parts. For those it bounds the time without progress.
    pub timeout: Option<Duration>,
    /// Fails at once with [`NOT_CONNECTED`](ErrorCode::NOT_CONNECTED) instead of waiting for a connection.
    pub fail_fast: bool,
}

impl SendOptions {
    /// Options with this timeout; `fail_fast` makes the command fail at once without a connection.
    pub const fn new(timeout: Option<Duration>, fail_fast: bool) -> Self {
        Self { timeout, fail_fast }
    }
}

impl From<Option<Duration>> for SendOptions {
    fn from(timeout: Option<Duration>) -> Self {
        Self { timeout, fail_fast: false }
    }
}

/// The commands that are not sent or have not ended, in the order in which they go out. The caller that adds commands
/// enforces the bounds.
#[derive(Debug)]
pub(super) struct Commands {
    /// Ascending by id, beginning with the oldest. They are in boxes because there can be many, and they are moved.
    #[allow(clippy::vec_box, reason = "as the docs say")]
    pub(super) pending: Vec<Box<Pending>>,
    /// Whether some may have to be sent.
    pub(super) has_queued: bool,
    /// The command that is going out in parts.
    pub(super) upload: Option<Upload>,
    /// The commands that went out in parts and may not have arrived yet.
    pub(super) arriving: Vec<Arriving>,
    /// How many bytes of commands the transport was given; the count starts over after the largest number.
    pub(super) passed: usize,
    /// A lower bound of the deadlines.
    soonest: Time,
    /// The size in bytes of the encoded commands that are kept.
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: u32,
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    fail_fast: bool,
    pub(super) deadline: Time,
    pub(super) timeout: Duration,
    queued: Time,
    /// The encoded command, kept for as long as it may have to be sent.
    pub(super) frame: Bytes,
    /// The earliest moment at which the server may have stored its key.
    first_sent: Option<MemoryMark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Publish,
    /// A publish with a key of the application's. The server may have got the key earlier.
    KeyedPublish,
    Call,
    /// A call with any number of responses.
    Stream,
    /// A command without an effect, such as reading history.
    Question,
    /// A question for the time that its answer takes.
    Ping,
    /// A command that may be carried out twice.
    Acknowledgement,
    /// A command that matters to this connection only, and whose end is not awaited. There are not more of them than of
    /// the subscriptions and commands that they concern.
    Transient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    Sent,
    /// It was sent over a connection that is lost. Only the server knows whether it was carried out.
    InDoubt,
}

impl Kind {
    /// Whether it may go out between the parts of a large command.
    pub(super) fn is_urgent(self) -> bool {
        matches!(self, Self::Transient | Self::Acknowledgement | Self::Ping)
    }

    /// The server's memory of the command's key.
    fn memory(self, keys: &Keys) -> Option<&Memory> {
        match self {
            Self::Publish | Self::KeyedPublish => Some(&keys.of_publishes),
            Self::Call => Some(&keys.of_calls),
            Self::Stream | Self::Question | Self::Ping | Self::Acknowledgement | Self::Transient => None,
        }
    }
}

impl Pending {
    /// Whether it can be sent again over another connection.
    fn is_repeatable(&self) -> bool {
        self.first_sent.is_some() || self.kind == Kind::Acknowledgement && !self.fail_fast
    }

    /// Whether it was sent before and the server may have forgotten its key.
    pub(super) fn is_forgotten(&self, keys: &Keys, heard: Time) -> bool {
        let memory = self.kind.memory(keys);
        // The application repeats within the other half.
        let share = if self.kind == Kind::KeyedPublish { 2 } else { 1 };
        let remembers = |mark| memory.is_some_and(|memory| memory.remembers(mark, heard, share));
        self.first_sent.is_some_and(|mark| !remembers(mark))
    }

    /// Notes that the transport has the command, and that it was not sent before `heard`.
    pub(super) fn sent(&mut self, keys: &Keys, heard: Time) {
        self.phase = Phase::Sent;
        if let Some(memory) = self.kind.memory(keys)
            && !self.fail_fast
            && self.first_sent.is_none()
        {
            self.first_sent = memory.mark(self.queued.max(heard));
        }
    }

    /// Drops the encoded command if it will not be sent again. Returns how many of the counted bytes that frees.
    pub(super) fn forget_unrepeatable(&mut self) -> usize {
        if self.is_repeatable() {
            return 0;
        }
        let frame = core::mem::take(&mut self.frame);
        if self.kind == Kind::Transient { 0 } else { frame.len() }
    }
}

impl Commands {
    pub(super) const fn new() -> Self {
        Self {
            pending: Vec::new(),
            has_queued: false,
            upload: None,
            arriving: Vec::new(),
            passed: 0,
            soonest: Time::NEVER,
            bytes: 0,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.soonest
    }

    /// Whether there is nothing to send and no answer to wait for.
    pub(super) fn are_over(&self) -> bool {
        self.pending.is_empty() && self.upload.is_none()
    }

    fn push(&mut self, pending: Pending) {
        self.soonest = self.soonest.min(pending.deadline);
        if pending.kind != Kind::Transient {
            self.bytes = self.bytes.saturating_add(pending.frame.len());
        }
        self.has_queued = true;
        self.pending.push(Box::new(pending));
    }

    /// The index of a command that has not ended.
    fn find(&self, id: u32) -> Option<usize> {
        find(&self.pending, id)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Pending> {
        let index = self.find(id)?;
        self.pending.get_mut(index).map(|pending| &mut **pending)
    }

    fn remove(&mut self, id: u32) -> bool {
        let Some(index) = self.find(id) else { return false };
        let pending = self.pending.remove(index);
        release(&mut self.bytes, pending.frame.len());
        if let Some(upload) = self.upload.as_mut().filter(|upload| upload.progress.command == id) {
            upload.orphan = Some(pending.frame);
        }
        if self.pending.is_empty() {
            self.soonest = Time::NEVER;
        }
        true
    }

    /// The commands whose time is over.
    fn expired(&mut self, now: Time) -> Vec<u32> {
        let mut expired = Vec::new();
        if self.soonest > now {
            return expired;
        }
        self.soonest = Time::NEVER;
        for pending in &self.pending {
            if pending.deadline <= now {
                expired.push(pending.id);
            } else {
                self.soonest = self.soonest.min(pending.deadline);
            }
        }
        expired
    }
}

impl<L: Listener> Core<L> {
    /// Begins a command and returns its id.
    ///
    /// # Errors
    /// The client is closed; or the command does not wait, and the client is not connected.
    pub(super) fn begin(&mut self, options: SendOptions) -> Result<u32, Error> {
        self.refuse_when_closed()?;
        if options.fail_fast && !self.is_up() {
            return Err(Error::from_code(ErrorKind::Connection, ErrorCode::NOT_CONNECTED));
        }
        Ok(self.next_id())
    }

    /// Queues a command. It goes out as soon as it can.
    pub(super) fn queue(
        &mut self,
        now: Time,
        id: u32,
        kind: Kind,
        frame: Bytes,
        SendOptions { timeout, fail_fast }: SendOptions,
    ) -> Result<CommandId, Error> {
        self.refuse_too_large(frame.len().saturating_sub(start_of(&frame)))?;
        if !self.has_room(frame.len()) {
            return Err(self.queue_full(frame.len()));
        }
        let timeout = timeout.unwrap_or(match kind {
            // A user's acknowledgement waits however long the client is offline.
            Kind::Acknowledgement => Duration::MAX,
            _ => self.config.command_timeout,
        });
        let deadline = now.after(timeout);
        let phase = Phase::Queued;
        self.commands.push(Pending {
            id,
            kind,
            phase,
            fail_fast,
            deadline,
            timeout,
            queued: now,
            frame,
            first_sent: None,
        });
        Ok(CommandId(id))
    }

    /// Refuses a command that the server does not accept, before it is encoded.
    ///
    /// # Errors
    /// The command has more bytes than the server accepts.
    pub(super) fn refuse_too_large(&self, bytes: usize) -> Result<(), Error> {
        // Before the first connect the limit is unknown.
        let is_known = !self.session.is_empty();
        if is_known && bytes > self.command_bound() { Err(too_large(self.command_bound())) } else { Ok(()) }
    }

    pub(super) fn queue_full(&self, bytes: usize) -> Error {
        if bytes > self.config.send_queue && bytes > self.largest() {
            let words = "the message is larger than the send queue, and the server's limit is unknown \
                before the first connect: wait for it";
            return Error::in_words(ErrorKind::Usage, ErrorCode::QUEUE_FULL, words);
        }
        Error::from_code(ErrorKind::Usage, ErrorCode::QUEUE_FULL)
    }

    /// Whether a command of `bytes` bytes may wait. A command that is larger than the queue has room of its own, one at
    /// a time, so that every command that the server accepts can be sent.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let Self { config, commands, .. } = self;
        if commands.pending.len() >= config.max_commands {
            return false;
        }
        if commands.bytes.saturating_add(bytes) <= config.send_queue {
            return true;
        }
        let mut large = 0_usize;
        for pending in &commands.pending {
            let size = pending.frame.len();
            if size > config.send_queue && pending.kind != Kind::Transient {
                large = large.saturating_add(size);
            }
        }
        if bytes > config.send_queue {
            large == 0 && bytes <= self.largest()
        } else {
            commands.bytes.saturating_sub(large).saturating_add(bytes) <= config.send_queue
        }
    }

    /// The largest size of a command, including its delimiter, as far as it is known.
    fn largest(&self) -> usize {
        self.command_bound().saturating_add(DELIMITER_BYTES)
    }

    /// Sends a command over this connection or not at all.
    pub(super) fn send_transient(&mut self, frame: Bytes) {
        let id = self.next_id();
        self.commands.push(Pending {
            id,
            kind: Kind::Transient,
            phase: Phase::Queued,
            fail_fast: false,
            deadline: Time::NEVER,
            timeout: Duration::ZERO,
            queued: Time::ZERO,
            frame,
            first_sent: None,
        });
    }

    pub(super) fn is_command(&self, id: u32) -> bool {
        self.commands.find(id).is_some()
    }

    /// Handles the server's answer to a command. It ends the command unless more answers follow.
    pub(super) fn answer(&mut self, now: Time, command: u32, answer: Body<'_>) {
        let Some(pending) = self.commands.get_mut(command) else { return };
        let result = match answer {
            Body::Cancelled if pending.kind == Kind::Ping => {
                Ok(OutcomeView::Answered(now.since(pending.queued)))
            }
            Body::Called(called) if pending.kind == Kind::Stream => return self.respond(command, called),
            Body::Called(called) if called.more() => {
                let words = "the procedure streams its responses: call it as a stream";
                let error = Error::in_words(ErrorKind::Usage, ErrorCode::UNSUPPORTED, words);
                return self.abandon(command, error);
            }
            Body::Called(called) => Ok(OutcomeView::Called(called)),
            Body::Published(published) => Ok(OutcomeView::Published(published)),
            Body::History(page) => Ok(OutcomeView::History(page)),
            Body::Presence(list) => Ok(OutcomeView::Presence(list)),
            Body::Acknowledged => Ok(OutcomeView::Acknowledged),
            Body::Error(error) => Err(error.into()),
            _ => Err(Error::from_code(ErrorKind::Server, ErrorCode::UNSUPPORTED)),
        };
        self.complete(command, result);
    }

    /// Passes on one response of a stream. A procedure with a single response is a stream of one.
    fn respond(&mut self, command: u32, called: Called<'_>) {
        let payload = called.payload();
        if called.more() || !payload.is_absent() {
            // The timeout is for the first response only.
            if let Some(pending) = self.commands.get_mut(command) {
                pending.deadline = Time::NEVER;
            }
            self.listener.response(CommandId(command), payload);
        }
        if !called.more() {
            self.complete(command, Ok(OutcomeView::Streamed));
        }
    }

    /// Ends a command before its answer. A call that may be running is cancelled on the server.
    pub(super) fn abandon(&mut self, command: u32, error: Error) {
        let Some(pending) = self.commands.get_mut(command) else { return };
        let is_call = matches!(pending.kind, Kind::Call | Kind::Stream);
        let is_sent = pending.phase == Phase::Sent;
        let upload = self.commands.upload.as_mut();
        if let Some(upload) = upload.filter(|upload| upload.progress.command == command) {
            // The server does not know the call before its last part.
            upload.is_cancelled = is_call;
        } else if is_call && is_sent && self.is_up() {
            self.send_transient(compose::cancel(0, command));
        }
        self.complete(command, Err(error));
    }

    pub(super) fn expire_commands(&mut self, now: Time) {
        for command in self.commands.expired(now) {
            self.abandon(command, Error::from_code(ErrorKind::Connection, ErrorCode::TIMEOUT));
        }
    }

    /// Decides about every command after the connection is lost. Commands that were not sent go out over the next
    /// connection, if they may wait. Commands that were sent may or may not have been carried out: they are repeated,
    /// or end with an error.
    pub(super) fn settle_after_loss(&mut self) {
        self.commands.stop_sending();
        self.end_each(|pending, _| match pending.phase {
            _ if pending.is_repeatable() => None,
            Phase::Queued => pending.fail_fast.then_some(ErrorCode::NOT_CONNECTED),
            Phase::Sent | Phase::InDoubt => Some(ErrorCode::CONNECTION_LOST),
        });
        // The commands that would cancel those at the server.
        self.commands.stop_sending();
        for pending in &mut self.commands.pending {
            if pending.first_sent.is_some() || pending.phase == Phase::Sent {
                pending.phase = Phase::InDoubt;
            }
        }
    }

    /// Handles a session of another user than before. Commands sent as one user are not repeated as another, and
    /// neither are acknowledgements.
    pub(super) fn settle_as_other_user(&mut self) {
        self.end_each(|pending, _| match (pending.kind, pending.phase) {
            (Kind::Acknowledgement, _) => Some(ErrorCode::UNKNOWN_ALARM),
            (_, Phase::InDoubt) => Some(ErrorCode::CONNECTION_LOST),
            _ => None,
        });
        self.forget_acknowledged();
    }

    /// Repeats the commands in doubt, ahead of every command that was not sent yet. Ends those that the server may have
    /// forgotten.
    pub(super) fn settle_doubts(&mut self) {
        let heard = self.link.heard();
        self.end_each(|pending, keys| {
            let forgotten = pending.phase == Phase::InDoubt && pending.is_forgotten(keys, heard);
            forgotten.then_some(ErrorCode::CONNECTION_LOST)
        });
        for pending in &mut self.commands.pending {
            if pending.phase == Phase::InDoubt {
                pending.phase = Phase::Queued;
            }
        }
        self.commands.has_queued = true;
    }

    /// Ends the commands for which `error` returns an error.
    fn end_each(&mut self, error: impl Fn(&Pending, &Keys) -> Option<ErrorCode>) {
        let mut ended = Vec::new();
        for pending in &self.commands.pending {
            if let Some(code) = error(pending, &self.keys) {
                ended.push((pending.id, code));
            }
        }
        for (command, code) in ended {
            self.abandon(command, Error::from_code(ErrorKind::Connection, code));
        }
    }

    pub(super) fn fail_all_commands(&mut self) {
        for pending in core::mem::replace(&mut self.commands, Commands::new()).pending {
            if pending.kind != Kind::Transient {
                let error = Error::from_code(ErrorKind::Connection, ErrorCode::CLOSED);
                self.listener.completed(CommandId(pending.id), Err(error));
            }
        }
    }

    pub(super) fn complete(&mut self, command: u32, result: Result<OutcomeView<'_>, Error>) {
        if self.commands.remove(command) {
            self.settle_acknowledgement(command, &result);
            self.listener.completed(CommandId(command), result);
        }
    }
}

/// The index of a command among those that have not ended.
pub(super) fn find(pending: &[Box<Pending>], id: u32) -> Option<usize> {
    // Ids start over after the largest one.
    let first = pending.first()?.id;
    let index =
        pending.binary_search_by_key(&id.wrapping_sub(first), |pending| pending.id.wrapping_sub(first));
    index.ok().filter(|&index| pending.get(index).is_some_and(|found| found.kind != Kind::Transient))
}

/// Subtracts `bytes` from the count of kept bytes.
pub(super) fn release(counted: &mut usize, bytes: usize) {
    debug_assert!(bytes <= *counted, "{bytes} bytes of {counted}");
    *counted = counted.saturating_sub(bytes);
}

/// The largest size of a delimiter.
const DELIMITER_BYTES: usize = 5;
