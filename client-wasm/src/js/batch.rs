//! Many messages in one call.
//!
//! A call from here to JavaScript costs little, but a string in it costs a decoder's run, and each message has three. So
//! the texts of all messages are put one after the other and cross once; JavaScript cuts them apart again, which
//! costs next to nothing.

use wirehub_client_core::CommandId;
use wirehub_common::frame::{Member, Position, Publication};
use wirehub_common::{Content, Payload};

use super::host::Host;

/// Messages on their way to JavaScript: publications, responses, members of a channel.
///
/// Each has a row of seven numbers: the subscription, the content tag, the payload's length, the time in
/// milliseconds, the offset, and the lengths of the publisher's session id (-1: there is no publisher) and user. `text`
/// has for each the session id, the user and, where it is JSON, the payload; these lengths are in UTF-16 units, as
/// JavaScript counts. Other payloads are in `bytes`. What a message does not have is 0.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<f64>,
    text: String,
    bytes: Vec<u8>,
}

impl Batch {
    /// A response.
    pub(super) fn of_payload(payload: &Payload) -> Self {
        let mut batch = Self::default();
        batch.push(0, payload, None, 0, 0);
        batch
    }

    pub(super) fn push_publication(&mut self, subscription: u32, publication: &Publication) {
        let Publication { payload, publisher, time, offset, .. } = publication;
        self.push(subscription, payload, publisher.as_ref(), *time, *offset);
    }

    pub(super) fn push_member(&mut self, member: &Member) {
        self.push(0, &Payload::bytes(&[][..]), Some(member), 0, 0);
    }

    fn push(
        &mut self,
        subscription: u32,
        payload: &Payload,
        member: Option<&Member>,
        time: u64,
        offset: u64,
    ) {
        let (session, user) = match member {
            Some(member) => (self.text(&member.session), self.text(&member.user)),
            None => (-1.0, 0.0),
        };
        let data = &payload.data;
        let (content, length) = match as_json(payload) {
            Some(text) => (Content::Json, self.text(text)),
            None => {
                self.bytes.extend_from_slice(data);
                (not_json(payload.content), data.len() as f64)
            }
        };
        let content = f64::from(content as u8);
        self.rows.extend([subscription.into(), content, length, time as f64, offset as f64, session, user]);
    }

    /// Hands over the publications that there are.
    pub(super) fn flush(&mut self, host: &Host) {
        if !self.rows.is_empty() {
            let Self { rows, text, bytes } = std::mem::take(self);
            host.on_publications(&rows, &text, &bytes);
        }
    }

    /// Hands over what a command brought; `more` of it may follow.
    pub(super) fn answer(self, host: &Host, command: CommandId, more: bool, position: &Position) {
        let Self { rows, text, bytes } = self;
        host.on_answer(command.number(), more, &rows, &text, &bytes, position.offset as f64, &position.epoch);
    }

    /// Adds a text, and gives its length as JavaScript sees it.
    fn text(&mut self, text: &str) -> f64 {
        self.text.push_str(text);
        if text.is_ascii() { text.len() as f64 } else { text.encode_utf16().count() as f64 }
    }
}

/// The text of a payload that is to be read as JSON. What is not UTF-8 is none, whatever it is tagged with.
fn as_json(payload: &Payload) -> Option<&str> {
    (payload.content == Content::Json).then(|| std::str::from_utf8(&payload.data).ok()).flatten()
}

/// The tag of a payload that is not to be read as JSON: one that says so all the same is the application's own.
fn not_json(content: Content) -> Content {
    if content == Content::Json { Content::Custom } else { content }
}
