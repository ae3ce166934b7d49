//! A server's frames, read in place: nothing is copied, and values are created on demand only.
//!
//! [`Frames`] checks each frame as a whole before it returns it, so the getters have no errors. An absent field is empty, zero
//! or `None`. The types mirror those of [`frame`](crate::frame), field by field. `read` turns each into its counterpart; it
//! takes the message as an argument if both share bytes.
//!
//! ```
//! use wirehub_common::frame::{Movement, Push, ServerFrame};
//! use wirehub_common::view::{Body, Frames};
//! use wirehub_common::{ChannelName, Codec};
//!
//! let join = Movement { channel: ChannelName::new("chat:lobby")?, member: Default::default() };
//! let message = Codec::Protobuf.encode_frame(&ServerFrame::Push(Push::Join(join.clone())));
//! let frame = Frames::new(&message).next().unwrap().unwrap();
//! let Body::Join(movement) = frame.body else { panic!() };
//! assert_eq!(movement.channel(), "chat:lobby");
//! assert_eq!(movement.read(), join);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::codec::protobuf::check::{self, Envelope, Fault};
use crate::codec::protobuf::message::Message;
use crate::codec::protobuf::shapes;
use crate::codec::wire::{Field, WIRE_LENGTH, WIRE_VARINT, split_delimited};
use crate::{Bytes, ChannelName, Content, DecodeErrorKind, utf8};

/// The frames of one binary WebSocket message, one after the other. After an error the iterator ends: the frames before the
/// error are valid, and the frames behind it can't be told apart.
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Reads a message.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, DecodeErrorKind>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = split_delimited(&mut self.rest).transpose()?.and_then(Frame::new);
        if frame.is_err() {
            self.rest = &[];
        }
        Some(frame)
    }
}

/// See [`ServerFrame`](crate::frame::ServerFrame).
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The id of the command that the frame answers; 0 for a push.
    pub id: u32,
    /// The content of the frame.
    pub body: Body<'a>,
}

