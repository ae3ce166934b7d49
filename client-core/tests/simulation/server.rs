//! A server that keeps to PROTOCOL.md, with a short history for each channel.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use wirehub_client_core::Time;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{
    Call, Called, Command, Connect, Connected, ErrorInfo, Idempotency, Member, Movement, Part, Position,
    PresenceList, Publication, Publish, Published, Push, Refresh, Refreshed, Reply, ReplyBody, Request,
    ServerFrame, Subscribe, SubscribeOutcome, Subscribed, Unsubscribe,
};
use wirehub_common::{ChannelName, Codec, Payload};

use crate::alarms::Ledger;
use crate::random::Random;
use crate::session::{Overflow, Session, Subscription};
use crate::tokens::Token;

/// How many responses the procedure `count` streams.
pub(crate) const RESPONSES: u64 = 3;

/// How much longer than announced servers remember keys, for messages in flight.
const MEMORY_GRACE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Server {
    /// How many publications a channel keeps.
    history: usize,
    overflow: Overflow,
    /// The channel that keeps no history at all, if there is one.
    bare: Option<ChannelName>,
    channels: BTreeMap<ChannelName, Channel>,
    sessions: BTreeMap<u64, Session>,
    restarts: u64,
    /// The newest message of each client in each channel.
    newest: BTreeMap<(ChannelName, u32), u64>,
    /// The messages of the clients that were published, over all restarts.
    carried_out: BTreeSet<Message>,
    /// The keys of the remembered calls, and the times of their arrival.
    called: BTreeMap<String, Time>,
    /// The keys of every call that was carried out, over all restarts.
    calls_carried_out: BTreeSet<String>,
    /// Whether a publication is sometimes dropped for a subscriber, as if the subscriber were too slow.
    pub(crate) drops: bool,
    /// Counts deliveries, to drop some.
    deliveries: u64,
    /// How long keys are remembered, by a clock that goes on while clients sleep; `None` if they are not.
    window: Option<Duration>,
    /// The last time set by the world.
    now: Time,
    /// Whether the current message comes from a connection that its client has left.
    is_late: bool,
    /// Whether it checks tokens.
    has_tokens: bool,
    /// Whether it reports members.
    has_presence: bool,
    pub(crate) ledger: Ledger,
}

/// A message published by a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) client: u32,
    /// Counts the messages of the client.
    pub(crate) number: u64,
}

impl Message {
    pub(crate) fn to_payload(self, padding: usize) -> Payload {
        let mut data = [&self.client.to_be_bytes()[..], &self.number.to_be_bytes()].concat();
        data.resize(data.len() + padding, 0);
        Payload::bytes(data)
    }

    fn from_payload(payload: &Payload) -> Self {
        let client = u32::from_be_bytes(payload.data[..4].try_into().unwrap());
        Self { client, number: u64::from_be_bytes(payload.data[4..12].try_into().unwrap()) }
    }
}

#[derive(Debug, Default)]
struct Channel {
    /// Counts the publications over all restarts. The test tells them apart by this number.
    published: u64,
    offset: u64,
    history: VecDeque<Publication>,
    /// The answers to the publishes with a key, and the times of their arrival.
    answered: BTreeMap<String, (Time, Position)>,
}

impl Server {
    pub(crate) fn new(
        history: usize,
        window: Option<Duration>,
        overflow: Overflow,
        bare: Option<ChannelName>,
        has_tokens: bool,
        has_presence: bool,
    ) -> Self {
        Self {
            history,
            overflow,
            bare,
            channels: BTreeMap::new(),
            sessions: BTreeMap::new(),
            restarts: 0,
            newest: BTreeMap::new(),
            carried_out: BTreeSet::new(),
            called: BTreeMap::new(),
            calls_carried_out: BTreeSet::new(),
            drops: false,
            deliveries: 0,
            window,
            now: Time::ZERO,
            is_late: false,
            has_tokens,
            has_presence,
            ledger: Ledger::default(),
        }
    }

    pub(crate) fn open(&mut self, connection: u64) {
        self.sessions.insert(connection, Session::new());
    }

