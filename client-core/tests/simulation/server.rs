//! A server that keeps to PROTOCOL.md, with a short history for each channel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use wirehub_client_core::Time;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{
    Answer, Call, Called, Command, Connect, Connected, ErrorInfo, Idempotency, Position, Publication,
    Publish, Published, Push, Reply, Request, ServerFrame, Subscribe, SubscribeOutcome, Subscribed,
    Unsubscribe,
};
use wirehub_common::{ChannelName, Codec, Payload};

/// How many responses the procedure `count` streams.
pub(crate) const RESPONSES: u64 = 3;

/// For how much longer than they say servers remember keys: what is on its way has to arrive.
const MEMORY_GRACE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Server {
    /// How many publications a channel keeps.
    history: usize,
    channels: BTreeMap<ChannelName, Channel>,
    sessions: BTreeMap<u64, Session>,
    restarts: u64,
    /// The last of the messages that each client has published in each channel.
    newest: BTreeMap<(ChannelName, u32), u64>,
    /// What the clients have published, over all restarts.
    carried_out: BTreeSet<Message>,
    /// The keys of the calls that it remembers, and when they came.
    called: BTreeMap<String, Time>,
    /// Those of all calls, over all restarts.
    calls_carried_out: BTreeSet<String>,
    /// Whether a publication fails to reach a subscriber now and then, which no server should let happen.
    pub(crate) loses: bool,
    /// Counts deliveries, to lose some.
    deliveries: u64,
    /// Where keys are remembered: for how long, by a clock that goes on while clients sleep.
    window: Option<Duration>,
    /// The time, as the world last told.
    now: Time,
    /// Frames on their way out, by connection.
    pub(crate) outbox: Vec<(u64, ServerFrame)>,
}

/// What clients publish.
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
struct Session {
    greeted: bool,
    subscriptions: BTreeMap<ChannelName, u32>,
}

#[derive(Debug, Default)]
struct Channel {
    /// Counts the publications over all restarts: what the test tells them apart by.
    published: u64,
    offset: u64,
    history: Vec<Publication>,
    /// The answers to the publishes that have a key, and when they came.
    answered: BTreeMap<String, (Time, Position)>,
}

impl Server {
    pub(crate) fn new(history: usize, window: Option<Duration>) -> Self {
        Self {
            history,
            channels: BTreeMap::new(),
            sessions: BTreeMap::new(),
            restarts: 0,
            newest: BTreeMap::new(),
            carried_out: BTreeSet::new(),
            called: BTreeMap::new(),
            calls_carried_out: BTreeSet::new(),
            loses: false,
            deliveries: 0,
            window,
            now: Time::ZERO,
            outbox: Vec::new(),
        }
    }

    pub(crate) fn open(&mut self, connection: u64) {
        self.sessions.insert(connection, Session::default());
    }

    pub(crate) fn close(&mut self, connection: u64) {
        self.sessions.remove(&connection);
    }

