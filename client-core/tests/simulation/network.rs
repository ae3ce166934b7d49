//! Connections that delay, and what is on its way in them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bytes::Bytes;
use wirehub_client_core::Time;
use wirehub_common::code::CloseCode;

use crate::random::Random;

/// Something that arrives at one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arrival {
    OpenedAtClient,
    MessageAtClient(Bytes),
    ClosedAtClient(CloseCode),
    MessageAtServer(Bytes),
    ClosedAtServer,
}

impl Arrival {
    pub(crate) fn is_at_server(&self) -> bool {
        matches!(self, Self::MessageAtServer(_) | Self::ClosedAtServer)
    }
}

#[derive(Debug)]
struct Connection {
    client: usize,
    /// Messages in one direction do not overtake each other.
    to_client: Time,
    to_server: Time,
    /// What is sent is swallowed, and nobody is told.
    half_open: bool,
}

/// All connections of a world.
#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: BTreeMap<u64, Connection>,
    arrivals: BinaryHeap<Reverse<(Time, u64, u64, Arrival)>>,
    /// Which of them wait for somebody who is asleep.
    postponed: BTreeSet<u64>,
    /// How many connections there have been.
    pub(crate) opened: u64,
    sequence: u64,
}

impl Network {
    pub(crate) fn open(&mut self, now: Time, client: usize) -> u64 {
        self.opened += 1;
        let connection = Connection { client, to_client: now, to_server: now, half_open: false };
        self.connections.insert(self.opened, connection);
        self.opened
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    pub(crate) fn client_of(&self, id: u64) -> Option<usize> {
        self.connections.get(&id).map(|connection| connection.client)
    }

    /// Sends, with a delay of up to `longest` milliseconds.
    pub(crate) fn send(&mut self, now: Time, random: &mut Random, id: u64, longest: u64, arrival: Arrival) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.half_open {
            return;
        }
        let last = if arrival.is_at_server() { &mut connection.to_server } else { &mut connection.to_client };
        *last = (*last).max(now.after(random.between(1, longest)));
        self.sequence += 1;
        self.arrivals.push(Reverse((*last, self.sequence, id, arrival)));
    }

    /// The connection swallows everything from now on.
    pub(crate) fn half_open(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.half_open = true;
        }
    }

    /// Nothing arrives from this connection any more, not even what is on its way.
    pub(crate) fn forget(&mut self, id: u64) {
        self.connections.remove(&id);
    }

    pub(crate) fn next_arrival(&self) -> Option<Time> {
        self.arrivals.peek().map(|Reverse((time, ..))| *time)
    }

    /// Everybody is awake before their time: what waits for them is there now.
    pub(crate) fn hasten(&mut self, now: Time) {
        let Self { arrivals, postponed, .. } = self;
        let hastened = arrivals.drain().map(|Reverse((time, sequence, id, arrival))| {
            let time = if postponed.remove(&sequence) { now } else { time };
            Reverse((time, sequence, id, arrival))
        });
        *arrivals = hastened.collect::<Vec<_>>().into();
    }

    /// Takes the next arrival of a connection that is still there. What is for a client that is asleep waits for it.
    pub(crate) fn arrive(&mut self, asleep_until: impl Fn(usize) -> Option<Time>) -> Option<(u64, Arrival)> {
        let Reverse((_, sequence, id, arrival)) = self.arrivals.pop()?;
        let connection = self.connections.get(&id)?;
        if let (false, Some(until)) = (arrival.is_at_server(), asleep_until(connection.client)) {
            self.postponed.insert(sequence);
            self.arrivals.push(Reverse((until, sequence, id, arrival)));
            return None;
        }
        Some((id, arrival))
    }
}
