//! Publishes and calls: each ends exactly once.
//!
//! A publish or call that was sent and not answered when the connection broke is in doubt. Over the next connection it is
//! repeated where the server still knows its key, and fails where it may not; see [`keys`](super::keys).

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

/// Names a publish or a call of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub(crate) u32);

impl CommandId {
    /// The id as a number: unique within its client.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The id with this number, for a driver that hands numbers to another language.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// How a publish or a call is treated. A plain timeout [converts](From) into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SendOptions {
    /// How long it may take, the time offline included; without one, as configured. For a command that is so large that
    /// it goes out in parts, for those that wait behind it, and for one whose answer comes in parts, it is counted anew from
    /// each sign that these get on: it bounds how long nothing moves.
    pub timeout: Option<Duration>,
    /// Fails at once with [`NOT_CONNECTED`](ErrorCode::NOT_CONNECTED) instead of waiting for a connection.
    pub fail_fast: bool,
}

impl SendOptions {
    /// With this timeout, and whether to fail at once without a connection.
    pub const fn new(timeout: Option<Duration>, fail_fast: bool) -> Self {
        Self { timeout, fail_fast }
    }
}

impl From<Option<Duration>> for SendOptions {
    fn from(timeout: Option<Duration>) -> Self {
        Self { timeout, fail_fast: false }
    }
}

/// What has not been sent and what has not ended, in the order in which it goes out. Who puts commands here keeps the
/// bounds.
#[derive(Debug)]
pub(super) struct Commands {
    /// By their ids, ascending from the first one's; in boxes, because they are many at times, and move.
    #[allow(clippy::vec_box, reason = "as the docs say")]
    pub(super) pending: Vec<Box<Pending>>,
    /// Some may have to be sent.
    pub(super) has_queued: bool,
    /// What goes out in parts.
    pub(super) upload: Option<Upload>,
    /// What went out in parts and may not have arrived.
    pub(super) arriving: Vec<Arriving>,
    /// No deadline is before this one.
    soonest: Time,
    /// How many bytes the encoded commands have that are kept.
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
    /// The encoded command, as long as it may have to be sent.
    pub(super) frame: Bytes,
    /// Where the server may remember it from.
    first_sent: Option<MemoryMark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Publish,
    Call,
    /// A call with any number of responses.
    Stream,
    /// Something that changes nothing.
    Question,
    /// Something that may be done twice.
    Acknowledgement,
    /// Something that has a meaning in this connection only, and whose end nobody waits for. There are not more of them
    /// than of the subscriptions and commands that they are about.
    Transient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    Sent,
    /// It was sent over a connection that is lost: only the server knows whether it was carried out.
    InDoubt,
}

impl Kind {
    /// Whether it goes out between the parts of a large command.
    pub(super) fn is_urgent(self) -> bool {
        matches!(self, Self::Transient | Self::Acknowledgement)
    }

    /// What the server remembers such a command by.
    fn memory(self, keys: &Keys) -> Option<&Memory> {
        match self {
            Self::Publish => Some(&keys.of_publishes),
            Self::Call => Some(&keys.of_calls),
            Self::Stream | Self::Question | Self::Acknowledgement | Self::Transient => None,
        }
    }
}

impl Pending {
    /// Whether it can go out again over another connection after it was sent.
    fn is_repeatable(&self) -> bool {
        self.first_sent.is_some() || self.kind == Kind::Acknowledgement && !self.fail_fast
    }

    /// Whether the server may not remember it any more, to which it was sent before.
    pub(super) fn is_forgotten(&self, keys: &Keys, heard: Time) -> bool {
        let memory = self.kind.memory(keys);
        let remembers = |mark| memory.is_some_and(|memory| memory.remembers(mark, heard));
        self.first_sent.is_some_and(|mark| !remembers(mark))
    }

    /// It is in the transport, and was not sent before `heard`.
    pub(super) fn sent(&mut self, keys: &Keys, heard: Time) {
        self.phase = Phase::Sent;
        if let Some(memory) = self.kind.memory(keys)
            && !self.fail_fast
            && self.first_sent.is_none()
        {
            self.first_sent = memory.mark(self.queued.max(heard));
        }
    }

