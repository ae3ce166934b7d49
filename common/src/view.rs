//! A server's frames, read where they stand: nothing is copied, and nothing is made that nobody asks for.
//!
//! [`Frames`] holds each frame against the protocol as a whole before it gives it away, so the questions have no errors:
//! what is absent is empty, zero or `None`, as in [`frame`](crate::frame), whose types these mirror. Each
//! turns into its counterpart by `read`, which needs the message for the bytes that both share.
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

use crate::codec::protobuf::check::{self, Checked};
use crate::codec::protobuf::message::Message;
use crate::codec::wire::split_delimited;
use crate::{Content, DecodeErrorKind};

mod fields;

/// The frames of one binary WebSocket message, one after the other. After an error the iterator ends: what came before it
/// is good, what comes behind it can't be told apart any more.
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
    /// The command that it answers; 0 for what comes unasked.
    pub id: u32,
    /// What it says.
    pub body: Body<'a>,
}

/// What a [`Frame`] says. An answer is one of [`Answer`](crate::frame::Answer), what comes unasked one of
/// [`Push`](crate::frame::Push).
// With the numbers of the fields, so that telling them apart costs nothing.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[repr(u8)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Body<'a> {
    /// Something of a newer protocol, to be passed over.
    Unknown = 0,
    Publication(Publication<'a>) = check::PUBLICATION,
    Error(Error<'a>) = check::ERROR,
    Connected(Connected<'a>) = check::CONNECTED,
    Subscribed(Subscribed<'a>) = check::SUBSCRIBED,
    Unsubscribed(Unsubscribed<'a>) = check::UNSUBSCRIBED,
    Published(Published<'a>) = check::PUBLISHED,
    History(HistoryPage<'a>) = check::HISTORY,
    Presence(PresenceList<'a>) = check::PRESENCE,
    Called(Called<'a>) = check::CALLED,
    Cancelled = check::CANCELLED,
    Refreshed(Refreshed<'a>) = check::REFRESHED,
    Join(Movement<'a>) = check::JOIN,
    Leave(Movement<'a>) = check::LEAVE,
    RefreshDue = check::REFRESH_DUE,
    Disconnect(Disconnect<'a>) = check::DISCONNECT,
    Acknowledged = check::ACKNOWLEDGED,
    Alarm(Alarm<'a>) = check::ALARM,
}

impl<'a> Frame<'a> {
    /// Checks a frame that was taken out of its message.
    pub(crate) fn new(part: &'a [u8]) -> Result<Self, DecodeErrorKind> {
        let Checked { id, number, body } = check::frame(part)?;
        let message = Message::new(body);
        let body = match number {
            check::PUBLICATION => Body::Publication(Publication(message)),
            check::ERROR => Body::Error(Error(message)),
            check::CONNECTED => Body::Connected(Connected(message)),
            check::SUBSCRIBED => Body::Subscribed(Subscribed(message)),
            check::UNSUBSCRIBED => Body::Unsubscribed(Unsubscribed(message)),
            check::PUBLISHED => Body::Published(Published(message)),
            check::HISTORY => Body::History(HistoryPage(message)),
            check::PRESENCE => Body::Presence(PresenceList(message)),
            check::CALLED => Body::Called(Called(message)),
            check::CANCELLED => Body::Cancelled,
            check::REFRESHED => Body::Refreshed(Refreshed(message)),
            check::JOIN => Body::Join(Movement(message)),
            check::LEAVE => Body::Leave(Movement(message)),
            check::REFRESH_DUE => Body::RefreshDue,
            check::DISCONNECT => Body::Disconnect(Disconnect(message)),
            check::ACKNOWLEDGED => Body::Acknowledged,
            check::ALARM => Body::Alarm(Alarm(message)),
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
            pub struct $name<'a>(Message<'a>);
        )*
    };
}

views! {
    Alarm Called Connected ContractDigest ContractId Disconnect HistoryPage Idempotency Member Movement Position
    PresenceList Publication Published Refreshed SubscribeOutcome Subscribed Unsubscribed
}

/// See [`ErrorInfo`](crate::frame::ErrorInfo).
#[derive(Debug, Clone, Copy)]
pub struct Error<'a>(Message<'a>);

/// See [`Payload`](crate::Payload).
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// What `data` is.
    pub content: Content,
    /// The bytes themselves.
    pub data: &'a [u8],
}

impl<'a> From<&'a crate::Payload> for Payload<'a> {
    fn from(payload: &'a crate::Payload) -> Self {
        Self { content: payload.content, data: &payload.data }
    }
}

impl Payload<'_> {
    /// Whether there is none: see [`Payload::is_absent`](crate::Payload::is_absent).
    pub fn is_absent(&self) -> bool {
        self.content == Content::Json && self.data.is_empty()
    }
}
