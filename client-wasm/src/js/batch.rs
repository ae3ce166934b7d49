//! Many publications in one call.
//!
//! A call from here to JavaScript costs little, but a string in it costs a decoder's run, and each message has three. So
//! the texts of all messages are put one after the other and cross once; JavaScript cuts them apart again, which
//! costs next to nothing.

use wirehub_client_core::SubscriptionId;
use wirehub_common::Content;
use wirehub_common::frame::Publication;

use super::host::Host;

/// Publications on their way to JavaScript.
///
/// Each has a row of seven numbers: the subscription, the content tag, the payload's length, the time in
/// milliseconds, the offset, and the lengths of the publisher's session id (-1: there is no publisher) and user. `text`
/// has for each the session id, the user and, where it is JSON, the payload; these lengths are in UTF-16 units, as
/// JavaScript counts. Other payloads are in `bytes`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<f64>,
    text: String,
    bytes: Vec<u8>,
}

impl Batch {
    pub(super) fn push(&mut self, subscription: SubscriptionId, publication: &Publication) {
        let (session, user) = match &publication.publisher {
            Some(publisher) => (self.text(&publisher.session), self.text(&publisher.user)),
            None => (-1.0, 0.0),
        };
        let data = &publication.payload.data;
        let (content, length) = match as_json(publication.payload.content, data) {
            Some(text) => (Content::Json, self.text(text)),
            None => {
                self.bytes.extend_from_slice(data);
                (not_json(publication.payload.content), data.len() as f64)
            }
        };
        self.rows.extend([
            subscription.number().into(),
            f64::from(content as u8),
            length,
            publication.time as f64,
            publication.offset as f64,
            session,
            user,
        ]);
    }

    /// Hands over what there is.
    pub(super) fn flush(&mut self, host: &Host) {
        if !self.rows.is_empty() {
            let Self { rows, text, bytes } = std::mem::take(self);
            host.on_publications(&rows, &text, &bytes);
        }
    }

    /// Adds a text, and gives its length as JavaScript sees it.
    fn text(&mut self, text: &str) -> f64 {
        self.text.push_str(text);
        if text.is_ascii() { text.len() as f64 } else { text.encode_utf16().count() as f64 }
    }
}

/// The text of a payload that is to be read as JSON. What is not UTF-8 is none, whatever it is tagged with.
pub(super) fn as_json(content: Content, data: &[u8]) -> Option<&str> {
    (content == Content::Json).then(|| std::str::from_utf8(data).ok()).flatten()
}

/// The tag of a payload that is not to be read as JSON: one that says so all the same is the application's own.
pub(super) fn not_json(content: Content) -> Content {
    if content == Content::Json { Content::Custom } else { content }
}
