//! Publishes and calls: each ends exactly once.
//!
//! A publish or call that was sent and not answered when the connection broke is in doubt. Over the next connection it is
//! repeated where the server still knows its key, and fails where it may not; see [`keys`](super::keys).

use alloc::vec::Vec;
use core::time::Duration;

use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{Call, Cancel, Command, Request};
use wirehub_common::view::{Body, Called};
use wirehub_common::{Bytes, Codec};

use super::Core;
use super::keys::{Imprint, Keys, Memory};
use super::sorted::SortedMap;
use crate::time::earlier;
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

/// The commands that have not ended.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pending: SortedMap<u32, Pending>,
    /// No deadline is before this one.
    soonest: Option<Time>,
    /// How many bytes the encoded commands have that are kept.
    bytes: usize,
}

#[derive(Debug)]
struct Pending {
    kind: Kind,
    phase: Phase,
    fail_fast: bool,
    deadline: Option<Time>,
    queued: Time,
    /// The encoded command, as long as it may have to be sent.
    frame: Bytes,
    /// Where the server may remember it from.
    first_sent: Option<Imprint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Publish,
    Call,
    /// A call with any number of responses.
    Stream,
    /// Something that changes nothing.
    Question,
    /// Something that may be done twice.
    Acknowledgement,
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
            Self::Stream | Self::Question | Self::Acknowledgement => None,
        }
    }
}

impl Pending {
    /// Whether it can go out again over another connection after it was sent.
    fn is_repeatable(&self) -> bool {
        self.first_sent.is_some() || self.kind == Kind::Acknowledgement && !self.fail_fast
    }
}

impl Commands {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.soonest
    }

    fn insert(&mut self, command: u32, pending: Pending) {
        if let Some(deadline) = pending.deadline {
            self.soonest = earlier(self.soonest, Some(deadline));
        }
        self.bytes = self.bytes.saturating_add(pending.frame.len());
        self.pending.insert(command, pending);
    }

    fn remove(&mut self, command: u32) -> Option<Pending> {
        let pending = self.pending.remove(&command)?;
        self.bytes = self.bytes.saturating_sub(pending.frame.len());
        if self.pending.len() == 0 {
            self.soonest = None;
        }
        Some(pending)
    }

    /// Those whose time is over.
    fn expired(&mut self, now: Time) -> Vec<u32> {
        let mut expired = Vec::new();
        if self.soonest.is_none_or(|soonest| soonest > now) {
            return expired;
        }
        self.soonest = None;
        for (&command, pending) in self.pending.iter() {
            match pending.deadline {
                Some(deadline) if deadline <= now => expired.push(command),
                Some(deadline) => self.soonest = earlier(self.soonest, Some(deadline)),
                None => {}
            }
        }
        expired
    }

    /// The command is in the transport. One that the server remembers is kept, to be repeated. It was not sent before
    /// `heard`.
    fn sent(&mut self, command: u32, keys: &Keys, heard: Time) {
        let Some(pending) = self.pending.get_mut(&command) else { return };
        pending.phase = Phase::Sent;
        if let Some(memory) = pending.kind.memory(keys)
            && !pending.fail_fast
            && pending.first_sent.is_none()
        {
            pending.first_sent = memory.imprint(pending.queued.max(heard));
        }
        if !pending.is_repeatable() {
            let frame = core::mem::take(&mut pending.frame);
            self.bytes = self.bytes.saturating_sub(frame.len());
        }
    }

    /// The first response of a stream has come: how long the others take is the procedure's own affair.
    fn lift_deadline(&mut self, command: u32) {
        if let Some(pending) = self.pending.get_mut(&command) {
            pending.deadline = None;
        }
    }
}

impl<L: Listener> Core<L> {
    /// Queues a command that goes out as soon as it can.
    pub(super) fn command(
        &mut self,
        now: Time,
        request: Request,
        options: SendOptions,
    ) -> Result<CommandId, Error> {
        let kind = match request {
            Request::Publish(_) => Kind::Publish,
            Request::Call(_) => Kind::Call,
            Request::Acknowledge(_) => Kind::Acknowledgement,
            _ => Kind::Question,
        };
        self.command_of_kind(now, kind, request, options)
    }

    /// Queues a call that has any number of responses.
    pub(super) fn streaming_call(
        &mut self,
        now: Time,
        call: Call,
        options: SendOptions,
    ) -> Result<CommandId, Error> {
        self.command_of_kind(now, Kind::Stream, Request::Call(call), options)
    }

    fn command_of_kind(
        &mut self,
        now: Time,
        kind: Kind,
        mut request: Request,
        SendOptions { timeout, fail_fast }: SendOptions,
    ) -> Result<CommandId, Error> {
        self.refuse_when_closed()?;
        if fail_fast && !self.is_up() {
            return Err(Error::from_code(ErrorKind::Connection, ErrorCode::NOT_CONNECTED));
        }
        let id = self.next_id();
        match &mut request {
            Request::Publish(publish) => publish.key = self.keys.make(id),
            Request::Call(call) if kind == Kind::Call => call.key = self.keys.make(id),
            _ => {}
        }
        let frame = Codec::Protobuf.encode_command(&Command { id, request });
        if self.commands.bytes.saturating_add(frame.len()) > self.config.send_queue
            || self.commands.pending.len() >= self.config.max_commands
        {
            return Err(Error::from_code(ErrorKind::Usage, ErrorCode::QUEUE_FULL));
        }
        self.outbox.push_command(id, frame.clone());
        let deadline = Some(now.after(timeout.unwrap_or(self.config.command_timeout)));
        let phase = Phase::Queued;
        let pending = Pending { kind, phase, fail_fast, deadline, queued: now, frame, first_sent: None };
        self.commands.insert(id, pending);
        Ok(CommandId(id))
    }

