//! Connects clients, network and server, and advances the time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use wirehub_client_core::{SubscribeOptions, Time, Transmit};
use wirehub_common::code::CloseCode;
use wirehub_common::{ChannelName, Limits, SUBPROTOCOL_PROTOBUF};

use crate::client::Client;
use crate::line::{Line, Lines};
use crate::network::{Arrival, Network};
use crate::random::Random;
use crate::server::Server;
use crate::session::Overflow;
use crate::tokens::Wallet;

const CLIENTS: u64 = 8;

/// How long faults happen, in virtual time.
const TURMOIL: Duration = Duration::from_secs(120);

/// How long the world is quiet afterwards. A silent connection is noticed after 35 s, and the next attempt comes within
/// 20 s. That attempt may have been swallowed too, which takes 10 s and 20 s more. Sleeping clients have to wake up
/// first, which may take 90 s.
const REST: Duration = Duration::from_secs(210);

/// How much longer the slowest line needs for every publication.
const REST_OF_SLOW_LINES: Duration = Duration::from_secs(1800);

/// The pause after which the server sends an empty message.
const PING: Duration = Duration::from_secs(25);

/// The same while a command arrives in parts.
const PING_WHILE_RECEIVING: Duration = Duration::from_secs(2);

/// How long the server keeps a silent client. This is shorter than its grace time for keys.
const SILENCE: Duration = Duration::from_secs(50);

/// How many bytes either side gives to its socket before some of them are accepted. The operating system of the client
/// accepts up to `Faults::hidden` more without a notice.
const SOCKET: usize = Limits::BATCH_BYTES;

/// The largest frame, with its overhead.
const LARGEST_FRAME: usize = 160_000;

/// The faults of a world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Connections break, swallow everything, or can't be opened.
    connections: bool,
    /// The server restarts, with and without its history.
    restarts: bool,
    /// How many publications the server keeps for each channel.
    history: usize,
    /// The longest delay of a message in milliseconds.
    delay: u64,
    /// How long the server remembers keys, in seconds: one of these; 0 if it does not.
    windows: &'static [u64],
    /// Clients are suspended, like laptops.
    sleep: bool,
    /// The speeds of the lines; without them bytes take no time.
    lines: Option<Lines>,
    /// How many bytes of a client's the operating system accepts at once.
    hidden: usize,
    overflow: Overflow,
    /// One of the channels keeps no history at all.
    bare: bool,
    /// The server sometimes drops a publication for a subscriber.
    drops: bool,
    /// Tokens expire, are replaced, and change the user.
    tokens: bool,
    /// The server raises alarms.
    alarms: bool,
    /// The server reports members.
    presence: bool,
    /// The server accepts every client and closes at once.
    turns_away: bool,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        connections: false,
        restarts: false,
        history: 0,
        delay: 20,
        windows: &[0, 3600],
        sleep: false,
        lines: None,
        hidden: 0,
        overflow: Overflow::Disconnect,
        bare: false,
        drops: false,
        tokens: false,
        alarms: true,
        presence: true,
        turns_away: false,
    };
    /// Tokens, and no other fault.
    pub(crate) const TOKENS: Self =
        Self { tokens: true, history: usize::MAX, delay: 1000, windows: &[3600], ..Self::NONE };
    /// Every session is closed.
    pub(crate) const TURNS_AWAY: Self = Self { turns_away: true, ..Self::NONE };
    /// Connections break, but the server forgets nothing.
    pub(crate) const CUTS: Self = Self {
        connections: true,
        restarts: false,
        history: usize::MAX,
        delay: 2000,
        windows: &[3600],
        sleep: true,
        ..Self::NONE
    };
    /// The history is so short that recovery sometimes fails, and the memory for keys so short that repeating sometimes
    /// fails.
    pub(crate) const ALL: Self = Self {
        connections: true,
        restarts: true,
        history: 12,
        delay: 2000,
        windows: &[0, 5, 40],
        sleep: true,
        bare: true,
        drops: true,
        tokens: true,
        ..Self::NONE
    };
    /// Lines from a remote village's to a good phone's, and no other fault.
    pub(crate) const ONLY_SLOW: Self = Self {
        history: usize::MAX,
        delay: 300,
        lines: Some(Lines { rates: (8_000, 400_000), uneven: true, stall: 3 }),
        hidden: 200_000,
        overflow: Overflow::DropOldest,
        presence: false,
        ..Self::NONE
    };
    /// The same with stalls and broken connections. Slow readers are disconnected and come back for the rest.
    pub(crate) const SLOW: Self = Self {
        lines: Some(Lines { rates: (8_000, 400_000), uneven: true, stall: 8 }),
        overflow: Overflow::Disconnect,
        ..Self { hidden: 100_000, delay: 300, presence: false, ..Self::CUTS }
    };
    /// The same, with a server that forgets, and drops publications beyond its queue.
    pub(crate) const SLOW_AND_FORGETFUL: Self = Self {
        lines: Some(Lines { rates: (8_000, 400_000), uneven: true, stall: 8 }),
        overflow: Overflow::DropOldest,
        ..Self { hidden: 0, delay: 300, presence: false, tokens: false, ..Self::ALL }
    };
}

