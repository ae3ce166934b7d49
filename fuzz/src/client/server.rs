//! A server that answers commands, correctly or not.

use std::collections::BTreeSet;
use std::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{
    Alarm, Called, Command, Connected, ContractDigest, ContractId, Disconnect, ErrorInfo, HistoryPage,
    Idempotency, Member, Movement, Part, Position, PresenceList, Publication, Published, Push, Refreshed,
    Reply, ReplyBody, Request, ServerFrame, Subscribe, SubscribeOutcome, Subscribed, Unsubscribe,
    Unsubscribed,
};
use wirehub_common::{Assembler, ChannelName, Codec, Limits, Payload};

use super::script::{self, Channel, Frame, Greeting, Kind};

/// The commands of the connection.
#[derive(Default)]
pub(super) struct Server {
    commands: Vec<Command>,
    ids: BTreeSet<u32>,
    /// The commands that arrive in parts.
    parts: Assembler,
}

impl Server {
    pub(super) fn connection_opened(&mut self) {
        *self = Self::default();
    }

    /// Takes a message; the first one of a connection contains only `connect`. A command has at most `limit` bytes, if
    /// `limit` is not 0.
    pub(super) fn receive(&mut self, first: bool, commands: Vec<Command>, limit: u32) {
        for mut command in commands {
            if let Request::Part(Part { stream, data, left }) = &command.request {
                let limit = if limit == 0 { usize::MAX } else { limit as usize };
                let whole = self.parts.take(*stream, data, *left, limit).expect("parts fit together");
                let Some(whole) = whole else { continue };
                command = Codec::Protobuf.decode_command(&whole).expect("a client's commands can be decoded");
            }
            assert_eq!(first, matches!(command.request, Request::Connect(_)), "{command:?}");
            assert!(command.id == 0 || self.ids.insert(command.id), "{command:?} came twice");
            self.commands.push(command);
        }
        assert!(!first || self.commands.len() == 1, "{:?}", self.commands);
    }

    pub(super) fn frames(&self, frames: Vec<Frame>) -> Vec<ServerFrame> {
        frames.into_iter().filter_map(|frame| self.frame(frame)).collect()
    }

    fn frame(&self, frame: Frame) -> Option<ServerFrame> {
        Some(match frame {
            Frame::Answer { which, answer } => {
                let Command { id, request } = self.command(which)?;
                reply(*id, Ok(fitting_answer(request, &answer)))
            }
            Frame::Stray { id, answer } => reply(id, Ok(fitting_answer(&Request::Unknown, &answer))),
            Frame::Refusal { which, code, temporary } => {
                reply(self.command(which)?.id, Err(error(code, temporary)))
            }
            Frame::Publication { channel, offset } => {
                ServerFrame::Push(Push::Publication(publication(channel.name(), offset.into())))
            }
            Frame::Movement(channel) => {
                ServerFrame::Push(Push::Join(Movement { channel: channel.name(), member: Member::default() }))
            }
            Frame::Subscribed { channel, number, which, offset } => {
                ServerFrame::Push(Push::Subscribed(Subscribed {
                    channel: channel.name(),
                    number: which.and_then(|which| self.number_of(which)).unwrap_or_else(|| number.into()),
                    position: offset.map(|offset| Position { offset: offset.into(), epoch: "a".into() }),
                    complete: false,
                    recovering: 0,
                }))
            }
            Frame::Unsubscribed { which, code, temporary } => {
                let Request::Subscribe(Subscribe { channel, number, .. }) = &self.command(which)?.request
                else {
                    return None;
                };
                let error = error(code, temporary);
                let unsubscribed = Unsubscribed { channel: channel.clone(), number: *number, error };
                ServerFrame::Push(Push::Unsubscribed(unsubscribed))
            }
            Frame::Alarm { id, withdrawn } => ServerFrame::Push(Push::Alarm(Box::new(Alarm {
                id: id.to_string(),
                channel: Channel::Lobby.name(),
                payload: Payload::json("1"),
                time: 1,
                ttl: Duration::from_secs(1),
                withdrawn,
            }))),
            Frame::RefreshDue => ServerFrame::Push(Push::RefreshDue),
            Frame::Disconnect { code, retry_after } => {
                let code = CloseCode::new(code)?;
                ServerFrame::Push(Push::Disconnect(Disconnect { code, reason: String::new(), retry_after }))
            }
            Frame::Unknown => ServerFrame::Push(Push::Unknown),
        })
    }

    /// The number of one of the subscriptions that the client requested in commands of their own.
    fn number_of(&self, which: u8) -> Option<u32> {
        match &self.command(which)?.request {
            Request::Subscribe(subscribe) => Some(subscribe.number),
            _ => None,
        }
    }

    /// One of the commands of this connection, the newest first.
    fn command(&self, which: u8) -> Option<&Command> {
        let index = usize::from(which).checked_rem(self.commands.len())?;
        self.commands.iter().rev().nth(index)
    }
}

fn reply(id: u32, result: Result<ReplyBody, ErrorInfo>) -> ServerFrame {
    ServerFrame::Reply(Reply { id, result })
}

