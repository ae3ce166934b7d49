//! An engine with faults, for tests.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::task::yield_now;
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Idempotency, Position, Publication};

use super::{
    Attachments, Delivery, Engine, EngineError, EngineErrorKind, EngineFuture, EnginePublish, Epoch, Locate,
    Located, MemoryEngine, Publications, ReadHistory,
};
use crate::namespace::History;

/// A [`MemoryEngine`] behind a bad connection: it serves attached channels only, and drops, doubles and reorders the deliveries
/// of channels with history. It can be away, fall silent, and lose its history. The same seed has the same faults.
///
/// Clones are the same engine: one for the hub, and one for the test.
#[derive(Debug, Clone)]
pub struct FaultyEngine {
    memory: Arc<RwLock<Arc<MemoryEngine>>>,
    connection: Arc<Connection>,
}

/// The way of deliveries to the hub.
#[derive(Debug)]
struct Connection {
    target: OnceLock<Delivery>,
    state: Mutex<ConnectionState>,
}

#[derive(Debug)]
struct ConnectionState {
    random: u64,
    /// The share of deliveries with each kind of fault, in percent.
    percent: u64,
    is_away: bool,
    is_silent: bool,
    attached: HashSet<ChannelName>,
    /// Deliveries that come later, behind newer ones.
    held: Vec<(Publication, Epoch)>,
}

impl FaultyEngine {
    /// An engine in which `percent` of a hundred deliveries are dropped, as many are doubled, and as many come late.
    pub fn new(seed: u64, percent: u64) -> Self {
        let state = ConnectionState {
            random: seed,
            percent,
            is_away: false,
            is_silent: false,
            attached: HashSet::new(),
            held: Vec::new(),
        };
        let connection = Connection { target: OnceLock::new(), state: Mutex::new(state) };
        Self { memory: Arc::default(), connection: Arc::new(connection) }
    }

    /// Sets the share of each kind of fault, in percent.
    pub fn set_faults(&self, percent: u64) {
        self.connection.state.lock().percent = percent;
    }

    /// While it is away, every request fails.
    pub fn set_away(&self, is_away: bool) {
        self.connection.state.lock().is_away = is_away;
    }

    /// Deliveries and probes do not arrive any more, without a sign, until the connection is made anew.
    pub fn fall_silent(&self) {
        self.connection.state.lock().is_silent = true;
    }

    /// Loses every publication and key.
    pub fn lose_history(&self) {
        let memory = MemoryEngine::new();
        memory.start(self.connection.delivery());
        *self.memory.write() = Arc::new(memory);
    }

    /// The newest position of a channel.
    pub fn newest_of(&self, channel: &ChannelName) -> Option<Position> {
        let memory = self.memory.read();
        let history = History::new(0, Duration::ZERO);
        let read =
            ReadHistory { channel: channel.clone(), history, since: None, limit: 0, bytes: 0, reverse: true };
        match memory.history(read) {
            EngineFuture::Now(Ok(page)) => page.map(|page| page.position),
            _ => None,
        }
    }

    /// The channels that are attached.
    pub fn attached(&self) -> Vec<ChannelName> {
        self.connection.state.lock().attached.iter().cloned().collect()
    }

    fn ask<T: Send + Unpin + 'static>(
        &self,
        request: impl FnOnce(&MemoryEngine) -> EngineFuture<T>,
    ) -> EngineFuture<T> {
        if self.connection.state.lock().is_away {
            return EngineFuture::Now(Err(EngineError::new(EngineErrorKind::Unavailable, "it is away")));
        }
        // The order is fixed at once; the answer comes later.
        let answer = request(&self.memory.read());
        EngineFuture::Later(Box::pin(async move {
            yield_now().await;
            answer.await
        }))
    }
}

impl Connection {
    fn delivery(self: &Arc<Self>) -> Delivery {
        let connection = Arc::clone(self);
        Delivery::from_fn(move |publication, epoch| connection.carry(publication, epoch))
    }

    fn carry(&self, publication: Publication, epoch: &Epoch) {
        let Some(target) = self.target.get() else { return };
        let mut arriving = Vec::new();
        {
            let mut state = self.state.lock();
            if state.is_silent || !state.attached.contains(&publication.channel) {
                return;
            }
            let percent = state.percent;
            let fault = if publication.offset == 0 { None } else { state.roll().checked_div(percent) };
            match fault {
                Some(0) => {}
                Some(1) => arriving
                    .extend([(publication.clone(), Arc::clone(epoch)), (publication, Arc::clone(epoch))]),
                Some(2) => state.held.push((publication, Arc::clone(epoch))),
                _ => arriving.push((publication, Arc::clone(epoch))),
            }
            if fault != Some(2) && state.roll() < 50 {
                arriving.append(&mut state.held);
            }
        }
        for (publication, epoch) in arriving {
            target.deliver(publication, &epoch);
        }
    }
}

impl ConnectionState {
    /// A random number below 100: SplitMix64.
    fn roll(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100
    }
}

impl Engine for FaultyEngine {
    fn start(&self, delivery: Delivery) {
        // Only the first hub is served.
        let _ = self.connection.target.set(delivery);
        self.memory.read().start(self.connection.delivery());
    }

    fn attachments(&self) -> Option<&dyn Attachments> {
        Some(self)
    }
}

impl Publications for FaultyEngine {
    fn idempotency(&self) -> Option<Idempotency> {
        self.memory.read().idempotency()
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        self.ask(|memory| memory.publish(publish))
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        self.ask(|memory| memory.locate(locate))
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        self.ask(|memory| memory.history(read))
    }
}

impl Attachments for FaultyEngine {
    fn attach(&self, channel: &ChannelName) -> EngineFuture<()> {
        let (connection, channel) = (Arc::clone(&self.connection), channel.clone());
        EngineFuture::Later(Box::pin(async move {
            yield_now().await;
            let mut state = connection.state.lock();
            if state.is_away {
                return Err(EngineError::new(EngineErrorKind::Unavailable, "it is away"));
            }
            state.attached.insert(channel);
            Ok(())
        }))
    }

    fn detach(&self, channel: &ChannelName) {
        self.connection.state.lock().attached.remove(channel);
    }

    fn probe(&self, number: u64) {
        let state = self.connection.state.lock();
        if let Some(target) = self.connection.target.get().filter(|_| !state.is_silent && !state.is_away) {
            target.probed(number);
        }
    }

    fn renew(&self) -> EngineFuture<()> {
        self.ask(|_| EngineFuture::Now(Ok(()))).map({
            let connection = Arc::clone(&self.connection);
            move |()| connection.state.lock().is_silent = false
        })
    }

    fn newest(&self, seen: Vec<(ChannelName, Option<Position>)>) -> EngineFuture<Vec<Option<Position>>> {
        let newest = seen.iter().map(|(channel, _)| self.newest_of(channel)).collect();
        self.ask(|_| EngineFuture::Now(Ok(newest)))
    }
}
