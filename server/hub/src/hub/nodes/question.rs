//! Questions to other nodes, and their answers.

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{ErrorInfo, Member, Publication, Push, ServerFrame};
use wirehub_common::{ChannelName, Codec};

use super::page::{ListPage, PageRequest};
use super::{narrow, wide};
use crate::SessionId;
use crate::hub::inspect::{ChannelSummary, ConnectedSession};
use crate::hub::record_value::{ValueReader, ValueWriter};

/// A request to every node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    Disconnect {
        session: SessionId,
        code: CloseCode,
        reason: String,
    },
    Subscribe {
        session: SessionId,
        channel: ChannelName,
    },
    Unsubscribe {
        session: SessionId,
        channel: ChannelName,
        error: ErrorInfo,
    },
    DisconnectUser {
        user: String,
        code: CloseCode,
        reason: String,
    },
    UnsubscribeUser {
        user: String,
        channel: ChannelName,
        error: ErrorInfo,
    },
    Broadcast(Publication),
    Session(SessionId),
    Sessions {
        user: Option<String>,
        page: PageRequest<SessionId>,
    },
    Subscriptions {
        session: SessionId,
        page: PageRequest<ChannelName>,
    },
    Channels {
        prefix: String,
        page: PageRequest<ChannelName>,
    },
    CountSessions,
    CountSubscribers(ChannelName),
    AbortConnection(SessionId),
    /// Of a later release, or damaged.
    Unknown,
}

/// The answer of one node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// The number of sessions that an order has reached, or the number that was asked for.
    Count(usize),
    Sessions(ListPage<ConnectedSession>),
    /// `None` if the session is not on this node.
    Subscriptions(Option<ListPage<ChannelName>>),
    Channels(ListPage<ChannelSummary>),
    /// The node does not know the question, or this node does not know the answer.
    Unknown,
}

impl Question {
    pub(super) fn write(&self, value: &mut ValueWriter) {
        value.byte(match self {
            Self::Unknown => 0,
            Self::Disconnect { .. } => 1,
            Self::Subscribe { .. } => 2,
            Self::Unsubscribe { .. } => 3,
            Self::DisconnectUser { .. } => 4,
            Self::UnsubscribeUser { .. } => 5,
            Self::Broadcast(_) => 6,
            Self::Session(_) => 7,
            Self::Sessions { .. } => 8,
            Self::Subscriptions { .. } => 9,
            Self::Channels { .. } => 10,
            Self::CountSessions => 11,
            Self::CountSubscribers(_) => 12,
            Self::AbortConnection(_) => 13,
        });
        match self {
            Self::Unknown | Self::CountSessions => {}
            Self::Disconnect { session, code, reason } => {
                value.bytes(&session.to_bytes());
                write_ending(value, *code, reason);
            }
            Self::Subscribe { session, channel } => {
                value.bytes(&session.to_bytes());
                value.bytes(channel.as_str().as_bytes());
            }
            Self::Unsubscribe { session, channel, error } => {
                value.bytes(&session.to_bytes());
                value.bytes(channel.as_str().as_bytes());
                write_error(value, error);
            }
            Self::DisconnectUser { user, code, reason } => {
                value.bytes(user.as_bytes());
                write_ending(value, *code, reason);
            }
            Self::UnsubscribeUser { user, channel, error } => {
                value.bytes(user.as_bytes());
                value.bytes(channel.as_str().as_bytes());
                write_error(value, error);
            }
            Self::Broadcast(publication) => {
                let frame = ServerFrame::Push(Push::Publication(publication.clone()));
                value.bytes(&Codec::Protobuf.encode_frame(&frame));
            }
            Self::Session(session) | Self::AbortConnection(session) => value.bytes(&session.to_bytes()),
            Self::Sessions { user, page } => {
                value.byte(u8::from(user.is_some()));
                value.bytes(user.as_deref().unwrap_or_default().as_bytes());
                page.write(value, |session| session.to_bytes().to_vec());
            }
            Self::Subscriptions { session, page } => {
                value.bytes(&session.to_bytes());
                page.write(value, |name| name.as_str().into());
            }
            Self::Channels { prefix, page } => {
                value.bytes(prefix.as_bytes());
                page.write(value, |name| name.as_str().into());
            }
            Self::CountSubscribers(channel) => value.bytes(channel.as_str().as_bytes()),
        }
    }

    pub(super) fn read(value: &mut ValueReader) -> Self {
        Self::try_read(value).unwrap_or(Self::Unknown)
    }