    pub(crate) fn close(&mut self, connection: u64) {
        let Some(session) = self.sessions.remove(&connection) else { return };
        for channel in session.subscriptions.keys() {
            self.tell(connection, channel, false);
        }
    }

    /// Notifies the sessions in a channel of a member that entered or left.
    fn tell(&mut self, connection: u64, channel: &ChannelName, joined: bool) {
        if !self.has_presence {
            return;
        }
        let member = Member { session: session_name(connection), ..Member::default() };
        let movement = Movement { channel: channel.clone(), member };
        let push = ServerFrame::Push(if joined { Push::Join(movement) } else { Push::Leave(movement) });
        let others = self
            .sessions
            .iter_mut()
            .filter(|(id, session)| **id != connection && session.subscriptions.contains_key(channel));
        others.for_each(|(_, session)| session.in_line(&push));
    }

    /// The sessions in a channel.
    pub(crate) fn members(&self, channel: &ChannelName) -> Vec<String> {
        let members = self.sessions.iter().filter(|(_, session)| session.subscriptions.contains_key(channel));
        members.map(|(&connection, _)| session_name(connection)).collect()
    }

    pub(crate) fn session(&self, connection: u64) -> Option<&Session> {
        self.sessions.get(&connection)
    }

    /// Raises an alarm for a user.
    pub(crate) fn raise(&mut self, now: Time, user: &str, ttl: Duration) {
        let frame = self.ledger.raise(now, user, ttl);
        for session in self.sessions.values_mut().filter(|session| session.greeted && session.user == user) {
            session.reply(&frame);
        }
    }

    /// Notifies the sessions whose tokens are about to expire; returns those whose tokens have expired.
    pub(crate) fn look_at_tokens(&mut self, now: Time) -> Vec<u64> {
        let mut expired = Vec::new();
        for (&connection, session) in &mut self.sessions {
            let Some(token) = &session.token else { continue };
            if now > token.expires.after(TOKEN_GRACE) {
                expired.push(connection);
            } else if now.after(TOKEN_GRACE) > token.expires && !session.is_warned {
                session.is_warned = true;
                session.reply(&ServerFrame::Push(Push::RefreshDue));
            }
        }
        expired
    }

    /// Checks a token.
    fn check(&self, token: &str) -> Result<Token, ErrorInfo> {
        let token = Token::parse(token);
        if token.expires <= self.now {
            Err(ErrorInfo::from_code(ErrorCode::TOKEN_EXPIRED))
        } else {
            Ok(token)
        }
    }

    /// Every session is lost, and the history too unless it is on a disk.
    pub(crate) fn restart(&mut self, keep_history: bool) {
        self.sessions.clear();
        if !keep_history {
            self.restarts += 1;
            self.ledger.clear();
            self.called.clear();
            for channel in self.channels.values_mut() {
                channel.offset = 0;
                channel.history.clear();
                channel.answered.clear();
            }
        }
    }