    /// Sends a command whose end nobody waits for, over this connection or not at all.
    pub(super) fn send_transient(&mut self, id: u32, request: Request) {
        self.outbox.push_transient(Codec::Protobuf.encode_command(&Command { id, request }));
    }

    /// The next message to send. Its commands count as sent from now on.
    pub(super) fn next_batch(&mut self) -> Option<Bytes> {
        let limit = match self.limits.message_bytes {
            0 => usize::MAX,
            limit => limit as usize,
        };
        loop {
            let batch = self.outbox.next_batch(limit)?;
            for command in batch.commands {
                self.commands.sent(command, &self.keys, self.link.heard());
            }
            if let Some(command) = batch.oversized {
                let message = "the message is over the server's size limit: send a smaller one";
                self.complete(
                    command,
                    Err(Error::in_words(ErrorKind::Usage, ErrorCode::BAD_REQUEST, message)),
                );
            }
            if !batch.bytes.is_empty() {
                return Some(batch.bytes);
            }
        }
    }

    pub(super) fn is_command(&self, id: u32) -> bool {
        self.commands.pending.contains_key(&id)
    }

    /// Takes the server's answer to a command, which ends it unless more follow.
    pub(super) fn answer(&mut self, command: u32, answer: Body<'_>) {
        let Some(pending) = self.commands.pending.get(&command) else { return };
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
            self.commands.lift_deadline(command);
            self.listener.response(CommandId(command), payload);
        }
        if !called.more() {
            self.complete(command, Ok(Answered::Streamed));
        }
    }

    /// Ends a command before its answer; a call that may be under way is cancelled on the server.
    pub(super) fn abandon(&mut self, command: u32, error: Error) {
        let Some(pending) = self.commands.pending.get(&command) else { return };
        let is_call = matches!(pending.kind, Kind::Call | Kind::Stream);
        if is_call && pending.phase == Phase::Sent && self.is_up() {
            self.send_transient(0, Request::Cancel(Cancel { command }));
        }
        self.outbox.remove(command);
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
        self.end_each(|pending, _| match pending.phase {
            _ if pending.is_repeatable() => None,
            Phase::Queued => pending.fail_fast.then_some(ErrorCode::NOT_CONNECTED),
            Phase::Sent | Phase::InDoubt => Some(ErrorCode::CONNECTION_LOST),
        });
        for (_, pending) in self.commands.pending.iter_mut() {
            if pending.first_sent.is_some() || pending.phase == Phase::Sent {
                pending.phase = Phase::InDoubt;
            }
        }
        let Self { outbox, commands, .. } = self;
        outbox.keep_commands(|command| {
            commands.pending.get(&command).is_some_and(|pending| pending.phase == Phase::Queued)
        });
    }

    /// Repeats what is in doubt, before all that was not sent yet; ends what the server may not remember.
    pub(super) fn settle_doubts(&mut self) {
        self.end_each(|pending, keys| {
            let memory = pending.kind.memory(keys);
            let remembers = |imprint| memory.is_some_and(|memory| memory.remembers(imprint));
            let forgotten = pending.first_sent.is_some_and(|imprint| !remembers(imprint));
            (pending.phase == Phase::InDoubt && forgotten).then_some(ErrorCode::CONNECTION_LOST)
        });
        let mut repeated = Vec::new();
        for (&command, pending) in self.commands.pending.iter_mut() {
            if pending.phase == Phase::InDoubt {
                pending.phase = Phase::Queued;
                repeated.push((command, pending.frame.clone()));
            }
        }
        self.outbox.put_in_front(repeated);
    }

    /// Ends the commands for which there is an error.
    fn end_each(&mut self, error: impl Fn(&Pending, &Keys) -> Option<ErrorCode>) {
        let mut ended = Vec::new();
        for (&command, pending) in self.commands.pending.iter() {
            if let Some(code) = error(pending, &self.keys) {
                ended.push((command, code));
            }
        }
        for (command, code) in ended {
            self.abandon(command, Error::from_code(ErrorKind::Connection, code));
        }
    }

    pub(super) fn fail_all_commands(&mut self) {
        self.outbox.clear();
        while let Some(&command) = self.commands.pending.first() {
            self.complete(command, Err(Error::from_code(ErrorKind::Connection, ErrorCode::CLOSED)));
        }
    }

    fn complete(&mut self, command: u32, result: Result<Answered<'_>, Error>) {
        if self.commands.remove(command).is_some() {
            self.listener.completed(CommandId(command), result);
        }
    }
}
