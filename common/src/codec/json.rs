//! `wirehub.v1.json`: one JSON text per line.

use serde::de::Error as _;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{DecodeError, DecodeErrorKind};
use crate::Bytes;
use crate::frame::{
    Alarm, Called, Command, Connected, Disconnect, ErrorInfo, HistoryPage, Movement, Part, PresenceList,
    Publication, Published, Push, Refreshed, Reply, ReplyBody, Request, ServerFrame, Subscribed,
};

pub(super) fn encode_command(command: &Command) -> Bytes {
    line(|serializer| {
        let mut object = serializer.serialize_map(None)?;
        if command.id != 0 {
            object.serialize_entry("id", &command.id)?;
        }
        match &command.request {
            Request::Connect(body) => object.serialize_entry("connect", body),
            Request::Subscribe(body) => object.serialize_entry("subscribe", body),
            Request::Unsubscribe(body) => object.serialize_entry("unsubscribe", body),
            Request::Publish(body) => object.serialize_entry("publish", body),
            Request::History(body) => object.serialize_entry("history", body),
            Request::Presence(body) => object.serialize_entry("presence", body),
            Request::Call(body) => object.serialize_entry("call", body),
            Request::Cancel(body) => object.serialize_entry("cancel", body),
            Request::Refresh(body) => object.serialize_entry("refresh", body),
            Request::Acknowledge(body) => object.serialize_entry("acknowledge", body),
            Request::Part(body) => object.serialize_entry("part", body),
            Request::Invalid(_) | Request::Unknown => Ok(()),
        }?;
        object.end()
    })
}

pub(super) fn encode_frame(frame: &ServerFrame) -> Bytes {
    line(|serializer| {
        let mut object = serializer.serialize_map(None)?;
        match frame {
            ServerFrame::Reply(Reply { id, result }) => {
                object.serialize_entry("id", id)?;
                match result {
                    Err(error) => object.serialize_entry("error", error),
                    Ok(ReplyBody::Connected(body)) => object.serialize_entry("connected", body),
                    Ok(ReplyBody::Subscribed(body)) => object.serialize_entry("subscribed", body),
                    Ok(ReplyBody::Unsubscribed(body)) => object.serialize_entry("unsubscribed", body),
                    Ok(ReplyBody::Published(body)) => object.serialize_entry("published", body),
                    Ok(ReplyBody::History(body)) => object.serialize_entry("history", body),
                    Ok(ReplyBody::Presence(body)) => object.serialize_entry("presence", body),
                    Ok(ReplyBody::Called(body)) => object.serialize_entry("called", body),
                    Ok(ReplyBody::Cancelled) => object.serialize_entry("cancelled", &Empty {}),
                    Ok(ReplyBody::Refreshed(body)) => object.serialize_entry("refreshed", body),
                    Ok(ReplyBody::Acknowledged) => object.serialize_entry("acknowledged", &Empty {}),
                    Ok(ReplyBody::Unknown) => Ok(()),
                }?;
            }
            ServerFrame::Push(push) => match push {
                Push::Publication(body) => object.serialize_entry("publication", body),
                Push::Subscribed(body) => object.serialize_entry("subscribed", body),
                Push::Unsubscribed(body) => object.serialize_entry("unsubscribed", body),
                Push::Join(body) => object.serialize_entry("join", body),
                Push::Leave(body) => object.serialize_entry("leave", body),
                Push::RefreshDue => object.serialize_entry("refreshDue", &Empty {}),
                Push::Disconnect(body) => object.serialize_entry("disconnect", body),
                Push::Alarm(body) => object.serialize_entry("alarm", body),
                Push::Unknown => Ok(()),
            }?,
            ServerFrame::Part(body) => object.serialize_entry("part", body)?,
        }
        object.end()
    })
}

/// The bodies stay raw until the whole line is known to be JSON. So a body of a wrong shape makes only its own command invalid.
#[derive(Deserialize)]
struct CommandLine<'a> {
    #[serde(default)]
    id: u32,
    #[serde(borrow)]
    connect: Option<&'a RawValue>,
    #[serde(borrow)]
    subscribe: Option<&'a RawValue>,
    #[serde(borrow)]
    unsubscribe: Option<&'a RawValue>,
    #[serde(borrow)]
    publish: Option<&'a RawValue>,
    #[serde(borrow)]
    history: Option<&'a RawValue>,
    #[serde(borrow)]
    presence: Option<&'a RawValue>,
    #[serde(borrow)]
    call: Option<&'a RawValue>,
    #[serde(borrow)]
    cancel: Option<&'a RawValue>,
    #[serde(borrow)]
    refresh: Option<&'a RawValue>,
    #[serde(borrow)]
    acknowledge: Option<&'a RawValue>,
    #[serde(borrow)]
    part: Option<&'a RawValue>,
}

