//! The next message: commands share WebSocket messages, and a command that is larger than a message goes out in parts.
//!
//! Small urgent commands go out between the parts. The other commands keep their order.

use alloc::string::String;
use alloc::vec::Vec;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::{Bytes, Limits, compose};

use super::Core;
use super::commands::{CommandId, Commands, Kind, Phase, find, release};
use super::keys::Keys;
use crate::{Error, ErrorKind, Listener, Time};

/// A command of which some parts are sent and others are not.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) progress: Progress,
    /// The frame of a command that has ended meanwhile. The rest of it still has to go out, because the server waits
    /// for it.
    pub(super) orphan: Option<Bytes>,
    /// It is a call that was given up.
    pub(super) is_cancelled: bool,
}

/// A command whose parts are all sent, and may not have arrived.
#[derive(Debug)]
pub(super) struct Arriving {
    progress: Progress,
    /// The id of the question sent behind the last part. Its answer shows that the parts have arrived.
    question: u32,
}

/// How far a command in parts is, in bytes of its frame. The frame's delimiter counts as sent from the beginning.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) command: u32,
    total: usize,
    /// How many the transport was given.
    passed: usize,
    /// The value of [`Commands::passed`] behind them.
    end: usize,
    /// How many of them it has sent, as the application knows.
    reported: usize,
}

impl Progress {
    fn new(command: u32, start: usize, total: usize) -> Self {
        Self { command, total, passed: start, end: 0, reported: start }
    }
}

/// The size limits of the server.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    message: usize,
    command: usize,
}

enum Next {
    Message(Bytes),
    /// The last part of a command, and whether the command is a call that was given up meanwhile.
    LastPart {
        part: Bytes,
        progress: Progress,
        is_cancelled: bool,
    },
    /// A command over the size limit.
    TooLarge(u32),
    /// A command that was to be repeated, and whose key the server may have forgotten.
    Forgotten {
        command: u32,
        last_part: bool,
    },
}

/// The largest part. An urgent command waits no longer than one part takes.
const PART_BYTES: usize = 16 * 1024;

/// The largest size of a part without its piece of the frame.
const PART_HEAD_BYTES: usize = 32;

/// A smaller limit from the server is ignored.
const SMALLEST_MESSAGE: usize = 1024;

impl Commands {
    /// Whether a command waits to be sent.
    pub(super) fn has_queued(&self) -> bool {
        self.upload.is_some()
            || self.has_queued && self.pending.iter().any(|pending| pending.phase == Phase::Queued)
    }

    /// The connection is lost, and everything in flight over it.
    pub(super) fn stop_sending(&mut self) {
        self.pending.retain(|pending| pending.kind != Kind::Transient);
        self.upload = None;
        self.arriving.clear();
    }

    /// Data came from the server or went to it. The timeouts of commands whose parts are in flight start anew, and so
    /// do those of the commands behind them, which can't arrive earlier.
    pub(super) fn note_progress(&mut self, now: Time) {
        // Commands go out in the order of their ids.
        let arriving = self.arriving.first().map(|arriving| arriving.progress.command);
        let upload = self.upload.as_ref().map(|upload| upload.progress.command);
        let Some(first) = arriving.or(upload) else { return };
        for pending in self.pending.iter_mut().filter(|pending| pending.id >= first) {
            pending.deadline = pending.deadline.max(now.after(pending.timeout));
        }
    }

    pub(super) fn note_progress_of(&mut self, command: u32, now: Time) {
        if let Some(pending) = self.get_mut(command) {
            pending.deadline = pending.deadline.max(now.after(pending.timeout));
        }
    }

    /// The next message. Its commands count as sent from now on, and were not sent before `heard`.
    fn next(&mut self, bounds: Bounds, keys: &Keys, heard: Time) -> Option<Next> {
        let urgent_only = self.upload.is_some();
        self.next_batch(bounds, urgent_only, keys, heard).or_else(|| self.next_part(bounds, keys, heard))
    }

