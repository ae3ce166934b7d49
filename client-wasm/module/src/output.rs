//! The output of a client: rows of numbers, and bytes.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use wirehub_client_core::{
    ClientState, CommandId, Error, Gap, Listener, MembersChange, OutcomeView, Recovery, StateView,
    SubscriptionId, TokenRequest,
};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::ContractDigest;
use wirehub_common::view::{self, Alarm, Member, Payload, PublicationParts};
use wirehub_common::{Bytes, ChannelName, Content, attachment};

use crate::numbers::{
    ALARM, ANSWER, CONTRACT, CONTRACT_ITEM, EPOCH, ERROR, GAP, JOINED, LEFT, MEMBERS, NOTICE, OFFERED, PART,
    PROGRESS, PUBLICATION, REFUSED, STATE, SUBSCRIBED, TOKEN_NEEDED, UNSUBSCRIBED,
};

/// Rows of nine numbers: kind, number, three values that depend on the kind, and the lengths in bytes of the row's first,
/// second and third text and of its data. The texts of all rows lie in a row, and so does their data, which is no text.
///
/// In this way the cost of a message does not depend on its kind, and many messages cost one call.
#[derive(Debug, Default)]
pub(crate) struct Output {
    rows: Vec<f64>,
    texts: Vec<u8>,
    /// By themselves, because all texts are decoded in one go.
    data: Vec<u8>,
}

impl Output {
    pub(crate) const fn new() -> Self {
        Self { rows: Vec::new(), texts: Vec::new(), data: Vec::new() }
    }

