//! Connections with delays, and the messages in flight.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bytes::Bytes;
use wirehub_client_core::Time;
use wirehub_common::code::CloseCode;

use crate::line::Line;
use crate::random::Random;

/// Something that arrives at one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arrival {
    OpenedAtClient,
    MessageAtClient(Bytes),
    ClosedAtClient(CloseCode),
    MessageAtServer(Bytes),
    ClosedAtServer,
    /// This many bytes have left the client.
    DrainedAtClient(usize),
}

impl Arrival {
    pub(crate) fn is_at_server(&self) -> bool {
        matches!(self, Self::MessageAtServer(_) | Self::ClosedAtServer)
    }

    fn size(&self) -> usize {
        match self {
            Self::MessageAtClient(message) | Self::MessageAtServer(message) => message.len(),
            _ => 0,
        }
    }
}

#[derive(Debug)]
struct Connection {
    client: usize,
    /// Without a line there is no limit.
    line: Option<Line>,
    to_client: Direction,
    to_server: Direction,
    /// Messages are swallowed without notice.
    half_open: bool,
}

/// Messages in one direction do not overtake each other.
#[derive(Debug)]
struct Direction {
    /// The time at which the last byte has passed the line.
    passed: Time,
    /// The time at which the last message arrives.
    arrives: Time,
    /// How many bytes are still under way. To the server they are in the client's buffers; to the client they are in
    /// the line and behind it.
    buffered: usize,
}

impl Direction {
    fn new(now: Time) -> Self {
        Self { passed: now, arrives: now, buffered: 0 }
    }
}

/// All connections of a world.
#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: BTreeMap<u64, Connection>,
    arrivals: BinaryHeap<Reverse<(Time, u64, u64, Arrival)>>,
    /// The connections whose messages wait for a sleeping client.
    postponed: BTreeSet<u64>,
    /// How many connections there have been.
    pub(crate) opened: u64,
    sequence: u64,
}

impl Network {
    pub(crate) fn open(&mut self, now: Time, client: usize, line: Option<Line>) -> u64 {
        self.opened += 1;
        let (to_client, to_server) = (Direction::new(now), Direction::new(now));
        let connection = Connection { client, line, to_client, to_server, half_open: false };
        self.connections.insert(self.opened, connection);
        self.opened
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    pub(crate) fn client_of(&self, id: u64) -> Option<usize> {
        self.connections.get(&id).map(|connection| connection.client)
    }

    /// How many bytes are in the client's buffers.
    pub(crate) fn buffered_at_client(&self, id: u64) -> usize {
        self.connections.get(&id).map_or(0, |connection| connection.to_server.buffered)
    }

    /// How many bytes the server has sent that have not arrived.
    pub(crate) fn buffered_at_server(&self, id: u64) -> usize {
        self.connections.get(&id).map_or(usize::MAX, |connection| connection.to_client.buffered)
    }

    /// Whether the server has received a part of a message.
    pub(crate) fn is_uploading(&self, id: u64, now: Time) -> bool {
        self.connections
            .get(&id)
            .is_some_and(|connection| connection.to_server.buffered > 0 && connection.to_server.passed > now)
    }

    /// Sends, with a random delay of up to `longest` milliseconds besides the time on the line.
    pub(crate) fn send(&mut self, now: Time, random: &mut Random, id: u64, longest: u64, arrival: Arrival) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let up = arrival.is_at_server();
        let direction = if up { &mut connection.to_server } else { &mut connection.to_client };
        let size = arrival.size();
        direction.buffered += size;
        if connection.half_open {
            return;
        }
        let start = direction.passed.max(now);
        direction.passed = connection.line.as_ref().map_or(start, |line| line.passed(start, size, up));
        direction.arrives = direction.arrives.max(direction.passed.after(random.between(1, longest)));
        let (passed, arrives) = (direction.passed, direction.arrives);
        self.push(arrives, id, arrival);
        if up && size > 0 {
            self.push(passed, id, Arrival::DrainedAtClient(size));
        }
    }

    fn push(&mut self, time: Time, id: u64, arrival: Arrival) {
        self.sequence += 1;
        self.arrivals.push(Reverse((time, self.sequence, id, arrival)));
    }

    /// The connection swallows everything from now on.
    pub(crate) fn half_open(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.half_open = true;
        }
    }

    /// Nothing arrives from this connection any more, not even messages in flight.
    pub(crate) fn forget(&mut self, id: u64) {
        self.connections.remove(&id);
    }

    /// The lines are even from now on.
    pub(crate) fn calm(&mut self, now: Time) {
        for line in self.connections.values_mut().filter_map(|connection| connection.line.as_mut()) {
            line.steady_from(now);
        }
    }

    pub(crate) fn next_arrival(&self) -> Option<Time> {
        self.arrivals.peek().map(|Reverse((time, ..))| *time)
    }

    /// Every client was woken early: the messages that wait for them are there now.
    pub(crate) fn hasten(&mut self, now: Time) {
        let Self { arrivals, postponed, .. } = self;
        let hastened = arrivals.drain().map(|Reverse((time, sequence, id, arrival))| {
            let time = if postponed.remove(&sequence) { now } else { time };
            Reverse((time, sequence, id, arrival))
        });
        *arrivals = hastened.collect::<Vec<_>>().into();
    }

    /// Takes the next arrival of an open connection. Messages to a sleeping client wait for it.
    pub(crate) fn arrive(&mut self, asleep_until: impl Fn(usize) -> Option<Time>) -> Option<(u64, Arrival)> {
        let Reverse((_, sequence, id, arrival)) = self.arrivals.pop()?;
        let connection = self.connections.get_mut(&id)?;
        if let Arrival::DrainedAtClient(size) = arrival {
            connection.to_server.buffered -= size;
            return Some((id, arrival));
        }
        if let (false, Some(until)) = (arrival.is_at_server(), asleep_until(connection.client)) {
            self.postponed.insert(sequence);
            self.arrivals.push(Reverse((until, sequence, id, arrival)));
            return None;
        }
        if !arrival.is_at_server() {
            connection.to_client.buffered -= arrival.size();
        }
        Some((id, arrival))
    }
}