    /// Fills a message with commands. A large command whose turn it is becomes the upload instead.
    fn next_batch(&mut self, bounds: Bounds, urgent_only: bool, keys: &Keys, heard: Time) -> Option<Next> {
        if !core::mem::take(&mut self.has_queued) {
            return None;
        }
        let mut batch = Vec::new();
        let mut ended = None;
        for pending in &mut self.pending {
            if pending.phase != Phase::Queued {
                continue;
            }
            let size = pending.frame.len();
            if urgent_only && !(pending.kind.is_urgent() && size <= bounds.message) {
                self.has_queued = true;
                continue;
            }
            let start = start_of(&pending.frame);
            let is_too_large = size.saturating_sub(start) > bounds.command;
            let is_forgotten = pending.is_forgotten(keys, heard);
            let ends = is_too_large || is_forgotten;
            if !batch.is_empty() && (ends || size.saturating_add(batch.len()) > bounds.message) {
                self.has_queued = true;
                break;
            }
            if ends {
                pending.sent(keys, heard);
                let command = pending.id;
                ended = Some(if is_forgotten {
                    Next::Forgotten { command, last_part: false }
                } else {
                    Next::TooLarge(command)
                });
                self.has_queued = true;
                break;
            }
            if size > bounds.message {
                let progress = Progress::new(pending.id, start, size);
                self.upload = Some(Upload { progress, orphan: None, is_cancelled: false });
                self.has_queued = true;
                break;
            }
            pending.sent(keys, heard);
            batch.extend_from_slice(&pending.frame);
            release(&mut self.bytes, pending.forget_unrepeatable());
        }
        self.forget_transients();
        self.passed = self.passed.wrapping_add(batch.len());
        ended.or_else(|| (!batch.is_empty()).then(|| Next::Message(batch.into())))
    }

    /// The next part of the upload. The command counts as sent with the last part, because it can't be carried out
    /// before.
    fn next_part(&mut self, bounds: Bounds, keys: &Keys, heard: Time) -> Option<Next> {
        let room = PART_BYTES.min(bounds.message).saturating_sub(PART_HEAD_BYTES);
        let upload = self.upload.as_mut()?;
        let progress = &mut upload.progress;
        let command = progress.command;
        let mut pending = self.pending.iter_mut().find(|pending| pending.id == command);
        let frame = match (&upload.orphan, &pending) {
            (Some(frame), _) => frame.get(progress.passed..),
            (None, Some(pending)) => pending.frame.get(progress.passed..),
            (None, None) => None,
        };
        let rest = frame.unwrap_or_default();
        let (data, rest) = rest.split_at_checked(room).unwrap_or((rest, &[]));
        let part = compose::part(STREAM, data, rest.len() as u64);
        self.passed = self.passed.wrapping_add(part.len());
        progress.passed = progress.passed.saturating_add(data.len());
        progress.end = self.passed;
        if !rest.is_empty() {
            return Some(Next::Message(part));
        }
        let is_cancelled = upload.is_cancelled;
        if let Some(pending) = &mut pending {
            if pending.is_forgotten(keys, heard) {
                return Some(Next::Forgotten { command, last_part: true });
            }
            pending.sent(keys, heard);
            release(&mut self.bytes, pending.forget_unrepeatable());
        }
        let progress = self.upload.take()?.progress;
        self.forget_transients();
        Some(Next::LastPart { part, progress, is_cancelled })
    }

    /// Transient commands wait for nothing once they are sent.
    fn forget_transients(&mut self) {
        self.pending.retain(|pending| pending.kind != Kind::Transient || pending.phase == Phase::Queued);
    }
}

