//! Any frame, for `proptest`.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{
    Acknowledge, Alarm, Call, Called, Cancel, Command, Connect, Connected, ContractDigest, ContractId,
    Disconnect, ErrorInfo, History, HistoryPage, Idempotency, Member, Movement, Part, Position, Presence,
    PresenceList, Publication, Publish, Published, Push, Refresh, Refreshed, Reply, ReplyBody, Request,
    ServerFrame, Subscribe, SubscribeOutcome, Subscribed, Unsubscribe, Unsubscribed,
};
use wirehub_common::{ChannelName, Limits, Payload};

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let request = prop_oneof![
        connect().prop_map(Request::Connect),
        subscribe().prop_map(Request::Subscribe),
        unsubscribe().prop_map(Request::Unsubscribe),
        (channel(), payload(), text()).prop_map(|(channel, payload, key)| Request::Publish(Publish {
            channel,
            payload,
            key
        })),
        (channel(), option::of(position()), any::<u32>(), any::<bool>()).prop_map(
            |(channel, since, limit, reverse)| Request::History(History { channel, since, limit, reverse })
        ),
        (channel(), any::<bool>(), text()).prop_map(|(channel, counts_only, after)| Request::Presence(
            Presence { channel, counts_only, after }
        )),
        (text(), payload(), text()).prop_map(|(name, payload, key)| Request::Call(Call {
            name,
            payload,
            key
        })),
        any::<u32>().prop_map(|command| Request::Cancel(Cancel { command })),
        text().prop_map(|token| Request::Refresh(Refresh { token })),
        (text(), any::<bool>())
            .prop_map(|(alarm, received_only)| Request::Acknowledge(Acknowledge { alarm, received_only })),
        part().prop_map(Request::Part),
        Just(Request::Unknown),
    ];
    (any::<u32>(), request).prop_map(|(id, request)| Command { id, request })
}

pub(crate) fn frame() -> impl Strategy<Value = ServerFrame> {
    prop_oneof![
        4 => reply().prop_map(ServerFrame::Reply),
        4 => push().prop_map(ServerFrame::Push),
        1 => part().prop_map(ServerFrame::Part),
    ]
}