/// An error. Most of them are those with a meaning to a client.
fn error(code: u16, temporary: bool) -> ErrorInfo {
    let special = [ErrorCode::UNAUTHORIZED, ErrorCode::TOKEN_EXPIRED, ErrorCode::CLOSED, ErrorCode::TIMEOUT];
    let special = special.get(usize::from(code)).copied();
    let code = special.or_else(|| ErrorCode::new(code)).unwrap_or(ErrorCode::BAD_REQUEST);
    ErrorInfo { code, message: String::new(), temporary }
}

fn fitting_answer(request: &Request, answer: &script::Answer) -> ReplyBody {
    match answer.kind.unwrap_or_else(|| kind_for(request)) {
        Kind::Connected => {
            let restored: &[Subscribe] = match request {
                Request::Connect(connect) => &connect.subscriptions,
                _ => &[],
            };
            ReplyBody::Connected(Box::new(connected(restored, answer)))
        }
        Kind::Subscribed => match request {
            Request::Subscribe(subscribe) => ReplyBody::Subscribed(subscribed(subscribe, answer)),
            _ => {
                let channel = Channel::Lobby.name();
                ReplyBody::Subscribed(subscribed(
                    &Subscribe { channel, number: 1, position: None, history: 0 },
                    answer,
                ))
            }
        },
        Kind::Unsubscribed => {
            ReplyBody::Unsubscribed(Unsubscribe { channel: Channel::Lobby.name(), number: 1 })
        }
        Kind::Published => ReplyBody::Published(Published { position: Some(position(answer)) }),
        Kind::History => ReplyBody::History(HistoryPage {
            position: position(answer),
            publications: Vec::new(),
            more: answer.more,
        }),
        Kind::Presence => {
            ReplyBody::Presence(PresenceList { members: vec![Member::default()], ..PresenceList::default() })
        }
        Kind::Called => {
            let payload = if answer.empty { Payload::bytes("") } else { Payload::json("1") };
            ReplyBody::Called(Called { payload, more: answer.more })
        }
        Kind::Cancelled => ReplyBody::Cancelled,
        Kind::Refreshed => {
            ReplyBody::Refreshed(Refreshed { token_ttl: milliseconds(answer.greeting.token_ttl) })
        }
        Kind::Acknowledged => ReplyBody::Acknowledged,
        Kind::Unknown => ReplyBody::Unknown,
    }
}

fn kind_for(request: &Request) -> Kind {
    match request {
        Request::Connect(_) => Kind::Connected,
        Request::Subscribe(_) => Kind::Subscribed,
        Request::Unsubscribe(_) => Kind::Unsubscribed,
        Request::Publish(_) => Kind::Published,
        Request::History(_) => Kind::History,
        Request::Presence(_) => Kind::Presence,
        Request::Call(_) => Kind::Called,
        Request::Cancel(_) => Kind::Cancelled,
        Request::Refresh(_) => Kind::Refreshed,
        Request::Acknowledge(_) => Kind::Acknowledged,
        _ => Kind::Unknown,
    }
}

fn connected(restored: &[Subscribe], answer: &script::Answer) -> Connected {
    let Greeting {
        session,
        message_bytes,
        batch_bytes,
        ping_interval,
        reconnect_window,
        token_ttl,
        contract,
        ..
    } = answer.greeting;
    let id = ContractId { name: "other".into(), hash: ContractHash::default() };
    let bit = |mask: u8, index: usize| mask.checked_shr(index as u32).is_some_and(|rest| rest & 1 == 1);
    Connected {
        session: if session { "session".into() } else { String::new() },
        limits: Limits {
            message_bytes,
            batch_bytes,
            ping_interval: milliseconds(ping_interval),
            reconnect_window: milliseconds(reconnect_window),
            ..Limits::default()
        },
        contract: contract.then(|| ContractDigest { items: vec![id.clone()], id }),
        subscriptions: restored
            .iter()
            .enumerate()
            .filter(|&(index, _)| !bit(answer.greeting.forgotten, index))
            .map(|(index, subscribe)| SubscribeOutcome {
                channel: subscribe.channel.clone(),
                number: subscribe.number,
                result: if bit(answer.greeting.refused, index) {
                    Err(error(answer.offset.into(), answer.complete))
                } else {
                    Ok(subscribed(subscribe, answer))
                },
            })
            .collect(),
        idempotency: answer.greeting.idempotency.as_ref().map(|memory| Idempotency {
            scope: if memory.other_scope { "b".into() } else { "a".into() },
            window: milliseconds(memory.window),
            clock: memory.clock,
        }),
        token_ttl: milliseconds(token_ttl),
        ..Connected::default()
    }
}

fn subscribed(
    Subscribe { channel, number, position: from, .. }: &Subscribe,
    answer: &script::Answer,
) -> Subscribed {
    let from = from.clone().filter(|_| answer.complete);
    Subscribed {
        channel: channel.clone(),
        number: *number,
        position: (!answer.empty).then(|| from.unwrap_or_else(|| position(answer))),
        complete: answer.complete,
        recovering: answer.recovering.into(),
    }
}

fn position(answer: &script::Answer) -> Position {
    Position { offset: answer.offset.into(), epoch: if answer.epoch { "b".into() } else { "a".into() } }
}

fn publication(channel: ChannelName, offset: u64) -> Publication {
    Publication { channel, payload: Payload::json("1"), time: 1, publisher: None, offset }
}

fn milliseconds(milliseconds: u32) -> Duration {
    Duration::from_millis(milliseconds.into())
}