impl<L: Listener> Core<L> {
    /// The transport has not sent the last `bytes` of the bytes that it was given. The driver reports this after each
    /// message and when it changes, for the progress of the commands that go out in parts. Without these reports there is
    /// [`Event::Progress`](crate::Event::Progress) only when the server has answered.
    pub fn handle_unsent(&mut self, bytes: usize) {
        let Self { commands: Commands { pending, upload, arriving, passed, .. }, listener, .. } = self;
        let arriving = arriving.iter_mut().map(|arriving| &mut arriving.progress);
        for progress in arriving.chain(upload.iter_mut().map(|upload| &mut upload.progress)) {
            // Those behind the last part belong to other commands.
            let unsent = bytes.saturating_sub(passed.wrapping_sub(progress.end));
            let sent = progress.passed.saturating_sub(unsent);
            // The rest of a command that has ended goes out as well.
            if sent > progress.reported && find(pending, progress.command).is_some() {
                progress.reported = sent;
                listener.progress(CommandId(progress.command), sent, progress.total);
            }
        }
    }

    /// An answer arrived: to a command, or to the question behind its last part. All parts have arrived then. Returns whether
    /// it is that to the question.
    pub(super) fn note_arrival(&mut self, id: u32, now: Time) -> bool {
        let mut arriving = self.commands.arriving.iter();
        let is_answered = |one: &Arriving| one.question == id || one.progress.command == id;
        let Some(index) = arriving.position(is_answered) else { return false };
        if let Some(one) = self.commands.arriving.get(index) {
            self.handle_unsent(self.commands.passed.wrapping_sub(one.progress.end));
        }
        let Arriving { progress, question } = self.commands.arriving.remove(index);
        self.commands.note_progress_of(progress.command, now);
        question == id
    }

    /// The next message to send.
    pub(super) fn next_message(&mut self) -> Option<Bytes> {
        let message = match self.limits.batch_bytes {
            0 => Limits::BATCH_BYTES,
            bound => (bound as usize).clamp(SMALLEST_MESSAGE, Limits::BATCH_BYTES),
        };
        let bounds = Bounds { message, command: self.command_bound() };
        loop {
            match self.commands.next(bounds, &self.keys, self.link.heard())? {
                Next::Message(message) => return Some(message),
                Next::LastPart { part, progress, is_cancelled } => {
                    // It cancels the call, or else itself: it is always answered.
                    let question = self.next_id();
                    let cancelled = if is_cancelled { progress.command } else { question };
                    self.send_transient(compose::cancel(question, cancelled));
                    self.commands.arriving.push(Arriving { progress, question });
                    return Some(part);
                }
                Next::TooLarge(command) => {
                    let error = too_large(self.command_bound());
                    self.complete(command, Err(error));
                }
                Next::Forgotten { command, last_part } => {
                    let code = ErrorCode::CONNECTION_LOST;
                    self.complete(command, Err(Error::from_code(ErrorKind::Connection, code)));
                    if last_part {
                        // With the last part the command would be carried out, perhaps for the second time.
                        self.break_off(self.link.heard(), CloseCode::SUPERSEDED);
                        return None;
                    }
                }
            }
        }
    }

    /// The largest size of a command in bytes, without its delimiter, by the limits last received.
    pub(super) fn command_bound(&self) -> usize {
        match self.limits.message_bytes {
            0 => usize::MAX,
            bound => bound as usize,
        }
    }
}

/// The error of a command that is larger than the server's limit.
pub(super) fn too_large(bound: usize) -> Error {
    let mut words = String::from("the message is over the server's size limit of ");
    push_decimal(&mut words, bound);
    words.push_str(" bytes: send a smaller one");
    Error::in_words(ErrorKind::Usage, ErrorCode::BAD_REQUEST, words)
}

/// Writes a number, with less code than formatting takes.
fn push_decimal(text: &mut String, number: usize) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(char::from((number % 10) as u8 | b'0'));
}

/// The start of a frame behind its delimiter, which is a number in groups of seven bits.
pub(super) fn start_of(frame: &[u8]) -> usize {
    frame.iter().position(|byte| *byte < 0x80).map_or(0, |last| last.saturating_add(1))
}

/// Only one command at a time goes out in parts.
const STREAM: u32 = 0;