    fn try_read(value: &mut ValueReader) -> Option<Self> {
        Some(match value.byte()? {
            1 => {
                let session = read_session(value)?;
                let (code, reason) = read_ending(value)?;
                Self::Disconnect { session, code, reason }
            }
            2 => Self::Subscribe { session: read_session(value)?, channel: read_name(value)? },
            3 => Self::Unsubscribe {
                session: read_session(value)?,
                channel: read_name(value)?,
                error: read_error(value)?,
            },
            4 => {
                let user = value.text()?;
                let (code, reason) = read_ending(value)?;
                Self::DisconnectUser { user, code, reason }
            }
            5 => Self::UnsubscribeUser {
                user: value.text()?,
                channel: read_name(value)?,
                error: read_error(value)?,
            },
            6 => {
                let frame = value.bytes()?;
                match Codec::Protobuf.decode_frames(&frame).next()?.ok()? {
                    ServerFrame::Push(Push::Publication(publication)) => Self::Broadcast(publication),
                    _ => return None,
                }
            }
            7 => Self::Session(read_session(value)?),
            8 => {
                let (has_user, user) = (value.byte()? != 0, value.text()?);
                Self::Sessions { user: has_user.then_some(user), page: PageRequest::read(value, session_of)? }
            }
            9 => Self::Subscriptions {
                session: read_session(value)?,
                page: PageRequest::read(value, name_of)?,
            },
            10 => Self::Channels { prefix: value.text()?, page: PageRequest::read(value, name_of)? },
            11 => Self::CountSessions,
            12 => Self::CountSubscribers(read_name(value)?),
            13 => Self::AbortConnection(read_session(value)?),
            _ => return None,
        })
    }
}

impl Answer {
    pub(super) fn write(&self, value: &mut ValueWriter) {
        match self {
            Self::Unknown => value.byte(0),
            Self::Count(count) => {
                value.byte(1);
                value.number(wide(*count));
            }
            Self::Sessions(page) => {
                value.byte(2);
                page.write(value, write_connected);
            }
            Self::Subscriptions(page) => {
                value.byte(3);
                value.byte(u8::from(page.is_some()));
                let nothing = ListPage::default();
                page.as_ref()
                    .unwrap_or(&nothing)
                    .write(value, |item, name| item.bytes(name.as_str().as_bytes()));
            }
            Self::Channels(page) => {
                value.byte(4);
                page.write(value, |item, summary| {
                    item.bytes(summary.name.as_str().as_bytes());
                    item.number(wide(summary.subscribers));
                    item.number(summary.publications);
                });
            }
        }
    }

    pub(super) fn read(value: &mut ValueReader) -> Self {
        Self::try_read(value).unwrap_or(Self::Unknown)
    }

    fn try_read(value: &mut ValueReader) -> Option<Self> {
        Some(match value.byte()? {
            1 => Self::Count(narrow(value.number()?)),
            2 => Self::Sessions(ListPage::read(value, read_connected)?),
            3 => {
                let is_here = value.byte()? != 0;
                let page = ListPage::read(value, read_name)?;
                Self::Subscriptions(is_here.then_some(page))
            }
            4 => Self::Channels(ListPage::read(value, |item| {
                Some(ChannelSummary {
                    name: read_name(item)?,
                    subscribers: narrow(item.number()?),
                    publications: item.number()?,
                })
            })?),
            _ => return None,
        })
    }
}

fn write_connected(item: &mut ValueWriter, session: &ConnectedSession) {
    item.bytes(&session.id.to_bytes());
    item.bytes(session.member.user.as_bytes());
    item.bytes(session.member.info.as_bytes());
    item.bytes(session.address.map(|address| address.to_string()).unwrap_or_default().as_bytes());
    item.number(session.opened);
    item.bytes(session.subprotocol.as_bytes());
    item.number(session.channels.into());
    item.number(wide(session.queue_bytes));
}

fn read_connected(item: &mut ValueReader) -> Option<ConnectedSession> {
    let id = read_session(item)?;
    let member = Member { session: id.to_string(), user: item.text()?, info: item.text()? };
    let address = item.text()?;
    Some(ConnectedSession {
        id,
        member,
        address: if address.is_empty() { None } else { Some(address.parse().ok()?) },
        opened: item.number()?,
        subprotocol: item.text()?.into(),
        channels: item.number()?.try_into().ok()?,
        queue_bytes: narrow(item.number()?),
        node: None,
    })
}

fn write_ending(value: &mut ValueWriter, code: CloseCode, reason: &str) {
    value.number(code.number().into());
    value.bytes(reason.as_bytes());
}

fn read_ending(value: &mut ValueReader) -> Option<(CloseCode, String)> {
    Some((CloseCode::new(value.number()?.try_into().ok()?)?, value.text()?))
}

fn write_error(value: &mut ValueWriter, ErrorInfo { code, message, temporary }: &ErrorInfo) {
    value.number(code.number().into());
    value.bytes(message.as_bytes());
    value.byte(u8::from(*temporary));
}

fn read_error(value: &mut ValueReader) -> Option<ErrorInfo> {
    let code = ErrorCode::new(value.number()?.try_into().ok()?)?;
    Some(ErrorInfo { code, message: value.text()?, temporary: value.byte()? != 0 })
}

fn read_session(value: &mut ValueReader) -> Option<SessionId> {
    session_of(&value.bytes()?)
}

fn read_name(value: &mut ValueReader) -> Option<ChannelName> {
    name_of(&value.bytes()?)
}

fn session_of(bytes: &[u8]) -> Option<SessionId> {
    Some(SessionId::from_bytes(bytes.try_into().ok()?))
}

fn name_of(bytes: &[u8]) -> Option<ChannelName> {
    ChannelName::new(std::str::from_utf8(bytes).ok()?).ok()
}