pub(crate) struct World {
    now: Time,
    random: Random,
    faults: Faults,
    network: Network,
    server: Server,
    pub(crate) clients: Vec<Client>,
    channels: Vec<ChannelName>,
    /// The time of the server's next round of pings.
    next_ping: Time,
    /// The time at which it last sent something, by connection.
    last_sent: BTreeMap<u64, Time>,
    /// The time at which it last received something, by connection.
    last_heard: BTreeMap<u64, Time>,
    /// There are no faults from now on.
    healed: bool,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut random = Random::new(seed);
        let client = |number| {
            let line = faults.lines.map(|lines| Line::new(lines, &mut random));
            let wallet = faults.tokens.then(|| Wallet::new(number as u32, Random::new(random.next())));
            let keeps_all = faults.history == usize::MAX;
            Client::new(number as u32, random.next(), line, faults.presence, keeps_all, wallet)
        };
        let clients = (0..CLIENTS).map(client).collect();
        let window = faults.windows[random.below(faults.windows.len() as u64) as usize];
        let window = (window > 0).then_some(Duration::from_secs(window));
        let channels = ["a", "b", "c"].map(|name| ChannelName::new(name).unwrap()).to_vec();
        let bare = faults.bare.then(|| channels[2].clone());
        Self {
            now: Time::ZERO,
            random,
            faults,
            network: Network::default(),
            server: Server::new(
                faults.history,
                window,
                faults.overflow,
                bare,
                faults.tokens,
                faults.presence,
            ),
            clients,
            channels,
            next_ping: Time::ZERO,
            last_sent: BTreeMap::new(),
            last_heard: BTreeMap::new(),
            healed: false,
        }
    }

    /// Faults, then a quiet time; then everything has to be in order.
    pub(crate) fn run(&mut self) {
        self.connect_all();
        self.server.drops = self.faults.drops;
        let end = self.now.after(TURMOIL);
        while self.now < end {
            let step = self.random.between(1, 1000);
            self.pass(step);
            let client = self.random.below(CLIENTS) as usize;
            let now = self.now;
            if self.clients[client].asleep_until().is_none() {
                self.clients[client].act(now, &mut self.random, &self.channels);
                self.serve(client);
            }
            self.disturb();
        }
        self.healed = true;
        for index in 0..self.clients.len() {
            // Sleeping clients wake up by themselves: messages that wait for them must not be overtaken.
            if self.clients[index].asleep_until().is_none() {
                self.wake(index);
            }
        }
        self.network.hasten(self.now);
        self.server.drops = false;
        self.network.calm(self.now);
        for client in &mut self.clients {
            if let Some(wallet) = &mut client.wallet {
                wallet.calm();
            }
            if let Some(line) = &mut client.line {
                line.steady_from(self.now);
            }
        }
        self.pass(REST);
        if self.faults.lines.is_some() {
            self.pass(REST_OF_SLOW_LINES);
        }
        // One more message in each channel shows that every client is connected.
        for channel in self.channels.clone() {
            self.server.publish(&channel);
        }
        self.send_out();
        self.pass(Duration::from_secs(60));
        for client in &self.clients {
            client.check_at_rest(self.now, &self.server);
        }
    }

    /// Only bytes in flight at the end of a connection are sent twice: those in the socket's buffer and on the line,
    /// and the received parts of an incomplete frame. Of everything else the server sent at most 1.2 times the bytes
    /// that arrived for the first time.
    pub(crate) fn check_what_was_sent(&self) {
        for client in &self.clients {
            let received = &client.received;
            let lost = received.ended * (SOCKET + Limits::BATCH_BYTES + LARGEST_FRAME);
            assert!(
                received.sent as f64 <= 1.2 * received.useful as f64 + lost as f64,
                "{} bytes sent, {} of use, {} connections ended",
                received.sent,
                received.useful,
                received.ended
            );
        }
    }

    pub(crate) fn failed_commands(&self) -> usize {
        self.clients.iter().map(|client| client.failed).sum()
    }

    pub(crate) fn publishes_in_doubt(&self) -> usize {
        self.clients.iter().map(|client| client.in_doubt).sum()
    }

    pub(crate) fn gaps(&self) -> usize {
        self.clients.iter().map(|client| client.gaps).sum()
    }

    pub(crate) fn connections(&self) -> usize {
        usize::try_from(self.network.opened).unwrap()
    }

    /// The time between the first and the last reconnect after a restart of the server.
    pub(crate) fn restart_and_measure_spread(&mut self) -> Duration {
        self.connect_all();
        self.pass(Duration::from_secs(10));
        self.restart(false);
        self.pass(Duration::from_secs(30));
        let times = || self.clients.iter().map(|client| client.connected_at);
        times().max().unwrap().since(times().min().unwrap())
    }

    /// How many transports each client opens within `duration`.
    pub(crate) fn count_attempts(&mut self, duration: Duration) -> f64 {
        self.connect_all();
        self.pass(duration);
        self.connections() as f64 / self.clients.len() as f64
    }

    fn connect_all(&mut self) {
        for index in 0..self.clients.len() {
            let channel = self.channels[index % self.channels.len()].clone();
            let now = self.now;
            self.clients[index].subscribe(now, &channel, SubscribeOptions::new());
            self.clients[index].core.connect(now);
            self.serve(index);
        }
    }

    /// Advances the time and performs everything that is due.
    fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        loop {
            let timer = self.clients.iter().filter_map(Client::next_timer).min();
            let next = [timer, self.network.next_arrival(), Some(self.next_ping)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if self.next_ping <= self.now {
                self.ping();
            } else if self.network.next_arrival().is_some_and(|time| time <= self.now) {
                let clients = &self.clients;
                if let Some((connection, arrival)) = self
                    .network
                    .arrive(|client| clients[client].asleep_until().filter(|until| *until > self.now))
                {
                    self.arrive(connection, arrival);
                }
            } else {
                for index in 0..self.clients.len() {
                    if self.clients[index].next_timer().is_some_and(|time| time <= self.now) {
                        self.wake(index);
                    }
                }
            }
        }
        self.now = end;
    }

    /// Fires a client's timer, after its sleep if it was asleep.
    fn wake(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.wake(self.now);
        client.handle_timeout(self.now);
        self.serve(index);
    }

    fn arrive(&mut self, connection: u64, arrival: Arrival) {
        let Some(index) = self.network.client_of(connection) else { return };
        let now = self.now;
        let client = &mut self.clients[index];
        if let Arrival::DrainedAtClient(size) = arrival {
            let left = self.network.buffered_at_client(connection);
            let told =
                left.saturating_sub(self.faults.hidden) < (left + size).saturating_sub(self.faults.hidden);
            if told && client.asleep_until().is_none() && client.connection == Some(connection) {
                client.core.handle_drained(client.local(now));
                self.serve(index);
            }
            return;
        }
        // A message may wake it before its timers fire.
        if !arrival.is_at_server() {
            client.wake(now);
        }
        let local = client.local(now);
        let is_current = client.connection == Some(connection);
        match arrival {
            Arrival::OpenedAtClient if is_current => {
                self.server.open(connection);
                client.received.connected();
                client.core.handle_open(SUBPROTOCOL_PROTOBUF);
            }
            Arrival::MessageAtClient(message) if is_current => {
                if client.line.is_some() {
                    client.received.take(&message);
                }
                client.core.handle_message(local, &message);
            }
            Arrival::ClosedAtClient(code) if is_current => {
                client.received.ended += 1;
                client.connection = None;
                self.network.forget(connection);
                client.core.handle_close(local, code, "");
            }
            Arrival::MessageAtServer(message) => {
                self.last_heard.insert(connection, now);
                self.server.handle(now, connection, &message, !is_current);
                if self.faults.turns_away {
                    self.send_out();
                    self.end(connection, CloseCode::INTERNAL_ERROR);
                }
            }
            Arrival::ClosedAtServer => {
                self.server.close(connection);
                self.network.forget(connection);
            }
            // The client has dropped it.
            Arrival::OpenedAtClient
            | Arrival::MessageAtClient(_)
            | Arrival::ClosedAtClient(_)
            | Arrival::DrainedAtClient(_) => {}
        }
        if self.clients[index].asleep_until().is_none() {
            self.serve(index);
        }
        self.send_out();
    }

    /// Carries out the instructions of a client's core.
    fn serve(&mut self, index: usize) {
        let now = self.now;
        let in_the_mood = self.healed || !self.faults.connections || !self.random.one_in(5);
        let client = &mut self.clients[index];
        client.take_events(now);
        loop {
            let buffered =
                client.connection.map_or(0, |connection| self.network.buffered_at_client(connection));
            let writable = in_the_mood && buffered <= SOCKET + self.faults.hidden;
            client.core.handle_unsent(buffered);
            let Some(transmit) = client.core.poll_transmit(writable) else { break };
            match transmit {
                Transmit::Open => {
                    assert_eq!(client.connection, None, "one transport at a time");
                    client.opens(now);
                    let connection = self.network.open(now, index, client.line.clone());
                    client.connection = Some(connection);
                    let arrival = if self.faults.connections && !self.healed && self.random.one_in(6) {
                        Arrival::ClosedAtClient(CloseCode::ABNORMAL)
                    } else {
                        Arrival::OpenedAtClient
                    };
                    self.network.send(now, &mut self.random, connection, self.faults.delay, arrival);
                }
                Transmit::Send(message) => {
                    let connection = client.connection.expect("a transport to send on");
                    let arrival = Arrival::MessageAtServer(message);
                    self.network.send(now, &mut self.random, connection, self.faults.delay, arrival);
                }
                Transmit::Close { .. } => {
                    let connection = client.connection.take().expect("a transport to close");
                    client.received.ended += 1;
                    let delay = self.faults.delay;
                    self.network.send(now, &mut self.random, connection, delay, Arrival::ClosedAtServer);
                }
            }
        }
        client.take_events(now);
    }

    /// Sends the server's queues to its clients, as far as their lines accept them.
    fn send_out(&mut self) {
        for connection in self.server.too_slow() {
            self.end(connection, CloseCode::SLOW_CONSUMER);
        }
        for connection in self.server.sessions().collect::<Vec<_>>() {
            while self.network.buffered_at_server(connection) < SOCKET
                && let Some(message) = self.server.next_message(connection, &mut self.random)
            {
                self.send_to_client(connection, message);
            }
        }
    }

    /// The server ends a session.
    fn end(&mut self, connection: u64, code: CloseCode) {
        self.server.close(connection);
        let arrival = Arrival::ClosedAtClient(code);
        self.network.send(self.now, &mut self.random, connection, self.faults.delay, arrival);
    }

    fn send_to_client(&mut self, connection: u64, message: Bytes) {
        assert!(message.len() <= Limits::BATCH_BYTES);
        if let Some(index) = self.network.client_of(connection) {
            self.clients[index].received.sent += message.len();
        }
        self.last_sent.insert(connection, self.now);
        let arrival = Arrival::MessageAtClient(message);
        self.network.send(self.now, &mut self.random, connection, self.faults.delay, arrival);
    }

    /// Sends an empty message after too long a pause.
    fn ping(&mut self) {
        self.next_ping = self.now.after(if self.looks_often() { PING_WHILE_RECEIVING } else { PING });
        for connection in self.server.look_at_tokens(self.now) {
            self.end(connection, CloseCode::TOKEN_EXPIRED);
        }
        for connection in self.server.sessions().collect::<Vec<_>>() {
            let receiving =
                self.network.is_uploading(connection, self.now) || self.server.is_receiving(connection);
            let heard = self.last_heard.entry(connection).or_insert(self.now);
            if receiving {
                *heard = self.now;
            } else if self.now.since(*heard) > SILENCE {
                self.end(connection, CloseCode::ABNORMAL);
                continue;
            }
            // A client that sends nothing is asked whether it is still there.
            let unheard = self.now.since(*heard) >= PING;
            let pause = if receiving { PING_WHILE_RECEIVING } else { PING };
            let silent = self.last_sent.get(&connection).map_or(pause, |last| self.now.since(*last));
            // In worlds with rarer checks it is time anyway.
            if silent >= pause || unheard || !self.looks_often() {
                self.send_to_client(connection, Bytes::new());
            }
        }
        // The results of tokens and of sessions that left.
        self.send_out();
    }

    /// Whether the server checks its sessions every few seconds.
    fn looks_often(&self) -> bool {
        self.faults.lines.is_some() || self.faults.tokens
    }

    /// Causes a random fault, or none.
    fn disturb(&mut self) {
        if self.faults.alarms && self.random.one_in(20) {
            let client = self.random.below(CLIENTS) as usize;
            let ttl = match self.random.one_in(4) {
                true => Duration::from_secs(3600),
                false => self.random.between(1000, 100_000),
            };
            self.server.raise(self.now, self.clients[client].user(), ttl);
            self.send_out();
        }
        let connections = self.network.ids();
        if let Some(&connection) = connections.get(self.random.below(CLIENTS) as usize)
            && self.faults.connections
        {
            match self.random.below(60) {
                0 => self.network.half_open(connection),
                1..=4 => self.cut(connection),
                _ => {}
            }
        }
        if self.faults.sleep && self.random.one_in(100) {
            let client = self.random.below(CLIENTS) as usize;
            let duration = self.random.between(100, 90_000);
            self.clients[client].sleep(self.now, duration);
        }
        if self.faults.restarts && self.random.one_in(60) {
            let keep_history = self.random.one_in(2);
            self.restart(keep_history);
        }
    }

    fn restart(&mut self, keep_history: bool) {
        self.server.restart(keep_history);
        for connection in self.network.ids() {
            self.cut(connection);
        }
    }

    /// Cuts a connection: messages in flight are lost. A sleeping client notices later.
    fn cut(&mut self, connection: u64) {
        let Some(index) = self.network.client_of(connection) else { return };
        self.server.close(connection);
        let client = &mut self.clients[index];
        if client.asleep_until().is_some() {
            return self.network.half_open(connection);
        }
        self.network.forget(connection);
        if client.connection == Some(connection) {
            client.connection = None;
            client.received.ended += 1;
            client.core.handle_close(client.local(self.now), CloseCode::ABNORMAL, "");
            self.serve(index);
        }
    }
}