    pub(crate) fn has_carried_out(&self, message: Message) -> bool {
        self.carried_out.contains(&message)
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = u64> {
        self.sessions.keys().copied()
    }

    /// The number of publications in the channel so far.
    pub(crate) fn published(&self, channel: &ChannelName) -> u64 {
        self.channels.get(channel).map_or(0, |channel| channel.published)
    }

    /// Handles a client's message. `is_left` is whether the client has another connection by now.
    pub(crate) fn handle(&mut self, now: Time, connection: u64, message: &Bytes, is_left: bool) {
        self.now = now;
        self.is_late = is_left;
        if !self.sessions.contains_key(&connection) || message.is_empty() {
            return;
        }
        for command in Codec::Protobuf.decode_commands(message) {
            let mut command = command.expect("clients' commands can be decoded");
            if let Request::Part(Part { stream, data, left }) = &command.request {
                let session = self.sessions.get_mut(&connection).unwrap();
                let whole = session.incoming.take(*stream, data, *left, MESSAGE_BYTES);
                let Some(whole) = whole.expect("parts fit together") else { continue };
                command = Codec::Protobuf.decode_command(&whole).expect("clients' commands can be decoded");
            }
            let Command { id, request } = command;
            let is_connect = matches!(request, Request::Connect(_));
            let result = self.carry_out(connection, id, request);
            if id == 0 {
                continue;
            }
            let in_line = matches!(result, Ok(ReplyBody::Subscribed(_) | ReplyBody::Unsubscribed(_)));
            let reply = ServerFrame::Reply(Reply { id, result });
            let session = self.sessions.get_mut(&connection).unwrap();
            if in_line {
                session.in_line(&reply);
            } else {
                session.reply(&reply);
            }
            if is_connect && session.greeted {
                let alarms = self.ledger.greet(now, &session.user);
                alarms.iter().for_each(|alarm| session.reply(alarm));
            }
        }
    }

    /// The next message for a client, if there is one.
    pub(crate) fn next_message(&mut self, connection: u64, random: &mut Random) -> Option<Bytes> {
        let epoch = self.restarts;
        let session = self.sessions.get_mut(&connection)?;
        let reads_history = |(name, subscription): (&ChannelName, &Subscription)| {
            subscription.next.is_some().then(|| name.clone())
        };
        for name in session.subscriptions.iter().filter_map(reads_history).collect::<Vec<_>>() {
            let channel = &self.channels[&name];
            while let Subscription { number, next: Some(next) } = session.subscriptions[&name] {
                let first_kept = channel.first_kept();
                if next > channel.offset {
                    session.subscriptions.insert(name.clone(), Subscription { number, next: None });
                } else if !session.wants_page() {
                    break;
                } else if next < first_kept {
                    // It was too slow for the size of the history.
                    let position = Some(Position { offset: first_kept - 1, epoch: epoch.to_string() });
                    session.in_line(&goes_on(&name, number, position));
                    let subscription = Subscription { number, next: Some(first_kept) };
                    session.subscriptions.insert(name.clone(), subscription);
                } else {
                    let publication = &channel.history[usize::try_from(next - first_kept).unwrap()];
                    assert_eq!(publication.offset, next);
                    session.recover(publication, number);
                    session.subscriptions.insert(name.clone(), Subscription { number, next: Some(next + 1) });
                }
            }
        }
        session.next_message(random)
    }

    /// Whether a command of the client's has partly arrived.
    pub(crate) fn is_receiving(&self, connection: u64) -> bool {
        self.sessions.get(&connection).is_some_and(|session| !session.incoming.is_empty())
    }

    /// The sessions that are too slow for their channels.
    pub(crate) fn too_slow(&self) -> Vec<u64> {
        self.sessions.iter().filter(|(_, session)| session.is_over).map(|(&id, _)| id).collect()
    }

    fn epoch(&self) -> String {
        self.restarts.to_string()
    }

    /// Publishes, unless the key is remembered.
    fn publish_once(&mut self, publish: Publish) -> Position {
        let Publish { channel: name, payload, key } = publish;
        let window = self.window.map(|window| window + MEMORY_GRACE);
        let now = self.now;
        if let (Some(channel), Some(window)) = (self.channels.get_mut(&name), window) {
            channel.answered.retain(|_, (time, _)| now.since(*time) < window);
            if let Some((_, position)) = channel.answered.get(&key) {
                return position.clone();
            }
        }
        let message = Message::from_payload(&payload);
        assert!(self.carried_out.insert(message), "published twice: {message:?}");
        // A message that its client has given up may arrive late, over a slow line.
        if !self.is_late {
            let older = self.newest.insert((name.clone(), message.client), message.number);
            assert!(older.is_none_or(|older| older < message.number), "{message:?} after {older:?}");
        }
        let position = self.publish_payload(&name, payload);
        if window.is_some() {
            let channel = self.channels.get_mut(&name).unwrap();
            channel.answered.insert(key, (now, position.clone()));
        }
        position
    }

    /// Carries out a call, unless its key is remembered.
    fn call_once(&mut self, user: &str, call: &Call) {
        assert!(!call.key.is_empty(), "each call has a key");
        let window = self.window.map(|window| window + MEMORY_GRACE);
        let now = self.now;
        self.called.retain(|_, time| window.is_some_and(|window| now.since(*time) < window));
        // Keys are bound to users.
        if self.called.contains_key(&format!("{user} {}", call.key)) {
            return;
        }
        assert!(self.calls_carried_out.insert(call.key.clone()), "called twice: {}", call.key);
        self.called.insert(format!("{user} {}", call.key), now);
    }

    pub(crate) fn publish(&mut self, name: &ChannelName) -> Position {
        self.publish_payload(name, Payload::json("0"))
    }

    fn publish_payload(&mut self, name: &ChannelName, payload: Payload) -> Position {
        let is_bare = self.bare.as_ref() == Some(name);
        let channel = self.channels.entry(name.clone()).or_default();
        channel.published += 1;
        channel.offset += u64::from(!is_bare);
        let publication = Publication {
            channel: name.clone(),
            payload,
            time: channel.published,
            publisher: None,
            offset: channel.offset,
        };
        if !is_bare {
            channel.history.push_back(publication.clone());
        }
        if channel.history.len() > self.history {
            channel.history.pop_front();
        }
        let position = Position { offset: channel.offset, epoch: self.restarts.to_string() };
        for session in self.sessions.values_mut() {
            // A session that reads history will find it there.
            let Some(Subscription { number, next: None }) = session.subscriptions.get(name).copied() else {
                continue;
            };
            self.deliveries += 1;
            if self.drops && self.deliveries.is_multiple_of(31) {
                if is_bare {
                    session.in_line(&goes_on(name, number, None));
                }
                continue;
            }
            // Without offsets a missing publication would go unnoticed.
            let bare = self.bare.as_ref();
            session.publish(&publication, self.overflow, |channel, number| {
                (bare == Some(channel)).then(|| goes_on(channel, number, None))
            });
        }
        position
    }

    fn carry_out(&mut self, connection: u64, id: u32, request: Request) -> Result<ReplyBody, ErrorInfo> {
        let session = self.sessions.get_mut(&connection).unwrap();
        assert_eq!(session.greeted, !matches!(request, Request::Connect(_)), "connect comes first, once");
        match request {
            Request::Connect(Connect { subscriptions, token, client, .. }) => {
                let token = if self.has_tokens { Some(self.check(&token)?) } else { None };
                let token_ttl = token.as_ref().map_or(Duration::ZERO, |token| token.expires.since(self.now));
                let session = self.sessions.get_mut(&connection).unwrap();
                session.greeted = true;
                session.user = token.as_ref().map_or(client, |token| token.user.clone());
                session.token = token;
                let user = session.user.clone();
                let outcomes = subscriptions
                    .into_iter()
                    .map(|subscribe| {
                        let (channel, number) = (subscribe.channel.clone(), subscribe.number);
                        SubscribeOutcome { channel, number, result: self.subscribe(connection, subscribe) }
                    })
                    .collect();
                let session = session_name(connection);
                let scope = format!("scope {}", self.restarts);
                let clock = u64::try_from(self.now.since(Time::ZERO).as_millis()).unwrap();
                let idempotency = self.window.map(|window| Idempotency { scope, window, clock });
                let connected = Connected {
                    session,
                    user,
                    token_ttl,
                    subscriptions: outcomes,
                    call_idempotency: idempotency.clone(),
                    idempotency,
                    ..Connected::default()
                };
                Ok(ReplyBody::Connected(Box::new(connected)))
            }
            Request::Subscribe(subscribe) => self.subscribe(connection, subscribe).map(ReplyBody::Subscribed),
            Request::Unsubscribe(Unsubscribe { channel, number }) => {
                if session.subscriptions.get(&channel).is_some_and(|in_force| in_force.number <= number) {
                    session.subscriptions.remove(&channel);
                    self.tell(connection, &channel, false);
                }
                Ok(ReplyBody::Unsubscribed(Unsubscribe { channel, number }))
            }
            Request::Publish(publish) => {
                let position = Some(self.publish_once(publish));
                Ok(ReplyBody::Published(Published { position }))
            }
            Request::Call(call) if call.name == "count" => {
                for response in 0..RESPONSES {
                    let payload = Payload::json(response.to_string());
                    let called = ReplyBody::Called(Called { payload, more: true });
                    session.reply(&ServerFrame::Reply(Reply { id, result: Ok(called) }));
                }
                Ok(ReplyBody::Called(Called { payload: Payload::default(), more: false }))
            }
            Request::Call(call) => {
                let user = session.user.clone();
                self.call_once(&user, &call);
                Ok(ReplyBody::Called(Called { payload: call.payload, more: false }))
            }
            Request::Cancel(_) => Ok(ReplyBody::Cancelled),
            Request::Refresh(Refresh { token }) => {
                let token = self.check(&token)?;
                let session = self.sessions.get_mut(&connection).unwrap();
                if token.user != session.user {
                    return Err(ErrorInfo::from_code(ErrorCode::UNAUTHORIZED));
                }
                let older = session.token.as_ref().map_or(0, |token| token.serial);
                assert!(older <= token.serial, "an older token in place of a newer one");
                let token_ttl = token.expires.since(self.now);
                session.token = Some(token);
                session.is_warned = false;
                Ok(ReplyBody::Refreshed(Refreshed { token_ttl }))
            }
            Request::Acknowledge(acknowledge) => {
                let user = session.user.clone();
                self.ledger.acknowledge(self.now, &user, &acknowledge)
            }
            Request::Presence(presence) => {
                let members = self.members(&presence.channel).into_iter();
                let members: Vec<_> =
                    members.map(|session| Member { session, ..Member::default() }).collect();
                let count = u32::try_from(members.len()).unwrap();
                Ok(ReplyBody::Presence(PresenceList { members, sessions: count, users: count, more: false }))
            }
            _ => Err(ErrorInfo::from_code(ErrorCode::UNSUPPORTED)),
        }
    }

    fn subscribe(&mut self, connection: u64, subscribe: Subscribe) -> Result<Subscribed, ErrorInfo> {
        let Subscribe { channel: name, number, position, history } = subscribe;
        let epoch = self.epoch();
        let session = self.sessions.get_mut(&connection).unwrap();
        let channel = self.channels.entry(name.clone()).or_default();
        let is_bare = self.bare.as_ref() == Some(&name);
        let is_new = position.is_none();
        let recoverable = position
            .filter(|position| position.epoch == epoch && position.offset + 1 >= channel.first_kept())
            .filter(|_| !is_bare);
        let recent = if is_new && !is_bare { u64::from(history) } else { 0 };
        let oldest = channel.offset.saturating_sub(recent).max(channel.first_kept() - 1);
        let begin = match &recoverable {
            Some(position) => position.offset,
            None if recent > 0 => oldest,
            None => channel.offset,
        };
        let next = (recoverable.is_some() || recent > 0).then_some(begin + 1);
        let older = session.subscriptions.insert(name.clone(), Subscription { number, next });
        assert!(older.is_none_or(|older| older.number < number), "numbers go up");
        let subscribed = Subscribed {
            channel: name.clone(),
            number,
            position: (!is_bare).then_some(Position { offset: begin, epoch }),
            complete: recoverable.is_some(),
            recovering: channel.offset - begin,
        };
        if older.is_none() {
            self.tell(connection, &name, true);
        }
        Ok(subscribed)
    }
}

impl Channel {
    fn first_kept(&self) -> u64 {
        self.history.front().map_or(self.offset + 1, |publication| publication.offset)
    }
}

/// The frame that continues a subscription at another position.
fn goes_on(channel: &ChannelName, number: u32, position: Option<Position>) -> ServerFrame {
    let channel = channel.clone();
    ServerFrame::Push(Push::Subscribed(Subscribed {
        channel,
        number,
        position,
        complete: false,
        recovering: 0,
    }))
}

/// The id of a session.
fn session_name(connection: u64) -> String {
    format!("s{connection}")
}

/// How long before the expiry of its token a session is warned, and how long after it the session is kept.
const TOKEN_GRACE: Duration = Duration::from_secs(5);

/// The largest command that it accepts.
const MESSAGE_BYTES: usize = 1024 * 1024;
