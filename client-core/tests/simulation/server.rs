//! A server that keeps to PROTOCOL.md, with a short history for each channel.

use std::collections::BTreeMap;

use bytes::Bytes;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{
    Answer, Called, Command, Connect, Connected, ErrorInfo, Position, Publication, Publish, Published, Push,
    Reply, Request, ServerFrame, Subscribe, SubscribeOutcome, Subscribed, Unsubscribe,
};
use wirehub_common::{ChannelName, Codec, Payload};

#[derive(Debug)]
pub(crate) struct Server {
    /// How many publications a channel keeps.
    history: usize,
    channels: BTreeMap<ChannelName, Channel>,
    sessions: BTreeMap<u64, Session>,
    restarts: u64,
    /// Whether a publication fails to reach a subscriber now and then, which no server should let happen.
    pub(crate) loses: bool,
    /// Counts deliveries, to lose some.
    deliveries: u64,
    /// Frames on their way out, by connection.
    pub(crate) outbox: Vec<(u64, ServerFrame)>,
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
}

impl Server {
    pub(crate) fn new(history: usize) -> Self {
        Self {
            history,
            channels: BTreeMap::new(),
            sessions: BTreeMap::new(),
            restarts: 0,
            loses: false,
            deliveries: 0,
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
            for channel in self.channels.values_mut() {
                channel.offset = 0;
                channel.history.clear();
            }
        }
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = u64> {
        self.sessions.keys().copied()
    }

    /// How many publications the channel has had.
    pub(crate) fn published(&self, channel: &ChannelName) -> u64 {
        self.channels.get(channel).map_or(0, |channel| channel.published)
    }

    pub(crate) fn handle(&mut self, connection: u64, message: &Bytes) {
        if !self.sessions.contains_key(&connection) || message.is_empty() {
            return;
        }
        for command in Codec::Protobuf.decode_commands(message) {
            let Command { id, request } = command.expect("clients send what can be read");
            let result = self.carry_out(connection, request);
            if id != 0 {
                self.outbox.push((connection, ServerFrame::Reply(Reply { id, result })));
            }
        }
    }

    pub(crate) fn publish(&mut self, name: &ChannelName) -> Position {
        let channel = self.channels.entry(name.clone()).or_default();
        channel.published += 1;
        channel.offset += 1;
        let publication = Publication {
            channel: name.clone(),
            payload: Payload::json("0"),
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

    fn carry_out(&mut self, connection: u64, request: Request) -> Result<Answer, ErrorInfo> {
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
                let connected = Connected { session, subscriptions: outcomes, ..Connected::default() };
                Ok(Answer::Connected(Box::new(connected)))
            }
            Request::Subscribe(subscribe) => self.subscribe(connection, subscribe).map(Answer::Subscribed),
            Request::Unsubscribe(Unsubscribe { channel, number }) => {
                if session.subscriptions.get(&channel).is_some_and(|in_force| *in_force <= number) {
                    session.subscriptions.remove(&channel);
                }
                Ok(Answer::Unsubscribed(Unsubscribe { channel, number }))
            }
            Request::Publish(Publish { channel, .. }) => {
                let position = Some(self.publish(&channel));
                Ok(Answer::Published(Published { position }))
            }
            Request::Call(call) => Ok(Answer::Called(Called { payload: call.payload, more: false })),
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