    /// All sessions are lost, and the history too unless it is kept on a disk.
    pub(crate) fn restart(&mut self, keep_history: bool) {
        self.sessions.clear();
        self.outbox.clear();
        if !keep_history {
            self.restarts += 1;
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

    /// How many publications the channel has had.
    pub(crate) fn published(&self, channel: &ChannelName) -> u64 {
        self.channels.get(channel).map_or(0, |channel| channel.published)
    }

    pub(crate) fn handle(&mut self, now: Time, connection: u64, message: &Bytes) {
        self.now = now;
        if !self.sessions.contains_key(&connection) || message.is_empty() {
            return;
        }
        for command in Codec::Protobuf.decode_commands(message) {
            let Command { id, request } = command.expect("clients send what can be read");
            let result = self.carry_out(connection, id, request);
            if id != 0 {
                self.outbox.push((connection, ServerFrame::Reply(Reply { id, result })));
            }
        }
    }

    /// Publishes, unless it remembers to have done so.
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
        let older = self.newest.insert((name.clone(), message.client), message.number);
        assert!(older.is_none_or(|older| older < message.number), "{message:?} after {older:?}");
        let position = self.publish_payload(&name, payload);
        if window.is_some() {
            let channel = self.channels.get_mut(&name).unwrap();
            channel.answered.insert(key, (now, position.clone()));
        }
        position
    }

    /// Carries a call out, unless it remembers to have done so.
    fn call_once(&mut self, call: &Call) {
        assert!(!call.key.is_empty(), "each call has a key");
        let window = self.window.map(|window| window + MEMORY_GRACE);
        let now = self.now;
        self.called.retain(|_, time| window.is_some_and(|window| now.since(*time) < window));
        if self.called.contains_key(&call.key) {
            return;
        }
        assert!(self.calls_carried_out.insert(call.key.clone()), "called twice: {}", call.key);
        self.called.insert(call.key.clone(), now);
    }

    pub(crate) fn publish(&mut self, name: &ChannelName) -> Position {
        self.publish_payload(name, Payload::json("0"))
    }

    fn publish_payload(&mut self, name: &ChannelName, payload: Payload) -> Position {
        let channel = self.channels.entry(name.clone()).or_default();
        channel.published += 1;
        channel.offset += 1;
        let publication = Publication {
            channel: name.clone(),
            payload,
            time: channel.published,
            publisher: None,
            offset: channel.offset,
        };
        channel.history.push(publication.clone());
        if channel.history.len() > self.history {
            channel.history.remove(0);
        }
        let position = Position { offset: channel.offset, epoch: self.restarts.to_string() };
        for (&connection, session) in &self.sessions {
            if session.subscriptions.contains_key(name) {
                self.deliveries += 1;
                if self.loses && self.deliveries.is_multiple_of(31) {
                    continue;
                }
                self.outbox.push((connection, ServerFrame::Push(Push::Publication(publication.clone()))));
            }
        }
        position
    }

    fn carry_out(&mut self, connection: u64, id: u32, request: Request) -> Result<Answer, ErrorInfo> {
        let session = self.sessions.get_mut(&connection).unwrap();
        assert_eq!(session.greeted, !matches!(request, Request::Connect(_)), "connect comes first, once");
        match request {
            Request::Connect(Connect { subscriptions, .. }) => {
                session.greeted = true;
                let outcomes = subscriptions
                    .into_iter()
                    .map(|subscribe| {
                        let (channel, number) = (subscribe.channel.clone(), subscribe.number);
                        SubscribeOutcome { channel, number, result: self.subscribe(connection, subscribe) }
                    })
                    .collect();
                let session = format!("s{connection}");
                let scope = format!("scope {}", self.restarts);
                let clock = u64::try_from(self.now.since(Time::ZERO).as_millis()).unwrap();
                let idempotency = self.window.map(|window| Idempotency { scope, window, clock });
                let connected = Connected {
                    session,
                    subscriptions: outcomes,
                    call_idempotency: idempotency.clone(),
                    idempotency,
                    ..Connected::default()
                };
                Ok(Answer::Connected(Box::new(connected)))
            }
            Request::Subscribe(subscribe) => self.subscribe(connection, subscribe).map(Answer::Subscribed),
            Request::Unsubscribe(Unsubscribe { channel, number }) => {
                if session.subscriptions.get(&channel).is_some_and(|in_force| *in_force <= number) {
                    session.subscriptions.remove(&channel);
                }
                Ok(Answer::Unsubscribed(Unsubscribe { channel, number }))
            }
            Request::Publish(publish) => {
                let position = Some(self.publish_once(publish));
                Ok(Answer::Published(Published { position }))
            }
            Request::Call(call) if call.name == "count" => {
                for response in 0..RESPONSES {
                    let payload = Payload::json(response.to_string());
                    let called = Answer::Called(Called { payload, more: true });
                    self.outbox.push((connection, ServerFrame::Reply(Reply { id, result: Ok(called) })));
                }
                Ok(Answer::Called(Called { payload: Payload::default(), more: false }))
            }
            Request::Call(call) => {
                self.call_once(&call);
                Ok(Answer::Called(Called { payload: call.payload, more: false }))
            }
            Request::Cancel(_) => Ok(Answer::Cancelled),
            _ => Err(ErrorInfo::from_code(ErrorCode::UNSUPPORTED)),
        }
    }

    fn subscribe(&mut self, connection: u64, subscribe: Subscribe) -> Result<Subscribed, ErrorInfo> {
        let Subscribe { channel: name, number, position } = subscribe;
        let epoch = self.restarts.to_string();
        let session = self.sessions.get_mut(&connection).unwrap();
        let in_force = session.subscriptions.insert(name.clone(), number);
        assert!(in_force.is_none_or(|older| older < number), "numbers go up");
        let channel = self.channels.entry(name.clone()).or_default();
        let first_kept = channel.history.first().map_or(channel.offset + 1, |publication| publication.offset);
        let recoverable =
            position.filter(|position| position.epoch == epoch && position.offset + 1 >= first_kept);
        let recovered = recoverable.as_ref().map_or_else(Vec::new, |position| {
            channel
                .history
                .iter()
                .filter(|publication| publication.offset > position.offset)
                .cloned()
                .collect()
        });
        Ok(Subscribed {
            channel: name,
            number,
            position: Some(Position { offset: channel.offset, epoch }),
            complete: recoverable.is_some(),
            recovered,
        })
    }
}
