//! The encoding and decoding of the server's frames.

use alloc::boxed::Box;

use super::field::MessageType;
use super::shapes;
use crate::Bytes;
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Encode, Writer};
use crate::frame::{Push, Reply, ReplyBody, ServerFrame};
use crate::view::{Body, Frame};

pub(in crate::codec) fn decode_frame(message: &Bytes, part: &[u8]) -> Result<ServerFrame, DecodeErrorKind> {
    let Frame { id, body } = Frame::new(part)?;
    if let Body::Part(part) = body {
        return Ok(ServerFrame::Part(part.read(message)));
    }
    Ok(if id == 0 {
        ServerFrame::Push(match body {
            Body::Publication(publication) => Push::Publication(publication.read(message)),
            Body::Subscribed(subscribed) => Push::Subscribed(subscribed.read()),
            Body::Unsubscribed(unsubscribed) => Push::Unsubscribed(unsubscribed.read()),
            Body::Join(movement) => Push::Join(movement.read()),
            Body::Leave(movement) => Push::Leave(movement.read()),
            Body::RefreshDue => Push::RefreshDue,
            Body::Disconnect(disconnect) => Push::Disconnect(disconnect.read()),
            Body::Alarm(alarm) => Push::Alarm(Box::new(alarm.read(message))),
            _ => Push::Unknown,
        })
    } else {
        let result = match body {
            Body::Error(error) => Err(error.read()),
            Body::Connected(connected) => Ok(ReplyBody::Connected(Box::new(connected.read()))),
            Body::Subscribed(subscribed) => Ok(ReplyBody::Subscribed(subscribed.read())),
            Body::Unsubscribed(unsubscribed) => {
                Ok(ReplyBody::Unsubscribed(MessageType::read(unsubscribed.0, message)))
            }
            Body::Published(published) => Ok(ReplyBody::Published(published.read())),
            Body::History(page) => Ok(ReplyBody::History(page.read(message))),
            Body::Presence(list) => Ok(ReplyBody::Presence(list.read())),
            Body::Called(called) => Ok(ReplyBody::Called(called.read(message))),
            Body::Cancelled => Ok(ReplyBody::Cancelled),
            Body::Refreshed(refreshed) => Ok(ReplyBody::Refreshed(refreshed.read())),
            Body::Acknowledged => Ok(ReplyBody::Acknowledged),
            _ => Ok(ReplyBody::Unknown),
        };
        ServerFrame::Reply(Reply { id, result })
    })
}

/// A message without fields.
struct Empty;

impl Encode for Empty {
    fn encode(&self, _: &mut Writer) {}
}

impl Encode for ServerFrame {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Reply(Reply { id, result }) => {
                out.uint(1, (*id).into());
                match result {
                    Err(error) => out.message(shapes::ERROR.into(), error),
                    Ok(ReplyBody::Connected(body)) => out.message(shapes::CONNECTED.into(), &**body),
                    Ok(ReplyBody::Subscribed(body)) => out.message(shapes::SUBSCRIBED.into(), body),
                    Ok(ReplyBody::Unsubscribed(body)) => out.message(shapes::UNSUBSCRIBED.into(), body),
                    Ok(ReplyBody::Published(body)) => out.message(shapes::PUBLISHED.into(), body),
                    Ok(ReplyBody::History(body)) => out.message(shapes::HISTORY.into(), body),
                    Ok(ReplyBody::Presence(body)) => out.message(shapes::PRESENCE.into(), body),
                    Ok(ReplyBody::Called(body)) => out.message(shapes::CALLED.into(), body),
                    Ok(ReplyBody::Cancelled) => out.message(shapes::CANCELLED.into(), &Empty),
                    Ok(ReplyBody::Refreshed(body)) => out.message(shapes::REFRESHED.into(), body),
                    Ok(ReplyBody::Acknowledged) => out.message(shapes::ACKNOWLEDGED.into(), &Empty),
                    Ok(ReplyBody::Unknown) => {}
                }
            }
            Self::Push(push) => match push {
                Push::Publication(body) => out.message(shapes::PUBLICATION.into(), body),
                Push::Subscribed(body) => out.message(shapes::SUBSCRIBED.into(), body),
                Push::Unsubscribed(body) => out.message(shapes::UNSUBSCRIBED.into(), body),
                Push::Join(body) => out.message(shapes::JOIN.into(), body),
                Push::Leave(body) => out.message(shapes::LEAVE.into(), body),
                Push::RefreshDue => out.message(shapes::REFRESH_DUE.into(), &Empty),
                Push::Disconnect(body) => out.message(shapes::DISCONNECT.into(), body),
                Push::Alarm(body) => out.message(shapes::ALARM.into(), &**body),
                Push::Unknown => {}
            },
            Self::Part(body) => out.message(shapes::PART.into(), body),
        }
    }
}
