//! Publishes and calls: each ends exactly once.

use std::time::Duration;

use bytes::Bytes;
use wirehub_common::Codec;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{Answer, Called, Cancel, Command, PresenceList, Published, Request};

use super::Core;
use super::sorted::SortedMap;
use crate::{Error, ErrorKind, Event, Outcome, Time};

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
    deadlines: SortedMap<(Time, u32), ()>,
}

#[derive(Debug)]
struct Pending {
    is_call: bool,
    sent: bool,
    fail_fast: bool,
    deadline: Time,
}

impl Commands {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&((time, _), ())| time)
    }

    fn insert(&mut self, command: u32, pending: Pending) {
        self.deadlines.insert((pending.deadline, command), ());
        self.pending.insert(command, pending);
    }

    fn remove(&mut self, command: u32) -> Option<Pending> {
        let pending = self.pending.remove(&command)?;
        self.deadlines.remove(&(pending.deadline, command));
        Some(pending)
    }

    fn expired(&self, now: Time) -> Option<u32> {
        self.deadlines.first().filter(|((time, _), ())| *time <= now).map(|&((_, command), ())| command)
    }
}

impl Core {
    /// Queues a command that goes out as soon as it can.
    pub(super) fn command(
        &mut self,
        now: Time,
        request: Request,
        SendOptions { timeout, fail_fast }: SendOptions,
    ) -> Result<CommandId, Error> {
        self.refuse_when_closed()?;
        if fail_fast && !self.is_up() {
            return Err(Error::from_code(ErrorKind::Connection, ErrorCode::NOT_CONNECTED));
        }
        let is_call = matches!(request, Request::Call(_));
        let id = self.next_id();
        let frame = Codec::Protobuf.encode_command(&Command { id, request });
        self.outbox.push_command(id, frame)?;
        let deadline = now.after(timeout.unwrap_or(self.config.command_timeout));
        self.commands.insert(id, Pending { is_call, sent: false, fail_fast, deadline });
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
                if let Some(pending) = self.commands.pending.get_mut(&command) {
                    pending.sent = true;
                }
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

    /// Ends a command with the server's answer.
    pub(super) fn answer(&mut self, command: u32, result: Result<Answer, Error>) {
        let result = result.and_then(|answer| match answer {
            Answer::Published(Published { position }) => Ok(Outcome::Published(position)),
            Answer::Called(Called { payload, .. }) => Ok(Outcome::Called(payload)),
            Answer::History(page) => Ok(Outcome::History(page)),
            Answer::Presence(PresenceList { members }) => Ok(Outcome::Presence(members)),
            _ => Err(Error::from_code(ErrorKind::Server, ErrorCode::UNSUPPORTED)),
        });
        self.complete(command, result);
    }

    /// Ends a command before its answer; a call that may be under way is cancelled on the server.
    pub(super) fn abandon(&mut self, command: u32, error: Error) {
        let Some(pending) = self.commands.pending.get(&command) else { return };
        if pending.sent && pending.is_call && self.is_up() {
            self.send_transient(0, Request::Cancel(Cancel { command }));
        }
        self.outbox.remove(command);
        self.complete(command, Err(error));
    }

    pub(super) fn expire_commands(&mut self, now: Time) {
        while let Some(command) = self.commands.expired(now) {
            self.abandon(command, Error::from_code(ErrorKind::Connection, ErrorCode::TIMEOUT));
        }
    }

    /// What was sent may or may not have been done; what was not goes out over the next connection, if it may wait.
    pub(super) fn settle_after_loss(&mut self) {
        let ends = |pending: &Pending| {
            if pending.sent {
                Some(ErrorCode::CONNECTION_LOST)
            } else {
                pending.fail_fast.then_some(ErrorCode::NOT_CONNECTED)
            }
        };
        let ended: Vec<(u32, ErrorCode)> = self
            .commands
            .pending
            .iter()
            .filter_map(|(&command, pending)| ends(pending).map(|code| (command, code)))
            .collect();
        for (command, code) in ended {
            self.abandon(command, Error::from_code(ErrorKind::Connection, code));
        }
    }

    pub(super) fn fail_all_commands(&mut self) {
        self.outbox.clear();
        while let Some(&(command, _)) = self.commands.pending.first() {
            self.complete(command, Err(Error::from_code(ErrorKind::Connection, ErrorCode::CLOSED)));
        }
    }

    fn complete(&mut self, command: u32, result: Result<Outcome, Error>) {
        if self.commands.remove(command).is_some() {
            self.events.push_back(Event::Completed { command: CommandId(command), result });
        }
    }
}
