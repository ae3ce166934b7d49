//! Publishes and calls: each ends exactly once.
//!
//! A publish or call that was sent and not answered when the connection broke is in doubt. Over the next connection it is
//! repeated where the server still knows its key, and fails where it may not; see [`keys`](super::keys).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use wirehub_common::code::ErrorCode;
use wirehub_common::view::{Body, Called};
use wirehub_common::{Bytes, Limits, compose};

use super::Core;
use super::keys::{Imprint, Keys, Memory};
use crate::{Answered, Error, ErrorKind, Listener, Time};

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
pub struct SendOptions {
    /// How long it may take, the time offline included; without one, as configured.
    pub timeout: Option<Duration>,
    /// Fails at once with [`NOT_CONNECTED`](ErrorCode::NOT_CONNECTED) instead of waiting for a connection.
    pub fail_fast: bool,
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
    pending: Vec<Box<Pending>>,
    /// Some may have to be sent.
    has_queued: bool,
    /// No deadline is before this one.
    soonest: Time,
    /// How many bytes the encoded commands have that are kept.
    bytes: usize,
}

#[derive(Debug)]
struct Pending {
    id: u32,
    kind: Kind,
    phase: Phase,
    fail_fast: bool,
    deadline: Time,
    queued: Time,
    /// The encoded command, as long as it may have to be sent.
    frame: Bytes,
    /// Where the server may remember it from.
    first_sent: Option<Imprint>,
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
enum Phase {
    Queued,
    Sent,
    /// It was sent over a connection that is lost: only the server knows whether it was carried out.
    InDoubt,
}

impl Kind {
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

    /// It is in the transport, and was not sent before `heard`.
    fn sent(&mut self, keys: &Keys, heard: Time) {
        self.phase = Phase::Sent;
        if let Some(memory) = self.kind.memory(keys)
            && !self.fail_fast
            && self.first_sent.is_none()
        {
            self.first_sent = memory.imprint(self.queued.max(heard));
        }
    }
}

impl Commands {
    pub(super) const fn new() -> Self {
        Self { pending: Vec::new(), has_queued: false, soonest: Time::NEVER, bytes: 0 }
    }

    pub(super) fn deadline(&self) -> Time {
        self.soonest
    }

    /// Whether something waits to be sent.
    pub(super) fn has_queued(&self) -> bool {
        self.has_queued && self.pending.iter().any(|pending| pending.phase == Phase::Queued)
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

    fn get_mut(&mut self, id: u32) -> Option<&mut Pending> {
        let index = self.find(id)?;
        self.pending.get_mut(index).map(|pending| &mut **pending)
    }

    fn remove(&mut self, id: u32) -> bool {
        let Some(index) = self.find(id) else { return false };
        let pending = self.pending.remove(index);
        self.bytes = self.bytes.saturating_sub(pending.frame.len());
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

    /// The next WebSocket message, at most `limit` bytes of it: the commands in it count as sent from now on, and were not
    /// before `heard`. A command that is alone over the limit comes by its id instead.
    fn next_batch(&mut self, limit: usize, keys: &Keys, heard: Time) -> Option<Result<Bytes, u32>> {
        if !self.has_queued {
            return None;
        }
        self.has_queued = false;
        let target = limit.min(Limits::BATCH_BYTES);
        let mut batch = Vec::new();
        let mut alone = None;
        for pending in &mut self.pending {
            if pending.phase != Phase::Queued {
                continue;
            }
            let size = pending.frame.len();
            // The first goes out in any case, if only to be told that it can't.
            if alone.is_some() || !batch.is_empty() && size.saturating_add(batch.len()) > target {
                self.has_queued = true;
                break;
            }
            pending.sent(keys, heard);
            if size > limit {
                alone = Some(Err(pending.id));
            } else if size >= target {
                // Large ones need no copy.
                alone = Some(Ok(pending.frame.clone()));
            } else {
                batch.extend_from_slice(&pending.frame);
            }
            if !pending.is_repeatable() {
                let frame = core::mem::take(&mut pending.frame);
                if pending.kind != Kind::Transient {
                    self.bytes = self.bytes.saturating_sub(frame.len());
                }
            }
        }
        self.pending.retain(|pending| pending.kind != Kind::Transient || pending.phase == Phase::Queued);
        alone.or_else(|| (!batch.is_empty()).then(|| Ok(batch.into())))
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
        if self.commands.bytes.saturating_add(frame.len()) > self.config.send_queue
            || self.commands.pending.len() >= self.config.max_commands
        {
            return Err(Error::from_code(ErrorKind::Usage, ErrorCode::QUEUE_FULL));
        }
        let deadline = now.after(timeout.unwrap_or(self.config.command_timeout));
        let phase = Phase::Queued;
        self.commands.push(Pending {
            id,
            kind,
            phase,
            fail_fast,
            deadline,
            queued: now,
            frame,
            first_sent: None,
        });
        Ok(CommandId(id))
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
            queued: Time::ZERO,
            frame,
            first_sent: None,
        });
    }

    /// The next message to send.
    pub(super) fn next_batch(&mut self) -> Option<Bytes> {
        let limit = match self.limits.message_bytes {
            0 => usize::MAX,
            limit => limit as usize,
        };
        loop {
            match self.commands.next_batch(limit, &self.keys, self.link.heard())? {
                Ok(batch) => return Some(batch),
                Err(command) => {
                    let message = "the message is over the server's size limit: send a smaller one";
                    let error = Error::in_words(ErrorKind::Usage, ErrorCode::BAD_REQUEST, message);
                    self.complete(command, Err(error));
                }
            }
        }
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
            Body::Called(called) => Ok(Answered::Called(called)),
            Body::Published(published) => Ok(Answered::Published(published)),
            Body::History(page) => Ok(Answered::History(page)),
            Body::Presence(list) => Ok(Answered::Presence(list)),
            Body::Acknowledged => Ok(Answered::Acknowledged),
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
            self.complete(command, Ok(Answered::Streamed));
        }
    }

    /// Ends a command before its answer; a call that may be under way is cancelled on the server.
    pub(super) fn abandon(&mut self, command: u32, error: Error) {
        let Some(pending) = self.commands.get_mut(command) else { return };
        let is_call = matches!(pending.kind, Kind::Call | Kind::Stream);
        if is_call && pending.phase == Phase::Sent && self.is_up() {
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
        self.commands.pending.retain(|pending| pending.kind != Kind::Transient);
        self.end_each(|pending, _| match pending.phase {
            _ if pending.is_repeatable() => None,
            Phase::Queued => pending.fail_fast.then_some(ErrorCode::NOT_CONNECTED),
            Phase::Sent | Phase::InDoubt => Some(ErrorCode::CONNECTION_LOST),
        });
        for pending in &mut self.commands.pending {
            if pending.first_sent.is_some() || pending.phase == Phase::Sent {
                pending.phase = Phase::InDoubt;
            }
        }
    }

    /// Repeats what is in doubt, which is before all that was not sent yet; ends what the server may not remember.
    pub(super) fn settle_doubts(&mut self) {
        self.end_each(|pending, keys| {
            let memory = pending.kind.memory(keys);
            let remembers = |imprint| memory.is_some_and(|memory| memory.remembers(imprint));
            let forgotten = pending.first_sent.is_some_and(|imprint| !remembers(imprint));
            (pending.phase == Phase::InDoubt && forgotten).then_some(ErrorCode::CONNECTION_LOST)
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

    fn complete(&mut self, command: u32, result: Result<Answered<'_>, Error>) {
        if self.commands.remove(command) {
            self.listener.completed(CommandId(command), result);
        }
    }
}