/// A part of a frame whose data is text, which both codecs can carry.
fn part() -> impl Strategy<Value = Part> {
    (any::<u32>(), text(), any::<u64>()).prop_map(|(stream, text, left)| Part {
        stream,
        data: text.into(),
        left,
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let answer = prop_oneof![
        connected().prop_map(|connected| ReplyBody::Connected(Box::new(connected))),
        subscribed().prop_map(ReplyBody::Subscribed),
        unsubscribe().prop_map(ReplyBody::Unsubscribed),
        option::of(position()).prop_map(|position| ReplyBody::Published(Published { position })),
        (position(), vec(publication(), 0..4), any::<bool>()).prop_map(|(position, publications, more)| {
            ReplyBody::History(HistoryPage { position, publications, more })
        }),
        (vec(member(), 0..4), any::<[u32; 2]>(), any::<bool>()).prop_map(|(members, counts, more)| {
            let [sessions, users] = counts;
            ReplyBody::Presence(PresenceList { members, sessions, users, more })
        }),
        (payload(), any::<bool>()).prop_map(|(payload, more)| ReplyBody::Called(Called { payload, more })),
        Just(ReplyBody::Cancelled),
        Just(ReplyBody::Acknowledged),
        milliseconds().prop_map(|token_ttl| ReplyBody::Refreshed(Refreshed { token_ttl })),
        Just(ReplyBody::Unknown),
    ];
    (1..=u32::MAX, prop_oneof![8 => answer.prop_map(Ok), 2 => error().prop_map(Err)])
        .prop_map(|(id, result)| Reply { id, result })
}

fn push() -> impl Strategy<Value = Push> {
    prop_oneof![
        publication().prop_map(Push::Publication),
        movement().prop_map(Push::Join),
        movement().prop_map(Push::Leave),
        subscribed().prop_map(Push::Subscribed),
        (channel(), any::<u32>(), error()).prop_map(|(channel, number, error)| {
            Push::Unsubscribed(Unsubscribed { channel, number, error })
        }),
        Just(Push::RefreshDue),
        (1000..=4999_u16, text(), option::of(any::<u32>())).prop_map(|(code, reason, retry_after)| {
            Push::Disconnect(Disconnect { code: CloseCode::new(code).unwrap(), reason, retry_after })
        }),
        alarm().prop_map(|alarm| Push::Alarm(Box::new(alarm))),
        Just(Push::Unknown),
    ]
}

fn connect() -> impl Strategy<Value = Connect> {
    (text(), text(), text(), option::of(contract_id()), vec(subscribe(), 0..4), text()).prop_map(
        |(token, client, version, contract, subscriptions, instance)| Connect {
            token,
            client,
            version,
            contract,
            subscriptions,
            instance,
        },
    )
}

fn connected() -> impl Strategy<Value = Connected> {
    let digest =
        (contract_id(), vec(contract_id(), 0..4)).prop_map(|(id, items)| ContractDigest { id, items });
    let outcome = (channel(), any::<u32>(), prop_oneof![subscribed().prop_map(Ok), error().prop_map(Err)])
        .prop_map(|(channel, number, result)| SubscribeOutcome { channel, number, result });
    let idempotency = || {
        let memory = (text(), milliseconds(), any::<u64>());
        option::of(memory.prop_map(|(scope, window, clock)| Idempotency { scope, window, clock }))
    };
    let head = (text(), text(), limits(), option::of(digest), vec(outcome, 0..4));
    (head, idempotency(), milliseconds(), idempotency()).prop_map(
        |((session, user, limits, contract, subscriptions), idempotency, token_ttl, call_idempotency)| {
            Connected {
                session,
                user,
                limits,
                contract,
                subscriptions,
                idempotency,
                token_ttl,
                call_idempotency,
            }
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    (any::<[u32; 4]>(), milliseconds(), milliseconds()).prop_map(
        |([message_bytes, channels, calls, batch_bytes], ping_interval, reconnect_window)| Limits {
            message_bytes,
            channels,
            calls,
            ping_interval,
            reconnect_window,
            batch_bytes,
        },
    )
}

fn milliseconds() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), any::<u32>()].prop_map(|number| Duration::from_millis(number.into()))
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    (channel(), any::<u32>(), option::of(position()), any::<u32>())
        .prop_map(|(channel, number, position, history)| Subscribe { channel, number, position, history })
}

fn unsubscribe() -> impl Strategy<Value = Unsubscribe> {
    (channel(), any::<u32>()).prop_map(|(channel, number)| Unsubscribe { channel, number })
}

fn subscribed() -> impl Strategy<Value = Subscribed> {
    (channel(), any::<u32>(), option::of(position()), any::<bool>(), any::<u64>()).prop_map(
        |(channel, number, position, complete, recovering)| Subscribed {
            channel,
            number,
            position,
            complete,
            recovering,
        },
    )
}

fn publication() -> impl Strategy<Value = Publication> {
    (channel(), payload(), any::<u64>(), option::of(member()), any::<u64>()).prop_map(
        |(channel, payload, time, publisher, offset)| Publication {
            channel,
            payload,
            time,
            publisher,
            offset,
        },
    )
}

fn movement() -> impl Strategy<Value = Movement> {
    (channel(), member()).prop_map(|(channel, member)| Movement { channel, member })
}

fn alarm() -> impl Strategy<Value = Alarm> {
    (text(), channel(), payload(), any::<u64>(), milliseconds(), any::<bool>()).prop_map(
        |(id, channel, payload, time, ttl, withdrawn)| Alarm { id, channel, payload, time, ttl, withdrawn },
    )
}

fn member() -> impl Strategy<Value = Member> {
    let info = prop_oneof![Just(String::new()), json_text()];
    (text(), text(), info).prop_map(|(session, user, info)| Member { session, user, info })
}

fn position() -> impl Strategy<Value = Position> {
    (any::<u64>(), text()).prop_map(|(offset, epoch)| Position { offset, epoch })
}

fn contract_id() -> impl Strategy<Value = ContractId> {
    (text(), any::<u64>()).prop_map(|(name, hash)| ContractId { name, hash: ContractHash(hash) })
}

fn error() -> impl Strategy<Value = ErrorInfo> {
    (100..=u16::MAX, text(), any::<bool>()).prop_map(|(code, message, temporary)| ErrorInfo {
        code: ErrorCode::new(code).unwrap(),
        message,
        temporary,
    })
}

/// Any name that the rules allow, up to the longest.
fn channel() -> impl Strategy<Value = ChannelName> {
    prop_oneof![
        9 => r"[^\s\p{Cc}*]{1,40}",
        1 => Just("x".repeat(ChannelName::MAX_BYTES)),
    ]
    .prop_map(|name| ChannelName::new(&name).unwrap())
}

/// A payload that both codecs can carry without change.
fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        json_text().prop_map(Payload::json),
        vec(any::<u8>(), 0..64).prop_map(Payload::bytes),
        vec(any::<u8>(), 0..64).prop_map(Payload::custom),
        (json_text(), vec(any::<u8>(), 0..64)).prop_map(|(head, bytes)| Payload::attachment(head, bytes)),
        Just(Payload::json("")),
    ]
}

/// JSON in the form of `serde_json`: on one line. Numbers are integers, because readers may round fractions.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec((text(), inner), 0..4).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
    .prop_map(|value| value.to_string())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), vec(any::<char>(), 0..12).prop_map(String::from_iter)]
}