    pub(crate) fn parts(&self) -> (&[f64], &[u8], &[u8]) {
        (&self.rows, &self.texts, &self.data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Keeps the memory for the next rows, unless it is much: a large message is rare.
    pub(crate) fn clear(&mut self) {
        if self.rows.capacity().max(self.texts.capacity()).max(self.data.capacity()) > KEPT {
            *self = Self::new();
        }
        self.rows.clear();
        self.texts.clear();
        self.data.clear();
    }

    /// The reason for which a request is refused.
    pub(crate) fn refused(&mut self, error: &Error) {
        self.failure(error);
        self.note(REFUSED, 0, 0.0, &[]);
    }

    /// The error to which the next row belongs.
    fn failure(&mut self, error: &Error) {
        let words = error.own_words().unwrap_or_default();
        let about = error.about_what().unwrap_or_default();
        let temporary = f64::from(u8::from(error.is_temporary()));
        let texts = [words.as_bytes(), about.as_bytes(), &[]];
        self.row(ERROR, error.code().number().into(), [temporary, 0.0, 0.0], texts, &[]);
    }

    fn publish(&mut self, kind: u8, subscription: u32, publication: PublicationParts<'_>) {
        let PublicationParts { payload, time, publisher, offset, .. } = publication;
        // Every member has a session.
        let [session, user, _] = publisher.map(Member::texts).unwrap_or_default();
        self.payload(kind, subscription, payload, [time as f64, offset as f64], [session, user]);
    }

    /// The info of the member takes the place of a message.
    fn member(&mut self, kind: u8, number: u32, [session, user, data]: [&[u8]; 3]) {
        let content = if data.is_empty() { Content::Bytes } else { Content::Json };
        self.payload(kind, number, Payload { content, data }, [0.0; 2], [session, user]);
    }

    /// A response to a call.
    fn answer(&mut self, payload: Payload<'_>) {
        self.payload(PART, 0, payload, [0.0; 2], [&[], &[]]);
    }

    /// A row with few values: the text is its third part.
    fn note(&mut self, kind: u8, number: u32, value: f64, text: &[u8]) {
        self.row(kind, number, [value, 0.0, 0.0], [&[], &[], text], &[]);
    }

    fn row(&mut self, kind: u8, number: u32, values: [f64; 3], texts: [&[u8]; 3], data: &[u8]) {
        let [a, b, c] = values;
        let [first, second, third] = texts.map(|text| text.len() as f64);
        self.rows.extend_from_slice(&[
            kind.into(),
            number.into(),
            a,
            b,
            c,
            first,
            second,
            third,
            data.len() as f64,
        ]);
        for text in texts {
            self.texts.extend_from_slice(text);
        }
        self.data.extend_from_slice(data);
    }

    /// A row with a payload. The first value is its content: JSON and the head of an attachment are texts, anything else is
    /// data.
    fn payload(&mut self, kind: u8, number: u32, payload: Payload<'_>, values: [f64; 2], texts: [&[u8]; 2]) {
        let Payload { content, data } = payload;
        let ([b, c], [first, second]) = (values, texts);
        let (text, data) = match content {
            Content::Json => (data, &[][..]),
            // Servers pass on none that is cut short. It would have an empty head, which can't be read.
            Content::Attachment => attachment::split(data).unwrap_or_default(),
            Content::Bytes | Content::Custom => (&[][..], data),
        };
        self.row(kind, number, [f64::from(content as u8), b, c], [first, second, text], data);
    }
}

impl Listener for Output {
    type Message = [u8];

    fn message(&mut self, _: &[u8]) {}

    fn frame(&mut self, _: &Bytes) {}

    fn state(&mut self, news: StateView<'_>) {
        // For a closed connection TypeScript has better messages.
        if let Some(failure) = news.failure.filter(|failure| failure.code() != ErrorCode::CLOSED) {
            self.failure(failure);
        }
        let state = match news.state {
            ClientState::Disconnected => 0,
            ClientState::Connecting => 1,
            ClientState::Connected => 2,
            ClientState::Reconnecting => 3,
            ClientState::Closed => 4,
        };
        let code = news.code.map_or(0, CloseCode::number);
        let values = [code.into(), news.retry_in.map_or(-1.0, milliseconds), 0.0];
        self.row(STATE, state, values, [news.session, news.user, news.reason].map(str::as_bytes), &[]);
    }

    fn subscribed(&mut self, subscription: SubscriptionId, recovery: Recovery) {
        let recovery = match recovery {
            Recovery::First => 0.0,
            Recovery::Complete => 1.0,
            Recovery::NoHistory => 2.0,
            _ => 3.0,
        };
        self.note(SUBSCRIBED, subscription.number(), recovery, &[]);
    }

    fn epoch(&mut self, subscription: SubscriptionId, epoch: &str) {
        self.note(EPOCH, subscription.number(), 0.0, epoch.as_bytes());
    }

    fn gap(&mut self, subscription: SubscriptionId, reason: Gap) {
        let reason = if reason == Gap::Dropped { 4.0 } else { 3.0 };
        self.note(GAP, subscription.number(), reason, &[]);
    }

    fn unsubscribed(&mut self, subscription: SubscriptionId, error: Option<Error>) {
        if let Some(error) = error {
            self.failure(&error);
        }
        self.note(UNSUBSCRIBED, subscription.number(), 0.0, &[]);
    }

    fn publication(&mut self, subscription: SubscriptionId, publication: PublicationParts<'_>) {
        self.publish(PUBLICATION, subscription.number(), publication);
    }

    fn broadcast(&mut self, publication: PublicationParts<'_>) {
        self.publish(PUBLICATION, NO_SUBSCRIPTION, publication);
    }

    fn moved(&mut self, subscription: SubscriptionId, joined: bool, member: Member<'_>) {
        self.member(if joined { JOINED } else { LEFT }, subscription.number(), member.texts());
    }

    fn members(&mut self, subscription: SubscriptionId, change: MembersChange<'_>) {
        let mut values = [0.0; 3];
        match change {
            MembersChange::Replaced { at, removed, by } => {
                values = [at as f64, removed as f64, 0.0];
                for member in by {
                    let texts = [&member.session, &member.user, &member.info].map(String::as_bytes);
                    self.member(PART, 0, texts);
                }
            }
            MembersChange::Failed(error) => self.failure(error),
            _ => {}
        }
        self.row(MEMBERS, subscription.number(), values, [&[], &[], &[]], &[]);
    }

    fn offered(&mut self, subscription: SubscriptionId, channel: &ChannelName) {
        self.note(OFFERED, subscription.number(), 0.0, channel.as_str().as_bytes());
    }

    fn alarm(&mut self, alarm: Alarm<'_>) {
        let payload = alarm.payload();
        let ttl = if alarm.withdrawn() { -1.0 } else { milliseconds(alarm.ttl()) };
        let texts = [alarm.id(), alarm.channel()].map(str::as_bytes);
        self.payload(ALARM, 0, payload, [alarm.time() as f64, ttl], texts);
    }

    fn alarm_over(&mut self, id: &str, channel: &ChannelName, raised: u64) {
        let texts = [id.as_bytes(), channel.as_str().as_bytes(), &[]];
        self.row(ALARM, 0, [0.0, raised as f64, -1.0], texts, &[]);
    }

    fn progress(&mut self, command: CommandId, sent: usize, total: usize) {
        self.row(PROGRESS, command.number(), [sent as f64, total as f64, 0.0], [&[], &[], &[]], &[]);
    }

    fn response(&mut self, command: CommandId, payload: Payload<'_>) {
        self.answer(payload);
        self.note(ANSWER, command.number(), 1.0, &[]);
    }

    fn completed(&mut self, command: CommandId, result: Result<OutcomeView<'_>, Error>) {
        let mut epoch = "";
        let (mut offset, mut count) = (0.0, 0.0);
        match result {
            Ok(OutcomeView::Published(published)) => {
                if let Some(position) = published.position() {
                    epoch = position.epoch();
                    offset = position.offset() as f64;
                }
            }
            Ok(OutcomeView::Answered(time)) => offset = milliseconds(time),
            Ok(OutcomeView::Called(called)) => self.answer(called.payload()),
            Ok(OutcomeView::History(page)) => {
                for publication in page.publications() {
                    self.publish(PART, 0, publication.parts());
                }
                epoch = page.position().epoch();
                offset = page.position().offset() as f64;
                count = f64::from(u8::from(page.more()));
            }
            Ok(OutcomeView::Presence(list)) => {
                for member in list.members() {
                    self.member(PART, 0, member.texts());
                    if list.more() {
                        epoch = member.session();
                    }
                }
                offset = list.sessions().into();
                count = list.users().into();
            }
            Ok(_) => {}
            Err(error) => self.failure(&error),
        }
        self.row(ANSWER, command.number(), [0.0, offset, count], [epoch.as_bytes(), &[], &[]], &[]);
    }

    fn contract_differs(&mut self, _: &ContractDigest, theirs: view::ContractDigest<'_>) {
        for item in theirs.items() {
            let ContractHash(hash) = item.hash();
            self.note(CONTRACT_ITEM, hash as u32, f64::from((hash >> 32) as u32), item.name().as_bytes());
        }
        self.note(CONTRACT, 0, 0.0, &[]);
    }

    fn token_needed(&mut self, request: TokenRequest) {
        self.note(TOKEN_NEEDED, request.number(), 0.0, &[]);
    }

    fn error(&mut self, error: Error) {
        self.failure(&error);
        self.note(NOTICE, 0, 0.0, &[]);
    }
}

/// How many bytes or numbers an output keeps room for.
const KEPT: usize = 16 * 1024;

/// A message to every session. No subscription has this number.
const NO_SUBSCRIPTION: u32 = 0;

fn milliseconds(delay: Duration) -> f64 {
    delay.as_secs_f64() * 1000.0
}