/// The content of a [`Frame`]. A reply is one of [`ReplyBody`](crate::frame::ReplyBody), an unsolicited frame is one of
/// [`Push`](crate::frame::Push).
// The discriminants are the numbers of the fields, so that no conversion is needed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[repr(u8)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Body<'a> {
    /// A body of a newer protocol. Clients ignore it.
    Unknown = 0,
    Publication(Publication<'a>) = shapes::PUBLICATION,
    Error(ErrorInfo<'a>) = shapes::ERROR,
    Connected(Connected<'a>) = shapes::CONNECTED,
    Subscribed(Subscribed<'a>) = shapes::SUBSCRIBED,
    Unsubscribed(Unsubscribed<'a>) = shapes::UNSUBSCRIBED,
    Published(Published<'a>) = shapes::PUBLISHED,
    History(HistoryPage<'a>) = shapes::HISTORY,
    Presence(PresenceList<'a>) = shapes::PRESENCE,
    Called(Called<'a>) = shapes::CALLED,
    Cancelled = shapes::CANCELLED,
    Refreshed(Refreshed<'a>) = shapes::REFRESHED,
    Join(Movement<'a>) = shapes::JOIN,
    Leave(Movement<'a>) = shapes::LEAVE,
    RefreshDue = shapes::REFRESH_DUE,
    Disconnect(Disconnect<'a>) = shapes::DISCONNECT,
    Acknowledged = shapes::ACKNOWLEDGED,
    Alarm(Alarm<'a>) = shapes::ALARM,
    Part(Part<'a>) = shapes::PART,
}

impl<'a> Frame<'a> {
    /// Checks a single frame without its delimiter, for example one that was [put together](crate::Assembler) from parts.
    ///
    /// # Errors
    /// The bytes are no valid frame.
    pub fn new(part: &'a [u8]) -> Result<Self, DecodeErrorKind> {
        let Envelope { id, mut number, body } = check::envelope(part, shapes::PART)?;
        let known = if id == 0 { shapes::PUSHES } else { shapes::ANSWERS };
        if known.wrapping_shr(number.into()) & 1 == 0 {
            number = 0;
        }
        let shape = match number {
            shapes::UNSUBSCRIBED if id != 0 => shapes::ANSWER_TO_UNSUBSCRIBE,
            _ => number,
        };
        check::message(shapes::FRAMES, shape, body).map_err(|fault| match fault {
            // An invalid channel or content tag from a server is as serious as unreadable bytes.
            Fault::Channel(_) | Fault::Content => DecodeErrorKind::Field,
            Fault::Frame(kind) => kind,
        })?;
        let message = Message::new(body);
        let body = match number {
            shapes::PUBLICATION => Body::Publication(Publication(message)),
            shapes::ERROR => Body::Error(ErrorInfo(message)),
            shapes::CONNECTED => Body::Connected(Connected(message)),
            shapes::SUBSCRIBED => Body::Subscribed(Subscribed(message)),
            shapes::UNSUBSCRIBED => Body::Unsubscribed(Unsubscribed(message)),
            shapes::PUBLISHED => Body::Published(Published(message)),
            shapes::HISTORY => Body::History(HistoryPage(message)),
            shapes::PRESENCE => Body::Presence(PresenceList(message)),
            shapes::CALLED => Body::Called(Called(message)),
            shapes::CANCELLED => Body::Cancelled,
            shapes::REFRESHED => Body::Refreshed(Refreshed(message)),
            shapes::JOIN => Body::Join(Movement(message)),
            shapes::LEAVE => Body::Leave(Movement(message)),
            shapes::REFRESH_DUE => Body::RefreshDue,
            shapes::DISCONNECT => Body::Disconnect(Disconnect(message)),
            shapes::ACKNOWLEDGED => Body::Acknowledged,
            shapes::ALARM => Body::Alarm(Alarm(message)),
            shapes::PART => Body::Part(Part(message)),
            _ => Body::Unknown,
        };
        Ok(Self { id, body })
    }
}

macro_rules! views {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("See [`frame::", stringify!($name), "`](crate::frame::", stringify!($name), ").")]
            #[derive(Debug, Clone, Copy)]
            pub struct $name<'a>(pub(crate) Message<'a>);
        )*
    };
}

views! {
    Alarm Called Connected ContractDigest ContractId Disconnect ErrorInfo HistoryPage Idempotency Member Movement Part
    Position PresenceList Publication Published Refreshed SubscribeOutcome Subscribed Unsubscribed
}

/// The fields of a [`Publication`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields of `Publication`")]
pub struct PublicationParts<'a> {
    /// As bytes: the check has read them as a text already, and names are compared as bytes.
    pub channel: &'a [u8],
    pub payload: Payload<'a>,
    pub time: u64,
    pub publisher: Option<Member<'a>>,
    pub offset: u64,
}

impl<'a> Publication<'a> {
    /// Every field, read in one go. Each getter searches the message by itself, which took most of the time of a message
    /// in a browser.
    pub fn parts(self) -> PublicationParts<'a> {
        let wires = [WIRE_LENGTH, WIRE_VARINT, WIRE_LENGTH, WIRE_VARINT, WIRE_LENGTH, WIRE_VARINT];
        let [channel, content, data, time, publisher, offset] = self.0.fields(wires);
        let number = |field: Option<Field<'_>>| field.map_or(0, |field| field.value);
        let bytes = |field: Option<Field<'a>>| field.map_or(&[][..], |field| field.part);
        PublicationParts {
            channel: bytes(channel),
            payload: Payload {
                content: Content::from_number(number(content)).unwrap_or_default(),
                data: bytes(data),
            },
            time: number(time),
            publisher: publisher.map(|field| Member(Message::new(field.part))),
            offset: number(offset),
        }
    }
}

impl PublicationParts<'_> {
    /// The publication as a value. It shares its bytes with `message`, which contains it.
    pub fn read(self, message: &Bytes) -> crate::frame::Publication {
        let Self { channel, payload, time, publisher, offset } = self;
        crate::frame::Publication {
            channel: ChannelName::checked(utf8::text(channel).unwrap_or_default()),
            payload: payload.read(message),
            time,
            publisher: publisher.map(Member::read),
            offset,
        }
    }
}

impl<'a> Member<'a> {
    /// Session, user and info as bytes, read in one go: the check has read them as texts already.
    pub fn texts(self) -> [&'a [u8]; 3] {
        self.0.fields([WIRE_LENGTH; 3]).map(|field| field.map_or(&[][..], |field| field.part))
    }
}

/// See [`Limits`](crate::Limits).
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a>(pub(crate) Message<'a>);

/// See [`Payload`](crate::Payload).
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// The kind of `data`.
    pub content: Content,
    /// The bytes themselves.
    pub data: &'a [u8],
}

impl<'a> From<&'a crate::Payload> for Payload<'a> {
    fn from(payload: &'a crate::Payload) -> Self {
        Self { content: payload.content, data: &payload.data }
    }
}

impl<'a> Payload<'a> {
    /// The content tag in the field `number`, the data in the one after it.
    pub(crate) fn of(message: Message<'a>, number: u32) -> Self {
        let content = Content::from_number(message.number(number)).unwrap_or_default();
        Self { content, data: message.bytes(number.saturating_add(1)) }
    }

    /// The payload as a value. It shares its bytes with `message`, which contains it.
    pub fn read(self, message: &Bytes) -> crate::Payload {
        crate::Payload { content: self.content, data: message.slice_ref(self.data) }
    }

    /// Returns `true` if there is no payload: see [`Payload::is_absent`](crate::Payload::is_absent).
    pub fn is_absent(&self) -> bool {
        self.content == Content::Json && self.data.is_empty()
    }
}