pub(super) fn decode_command(part: &[u8]) -> Result<Command, DecodeError> {
    let line: CommandLine<'_> = object(part).map_err(not_json)?;
    let requests = [
        line.connect.map(|raw| body(raw).map(Request::Connect)),
        line.subscribe.map(|raw| body(raw).map(Request::Subscribe)),
        line.unsubscribe.map(|raw| body(raw).map(Request::Unsubscribe)),
        line.publish.map(|raw| body(raw).map(Request::Publish)),
        line.history.map(|raw| body(raw).map(Request::History)),
        line.presence.map(|raw| body(raw).map(Request::Presence)),
        line.call.map(|raw| body(raw).map(Request::Call)),
        line.cancel.map(|raw| body(raw).map(Request::Cancel)),
        line.refresh.map(|raw| body(raw).map(Request::Refresh)),
        line.acknowledge.map(|raw| body(raw).map(Request::Acknowledge)),
        line.part.map(|raw| body(raw).map(Request::Part)),
    ];
    let mut requests = requests.into_iter().flatten();
    let request = match (requests.next(), requests.next()) {
        (None, _) => Request::Unknown,
        (Some(Ok(request)), None) => request,
        (Some(Err(error)), None) => Request::Invalid(error.to_string()),
        (Some(_), Some(_)) => Request::Invalid("a line holds one request: send a line for each".into()),
    };
    Ok(Command { id: line.id, request })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FrameLine<'a> {
    #[serde(default)]
    id: u32,
    error: Option<ErrorInfo>,
    connected: Option<Box<Connected>>,
    subscribed: Option<Subscribed>,
    /// A push has more fields than a reply.
    #[serde(borrow)]
    unsubscribed: Option<&'a RawValue>,
    published: Option<Published>,
    history: Option<HistoryPage>,
    presence: Option<PresenceList>,
    called: Option<Called>,
    cancelled: Option<Empty>,
    refreshed: Option<Refreshed>,
    acknowledged: Option<Empty>,
    publication: Option<Publication>,
    join: Option<Movement>,
    leave: Option<Movement>,
    refresh_due: Option<Empty>,
    disconnect: Option<Disconnect>,
    alarm: Option<Box<Alarm>>,
    part: Option<Part>,
}

pub(super) fn decode_frame(part: &[u8]) -> Result<ServerFrame, DecodeError> {
    let line: FrameLine<'_> = object(part).map_err(not_json)?;
    Ok(if line.id == 0 {
        if let Some(part) = line.part {
            return Ok(ServerFrame::Part(part));
        }
        ServerFrame::Push(line.into_push()?)
    } else {
        ServerFrame::Reply(line.into_reply()?)
    })
}

impl FrameLine<'_> {
    fn into_push(self) -> Result<Push, DecodeError> {
        if let Some(raw) = self.unsubscribed {
            return body(raw).map(Push::Unsubscribed).map_err(not_json);
        }
        let pushes = [
            self.publication.map(Push::Publication),
            self.subscribed.map(Push::Subscribed),
            self.join.map(Push::Join),
            self.leave.map(Push::Leave),
            self.refresh_due.map(|Empty {}| Push::RefreshDue),
            self.disconnect.map(Push::Disconnect),
            self.alarm.map(Push::Alarm),
        ];
        Ok(pushes.into_iter().flatten().next().unwrap_or(Push::Unknown))
    }

    fn into_reply(self) -> Result<Reply, DecodeError> {
        let unsubscribed = self.unsubscribed.map(body).transpose().map_err(not_json)?;
        let answers = [
            self.connected.map(ReplyBody::Connected),
            self.subscribed.map(ReplyBody::Subscribed),
            unsubscribed.map(ReplyBody::Unsubscribed),
            self.published.map(ReplyBody::Published),
            self.history.map(ReplyBody::History),
            self.presence.map(ReplyBody::Presence),
            self.called.map(ReplyBody::Called),
            self.cancelled.map(|Empty {}| ReplyBody::Cancelled),
            self.refreshed.map(ReplyBody::Refreshed),
            self.acknowledged.map(|Empty {}| ReplyBody::Acknowledged),
        ];
        let answer = answers.into_iter().flatten().next().unwrap_or(ReplyBody::Unknown);
        Ok(Reply { id: self.id, result: self.error.map_or(Ok(answer), Err) })
    }
}

/// Cuts a part off a line. JSON escapes each quote of the text, so the part may take twice as many bytes as the text.
pub(super) fn cut_part(stream: u32, rest: &mut Bytes, room: usize) -> Bytes {
    const HEAD_BYTES: usize = 96;
    let most = (room.saturating_sub(HEAD_BYTES) / 2).max(4);
    let mut end = rest.len().min(most);
    // The cut is not within a character. Every byte of a character but the first begins with these two bits.
    while end < rest.len() && end > 0 && rest.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end = end.saturating_sub(1);
    }
    let data = rest.split_to(end);
    encode_frame(&ServerFrame::Part(Part { stream, data, left: rest.len() as u64 }))
}

/// Removes one line from the front of a batch. Lines of white space only are skipped.
pub(super) fn split_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    loop {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let (line, behind) = rest.split_at_checked(end)?;
        *rest = behind.get(1..).unwrap_or_default();
        if !line.trim_ascii().is_empty() {
            return Some(line);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Empty {}

fn body<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, serde_json::Error> {
    object(raw.get().as_bytes())
}

/// Reads an object. By default serde also accepts an array in place of a struct, with the fields in the order of declaration.
fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, serde_json::Error> {
    if text.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(text)
    } else {
        Err(serde_json::Error::custom("this has to be a JSON object"))
    }
}

fn line(
    write: impl FnOnce(&mut serde_json::Serializer<&mut Vec<u8>>) -> Result<(), serde_json::Error>,
) -> Bytes {
    let mut out = Vec::with_capacity(128);
    // Writing to memory fails only for maps whose keys are not strings. No frame has such a map.
    let written = write(&mut serde_json::Serializer::new(&mut out));
    debug_assert!(written.is_ok(), "{written:?}");
    // Line feeds within a text are escaped. Any other line feed is white space of an inlined payload.
    for byte in &mut out {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    out.push(b'\n');
    out.into()
}

fn not_json(error: serde_json::Error) -> DecodeError {
    DecodeError::with_source(DecodeErrorKind::Json, error)
}