    /// Gives up the encoded command where that will not go out again; how many bytes that is of those that count.
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
            soonest: Time::NEVER,
            bytes: 0,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.soonest
    }

    fn push(&mut self, pending: Pending) {
        self.soonest = self.soonest.min(pending.deadline);
        if pending.kind != Kind::Transient {
            self.bytes = self.bytes.saturating_add(pending.frame.len());
        }
        self.has_queued = true;
        self.pending.push(Box::new(pending));
    }

    /// Where a command is that somebody waits for.
    fn find(&self, id: u32) -> Option<usize> {
        // Ids start over after the last one.
        let first = self.pending.first()?.id;
        let index = self
            .pending
            .binary_search_by_key(&id.wrapping_sub(first), |pending| pending.id.wrapping_sub(first));
        index.ok().filter(|&index| self.pending.get(index).is_some_and(|found| found.kind != Kind::Transient))
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Pending> {
        let index = self.find(id)?;
        self.pending.get_mut(index).map(|pending| &mut **pending)
    }

    fn remove(&mut self, id: u32) -> bool {
        let Some(index) = self.find(id) else { return false };
        let pending = self.pending.remove(index);
        release(&mut self.bytes, pending.frame.len());
        if let Some(upload) = self.upload.as_mut().filter(|upload| upload.command == id) {
            upload.orphan = Some(pending.frame);
        }
        if self.pending.is_empty() {
            self.soonest = Time::NEVER;
        }
        true
    }

    /// Those whose time is over.
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
    /// The id of a command that is begun.
    ///
    /// # Errors
    /// The client is closed, or not connected where the command does not wait.
    pub(super) fn begin(&mut self, options: SendOptions) -> Result<u32, Error> {
        self.refuse_when_closed()?;
        if options.fail_fast && !self.is_up() {
            return Err(Error::from_code(ErrorKind::Connection, ErrorCode::NOT_CONNECTED));
        }
        Ok(self.next_id())
    }

    /// Queues a command that goes out as soon as it can.
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
            // However long the client is away: it is somebody's word.
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

    /// Refuses what the server does not take, before more is made of it.
    ///
    /// # Errors
    /// The server does not take so many bytes.
    pub(super) fn refuse_too_large(&self, bytes: usize) -> Result<(), Error> {
        // Before the first connect nobody knows.
        let is_known = !self.session.is_empty();
        if is_known && bytes > self.command_bound() { Err(too_large(self.command_bound())) } else { Ok(()) }
    }

    fn queue_full(&self, bytes: usize) -> Error {
        if bytes > self.config.send_queue && bytes > self.largest() {
            let words = "the message is larger than the send queue, and what the server takes is not known \
                before the first connect: wait for that";
            return Error::in_words(ErrorKind::Usage, ErrorCode::QUEUE_FULL, words);
        }
        Error::from_code(ErrorKind::Usage, ErrorCode::QUEUE_FULL)
    }

    /// Whether one more command of so many bytes may wait. One that is larger than the queue has room of its own, for one
    /// of them at a time: what the server takes can be sent.
    fn has_room(&self, bytes: usize) -> bool {
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

    /// How many bytes a command may have, its delimiter included, as far as is known.
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

    /// Takes the server's answer to a command, which ends it unless more follow.
    pub(super) fn answer(&mut self, command: u32, answer: Body<'_>) {
        let Some(pending) = self.commands.get_mut(command) else { return };
        let result = match answer {
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

    /// Hands one response of a stream on. A procedure with a single response is a stream of one.
    fn respond(&mut self, command: u32, called: Called<'_>) {
        let payload = called.payload();
        if called.more() || !payload.is_absent() {
            // How long the others take is the procedure's own affair.
            if let Some(pending) = self.commands.get_mut(command) {
                pending.deadline = Time::NEVER;
            }
            self.listener.response(CommandId(command), payload);
        }
        if !called.more() {
            self.complete(command, Ok(OutcomeView::Streamed));
        }
    }

    /// Ends a command before its answer; a call that may be under way is cancelled on the server.
    pub(super) fn abandon(&mut self, command: u32, error: Error) {
        let Some(pending) = self.commands.get_mut(command) else { return };
        let is_call = matches!(pending.kind, Kind::Call | Kind::Stream);
        let is_sent = pending.phase == Phase::Sent;
        if let Some(upload) = self.commands.upload.as_mut().filter(|upload| upload.command == command) {
            // The server does not know it before its last part.
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

    /// What was not sent goes out over the next connection, if it may wait. What was sent may or may not have been
    /// carried out: that is told, or found out by repeating it.
    pub(super) fn settle_after_loss(&mut self) {
        self.commands.stop_sending();
        self.end_each(|pending, _| match pending.phase {
            _ if pending.is_repeatable() => None,
            Phase::Queued => pending.fail_fast.then_some(ErrorCode::NOT_CONNECTED),
            Phase::Sent | Phase::InDoubt => Some(ErrorCode::CONNECTION_LOST),
        });
        // What would cancel those at the server.
        self.commands.stop_sending();
        for pending in &mut self.commands.pending {
            if pending.first_sent.is_some() || pending.phase == Phase::Sent {
                pending.phase = Phase::InDoubt;
            }
        }
    }

    /// The session is another user's than the one before. What was sent as one user is not repeated as another, and what one
    /// user acknowledged is not acknowledged by another.
    pub(super) fn settle_as_other_user(&mut self) {
        self.end_each(|pending, _| match (pending.kind, pending.phase) {
            (Kind::Acknowledgement, _) => Some(ErrorCode::UNKNOWN_ALARM),
            (_, Phase::InDoubt) => Some(ErrorCode::CONNECTION_LOST),
            _ => None,
        });
        self.forget_acknowledged();
    }

    /// Repeats what is in doubt, which is before all that was not sent yet; ends what the server may not remember.
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

    /// Ends the commands for which there is an error.
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

/// So many bytes of those that were counted are kept no more.
pub(super) fn release(counted: &mut usize, bytes: usize) {
    debug_assert!(bytes <= *counted, "{bytes} bytes of {counted}");
    *counted = counted.saturating_sub(bytes);
}

/// What a delimiter takes at most.
const DELIMITER_BYTES: usize = 5;
