//! The subscriptions of this node to its channels' deliveries: one connection for pushes to each server.
//!
//! The state says which subscriptions are wanted, and on which connection each one is confirmed. One task compares the two, and
//! sends what is missing. So a connection that is lost and a partition that moves to another server are handled in the same way
//! as a new channel.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use wirehub_common::ChannelName;
use wirehub_hub::engine::{Delivery, Epoch, NodeId};

use crate::error::{Error, ErrorKind};
use crate::keys::Keys;
use crate::link::{config, connect};
use crate::message::{DeliveredPublication, bytes, decode};
use crate::options::{Address, ServerKind};
use crate::partition::Partition;
use crate::presence;
use crate::servers::Servers;

/// The subscriptions of a node.
pub(crate) struct Subscriptions {
    pub(crate) own: NodeId,
    keys: Keys,
    servers: Arc<Servers>,
    delivery: OnceLock<Delivery>,
    state: Mutex<State>,
    /// Notified when the state has changed.
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// By the name of the delivery channel.
    wanted: HashMap<Bytes, Subscription>,
    /// Confirmed subscriptions that are wanted no longer.
    unwanted: Vec<(Bytes, Partition, u64)>,
    lines: HashMap<Address, Line>,
    /// The number of connections so far.
    numbers: u64,
    renewals: Vec<oneshot::Sender<Result<(), Error>>>,
    /// The probes that are on their way, the oldest first.
    probes: VecDeque<Probe>,
    /// `true` after the loss of a connection, until every subscription is confirmed again.
    is_interrupted: bool,
    /// `true` if the store may have lost the presence of this node, until the hub is notified.
    has_lost_presence: bool,
}

struct Subscription {
    partition: Partition,
    /// The last epoch of a channel, so that most deliveries share one; absent for inboxes.
    epoch: Option<Epoch>,
    /// The number of the connection on which it is confirmed.
    confirmed: Option<u64>,
    waiting: Vec<oneshot::Sender<Result<(), Error>>>,
}

/// The name of a delivery channel with its partition.
type InPartition = (Bytes, Partition);

/// A connection for pushes.
#[derive(Clone)]
struct Line {
    number: u64,
    connection: MultiplexedConnection,
    is_dead: Arc<AtomicBool>,
}

/// A probe, and the partitions from which it has not come back.
struct Probe {
    number: u64,
    missing: HashSet<Partition>,
}

impl Subscriptions {
    pub(crate) fn new(own: NodeId, keys: Keys, servers: Arc<Servers>) -> Arc<Self> {
        let mut state = State::default();
        let inboxes = Partition::all().map(|partition| (partition, Some(own)));
        for (partition, node) in inboxes.chain([(Partition::FLEET, None)]) {
            let inbox = Subscription { partition, epoch: None, confirmed: None, waiting: Vec::new() };
            state.wanted.insert(keys.inbox(partition, node), inbox);
        }
        let state = Mutex::new(state);
        Arc::new(Self { own, keys, servers, delivery: OnceLock::new(), state, wake: Notify::new() })
    }

    /// Sets the recipient of deliveries. Another hub's is ignored.
    pub(crate) fn set_delivery(&self, delivery: Delivery) {
        let _ = self.delivery.set(delivery);
    }

    /// Subscribes to a channel's deliveries. The answer comes when it is confirmed.
    pub(crate) fn attach(&self, name: &ChannelName) -> oneshot::Receiver<Result<(), Error>> {
        let (answer, later) = oneshot::channel();
        let key = self.keys.of_channel("d:", name).into_bytes();
        let mut state = self.state.lock();
        let partition = Partition::of(name.as_str().as_bytes());
        let back = state.unwanted.iter().position(|(unwanted, ..)| *unwanted == key);
        let confirmed = back.map(|index| state.unwanted.swap_remove(index).2);
        let subscription = state.wanted.entry(key).or_insert_with(|| Subscription {
            partition,
            epoch: Some("".into()),
            confirmed,
            waiting: Vec::new(),
        });
        if subscription.confirmed.is_some() {
            // The caller holds the other end.
            let _ = answer.send(Ok(()));
        } else {
            subscription.waiting.push(answer);
            self.wake.notify_one();
        }
        later
    }

    /// Notifies the hub that the store may have lost the presence of this node.
    pub(crate) fn report_lost_presence(&self) {
        self.state.lock().has_lost_presence = true;
        self.wake.notify_one();
    }

    /// Ends the subscription to a channel's deliveries.
    pub(crate) fn detach(&self, name: &ChannelName) {
        let key = self.keys.of_channel("d:", name).into_bytes();
        let mut state = self.state.lock();
        if let Some(subscription) = state.wanted.remove(&key)
            && let Some(number) = subscription.confirmed
        {
            state.unwanted.push((key, subscription.partition, number));
            self.wake.notify_one();
        }
    }

    /// Makes every connection anew. The answer comes when all subscriptions are confirmed.
    pub(crate) fn renew(&self) -> oneshot::Receiver<Result<(), Error>> {
        let (answer, later) = oneshot::channel();
        let mut state = self.state.lock();
        state.lines.values().for_each(|line| line.is_dead.store(true, Ordering::Relaxed));
        state.renewals.push(answer);
        self.servers.set_stale();
        self.wake.notify_one();
        later
    }

    /// The partitions by which a probe reaches every server, and notes that it is on its way.
    pub(crate) fn begin_probe(&self, number: u64) -> Vec<Partition> {
        let servers = self.servers.by_server();
        let partitions: Vec<Partition> = servers.values().filter_map(|own| own.first().copied()).collect();
        let probes = &mut self.state.lock().probes;
        if probes.len() >= MAX_PROBES {
            probes.pop_front();
        }
        probes.push_back(Probe { number, missing: partitions.iter().copied().collect() });
        partitions
    }

    /// The number of attached channels.
    pub(crate) fn attached(&self) -> u64 {
        let state = self.state.lock();
        let channels = state.wanted.values().filter(|subscription| subscription.epoch.is_some());
        u64::try_from(channels.count()).unwrap_or(u64::MAX)
    }

    /// Waits until all subscriptions of the beginning are confirmed.
    pub(crate) async fn started(&self, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(patience);
        while !self.state.lock().is_complete() {
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                let words = "Redis does not confirm subscriptions: check the rights of the user for channels";
                return Err(Error::new(ErrorKind::Unavailable, words));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Removes the connections that are dead, or to servers without partitions. Returns the servers with their partitions; `None`
    /// if they are not found.
    async fn remove_lost_lines(&self) -> Option<BTreeMap<Address, Vec<Partition>>> {
        if let Err(error) = self.servers.update().await {
            self.fail(None, &error);
            return None;
        }
        let servers = self.servers.by_server();
        let mut state = self.state.lock();
        let lost: Vec<Address> = state
            .lines
            .iter()
            .filter(|(server, line)| line.is_dead() || !servers.contains_key(*server))
            .map(|(server, _)| server.clone())
            .collect();
        for server in lost {
            if let Some(line) = state.lines.remove(&server) {
                line.is_dead.store(true, Ordering::Relaxed);
                state.forget(line.number);
                state.is_interrupted = true;
            }
        }
        Some(servers)
    }

    /// Notifies everybody who waits for the end of an interruption, if it is over.
    fn conclude(&self) {
        let mut state = self.state.lock();
        if state.is_complete() && !state.lines.values().any(Line::is_dead) {
            state.renewals.drain(..).for_each(|answer| drop(answer.send(Ok(()))));
            let was_interrupted = std::mem::take(&mut state.is_interrupted);
            let has_lost_presence = std::mem::take(&mut state.has_lost_presence);
            drop(state);
            let has_lost_presence = self.servers.take_new_process() || has_lost_presence;
            if was_interrupted {
                tracing::info!("the deliveries of Redis arrive again");
            }
            if let Some(delivery) = self.delivery.get() {
                if was_interrupted {
                    delivery.interrupted();
                }
                if has_lost_presence {
                    delivery.presence_lost();
                }
            }
        }
    }

    /// Compares the subscriptions that are wanted from a server with those that are confirmed, and sends what is missing, until
    /// nothing is. Returns `false` if something failed.
    async fn reconcile(self: &Arc<Self>, server: &Address, partitions: &[Partition]) -> bool {
        let line = match self.line(server).await {
            Ok(line) => line,
            Err(error) => {
                self.fail(Some(partitions), &error);
                return false;
            }
        };
        while !line.is_dead() {
            let (missing, unwanted) = self.state.lock().differences(line.number, partitions);
            if missing.is_empty() && unwanted.is_empty() {
                return true;
            }
            if !self.send_differences(server, &line, missing, unwanted).await {
                return false;
            }
        }
        false
    }

    async fn send_differences(
        &self,
        server: &Address,
        line: &Line,
        missing: Vec<InPartition>,
        unwanted: Vec<InPartition>,
    ) -> bool {
        let is_sharded = self.servers.is_sharded();
        let (subscribe, unsubscribe) =
            if is_sharded { ("SSUBSCRIBE", "SUNSUBSCRIBE") } else { ("SUBSCRIBE", "UNSUBSCRIBE") };
        for names in groups(missing, is_sharded) {
            if let Err(error) = self.command(line, subscribe, &names).await {
                let partitions: Vec<_> = names.iter().map(|(_, partition)| *partition).collect();
                self.servers.set_stale();
                self.fail(Some(&partitions), &Error::of_server(&server.to_string(), error));
                return false;
            }
            self.state.lock().confirm(line.number, &names);
        }
        for names in groups(unwanted, is_sharded) {
            if let Err(error) = self.command(line, unsubscribe, &names).await {
                // The connection is dead, or the partition is elsewhere: either way the subscription is over.
                tracing::debug!("{error}");
            }
        }
        true
    }

    async fn command(
        &self,
        line: &Line,
        command: &str,
        names: &[InPartition],
    ) -> Result<(), redis::RedisError> {
        let mut packed = Cmd::new();
        packed.arg(command);
        for (name, _) in names {
            packed.arg(&name[..]);
        }
        let mut connection = line.connection.clone();
        let answer = connection.send_packed_command(&packed).await.and_then(Value::extract_error);
        answer.map(drop).inspect_err(|error| {
            if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
                line.is_dead.store(true, Ordering::Relaxed);
            }
        })
    }

    /// The connection to a server; a new one if there is none.
    async fn line(self: &Arc<Self>, server: &Address) -> Result<Line, Error> {
        if let Some(line) = self.state.lock().lines.get(server).filter(|line| !line.is_dead()) {
            return Ok(line.clone());
        }
        let is_dead = Arc::new(AtomicBool::new(false));
        let pushes = {
            let (subscriptions, is_dead) = (Arc::downgrade(self), Arc::clone(&is_dead));
            move |push| {
                take(&subscriptions, &is_dead, push);
                Ok::<_, redis::aio::SendError>(())
            }
        };
        let options = &self.servers.options;
        let config = config(options).set_push_sender(pushes);
        let connection = connect(options, server, &options.login, options.database, &config).await?;
        let mut state = self.state.lock();
        state.numbers = state.numbers.wrapping_add(1);
        let line = Line { number: state.numbers, connection, is_dead };
        state.lines.insert(server.clone(), line.clone());
        Ok(line)
    }

    /// Ends the attempts to attach channels of these partitions; of all partitions without any.
    fn fail(&self, partitions: Option<&[Partition]>, error: &Error) {
        let mut state = self.state.lock();
        state.wanted.retain(|_, subscription| {
            let concerns = partitions.is_none_or(|partitions| partitions.contains(&subscription.partition));
            if !concerns || subscription.confirmed.is_some() || subscription.waiting.is_empty() {
                return true;
            }
            subscription.waiting.drain(..).for_each(|answer| drop(answer.send(Err(error.clone()))));
            false
        });
        state.renewals.drain(..).for_each(|answer| drop(answer.send(Err(error.clone()))));
    }

    /// Takes a push of a living connection.
    fn take(&self, PushInfo { kind, data }: PushInfo) {
        match kind {
            PushKind::Message | PushKind::SMessage => {
                let mut data = data.into_iter();
                if let (Some(Value::BulkString(channel)), Some(Value::BulkString(message))) =
                    (data.next(), data.next())
                {
                    self.deliver(&channel, &Bytes::from(message));
                }
            }
            PushKind::SUnsubscribe | PushKind::Unsubscribe => {
                // The partition has moved, unless this was requested.
                let Some(name) = data.first().and_then(bytes) else { return };
                let mut state = self.state.lock();
                if let Some(subscription) = state.wanted.get_mut(name)
                    && subscription.confirmed.take().is_some()
                {
                    state.is_interrupted = true;
                    drop(state);
                    self.servers.set_stale();
                    self.wake.notify_one();
                }
            }
            _ => {}
        }
    }

    fn deliver(&self, channel: &[u8], message: &Bytes) {
        let Some(delivery) = self.delivery.get() else { return };
        match self.keys.parse(channel) {
            Some((b"d", _)) => {
                let movement = |is_join| {
                    if let Some(movement) = presence::decode(&message.slice(1..)) {
                        delivery.moved(movement, is_join);
                    }
                };
                match message.first() {
                    Some(b'j') => return movement(true),
                    Some(b'l') => return movement(false),
                    _ => {}
                }
                let Some(delivered) = DeliveredPublication::parse(message) else { return };
                let Some(epoch) = self.state.lock().epoch(channel, delivered.epoch) else { return };
                match decode(&message.slice_ref(delivered.message), delivered.offset, delivered.time) {
                    Some(publication) => delivery.deliver(publication, &epoch),
                    None => tracing::error!("a delivery is damaged: it is skipped"),
                }
            }
            Some((b"i", _)) => self.take_message(channel, message, delivery),
            _ => {}
        }
    }

    /// Takes a message in an inbox: `b` and the number of a probe, or `m`, the sender and the message of a node.
    fn take_message(&self, inbox: &[u8], message: &[u8], delivery: &Delivery) {
        match message.split_first() {
            Some((b'b', number)) => {
                let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
                let mut state = self.state.lock();
                let partition = state.wanted.get(inbox).map(|subscription| subscription.partition);
                let (Some(number), Some(partition)) = (number, partition) else { return };
                let Some(place) = state.probes.iter().position(|probe| probe.number == number) else {
                    return;
                };
                let Some(probe) = state.probes.get_mut(place) else { return };
                probe.missing.remove(&partition);
                if probe.missing.is_empty() {
                    state.probes.remove(place);
                    drop(state);
                    delivery.probed(number);
                }
            }
            Some((b'm', rest)) => {
                if let Some((sender, message)) = rest.split_first_chunk() {
                    let sender = NodeId::from_number(u64::from_be_bytes(*sender));
                    if sender != self.own {
                        delivery.node_message(sender, Bytes::copy_from_slice(message));
                    }
                }
            }
            _ => {}
        }
    }
}

impl State {
    /// The names to subscribe and to unsubscribe on a connection to the server of these partitions.
    fn differences(&mut self, line: u64, partitions: &[Partition]) -> (Vec<InPartition>, Vec<InPartition>) {
        let partitions: BTreeSet<Partition> = partitions.iter().copied().collect();
        let missing = self.wanted.iter().filter(|(_, subscription)| {
            subscription.confirmed.is_none() && partitions.contains(&subscription.partition)
        });
        let missing = missing.map(|(name, subscription)| (name.clone(), subscription.partition)).collect();
        let unwanted = self.unwanted.extract_if(.., |(_, _, number)| *number == line);
        (missing, unwanted.map(|(name, partition, _)| (name, partition)).collect())
    }

    fn confirm(&mut self, line: u64, names: &[InPartition]) {
        // A connection that was given up meanwhile confirms nothing.
        if !self.lines.values().any(|living| living.number == line && !living.is_dead()) {
            return;
        }
        for (name, partition) in names {
            match self.wanted.get_mut(name) {
                Some(subscription) => {
                    subscription.confirmed = Some(line);
                    subscription.waiting.drain(..).for_each(|answer| drop(answer.send(Ok(()))));
                }
                // It was detached meanwhile.
                None => self.unwanted.push((name.clone(), *partition, line)),
            }
        }
    }

    /// Nothing is confirmed on a connection any more.
    fn forget(&mut self, line: u64) {
        for subscription in
            self.wanted.values_mut().filter(|subscription| subscription.confirmed == Some(line))
        {
            subscription.confirmed = None;
        }
        self.unwanted.retain(|(_, _, number)| *number != line);
    }

    fn is_complete(&self) -> bool {
        self.wanted.values().all(|subscription| subscription.confirmed.is_some())
    }

    /// The epoch of a channel's delivery; `None` if the channel is not attached.
    fn epoch(&mut self, channel: &[u8], epoch: &str) -> Option<Epoch> {
        let last = self.wanted.get_mut(channel)?.epoch.as_mut()?;
        if **last != *epoch {
            *last = epoch.into();
        }
        Some(Arc::clone(last))
    }
}

impl Line {
    fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }
}

/// Names that fit in one command: of one slot if deliveries are sharded.
fn groups(mut names: Vec<InPartition>, is_sharded: bool) -> Vec<Vec<InPartition>> {
    names.sort_unstable_by_key(|(_, partition)| *partition);
    let by_slot: Vec<&[InPartition]> = match is_sharded {
        true => names.chunk_by(|(_, one), (_, other)| one == other).collect(),
        false => vec![&names],
    };
    by_slot.into_iter().flat_map(|names| names.chunks(NAMES_AT_ONCE)).map(<[_]>::to_vec).collect()
}

/// Takes a push, if its connection is in use.
fn take(subscriptions: &Weak<Subscriptions>, is_dead: &AtomicBool, push: PushInfo) {
    let Some(subscriptions) = subscriptions.upgrade() else { return };
    if push.kind == PushKind::Disconnection {
        is_dead.store(true, Ordering::Relaxed);
        subscriptions.servers.set_stale();
        subscriptions.wake.notify_one();
    } else if !is_dead.load(Ordering::Relaxed) {
        subscriptions.take(push);
    }
}

/// Keeps the subscriptions and the map of servers up to date, until the engine is gone.
///
/// Each server has its own work at a time, so that one that does not answer holds up no channel of another.
pub(crate) async fn keep(subscriptions: Weak<Subscriptions>) {
    let mut refreshed = Instant::now();
    let (mut works, mut busy) = (FuturesUnordered::new(), HashSet::new());
    loop {
        let Some(own) = subscriptions.upgrade() else { return };
        if refreshed.elapsed() >= REFRESH {
            refreshed = Instant::now();
            if own.servers.options.kind != ServerKind::Single
                && let Err(error) = own.servers.refresh().await
            {
                tracing::debug!("{error}");
            }
        }
        let servers = own.remove_lost_lines().await;
        let tick = sleep(if servers.is_some() { TICK } else { RETRY });
        tokio::pin!(tick);
        for (server, partitions) in servers.into_iter().flatten() {
            if busy.insert(server.clone()) {
                works.push(work(Arc::clone(&own), server, partitions));
            }
        }
        loop {
            // Works are first: one that has ended has seen every earlier sign, and a later sign begins another one.
            tokio::select! {
                biased;
                Some((server, is_done)) = works.next() => {
                    busy.remove(&server);
                    if !is_done {
                        break;
                    }
                    if works.is_empty() {
                        own.conclude();
                    }
                }
                () = own.wake.notified() => break,
                () = own.servers.changed.notified() => break,
                // The engine may go while nothing changes.
                () = &mut tick => break,
            }
        }
    }
}

/// Reconciles the subscriptions of a server. One that fails has a pause.
async fn work(own: Arc<Subscriptions>, server: Address, partitions: Vec<Partition>) -> (Address, bool) {
    let is_done = own.reconcile(&server, &partitions).await;
    if !is_done {
        sleep(RETRY).await;
    }
    (server, is_done)
}

/// The maximum number of probes on their way.
const MAX_PROBES: usize = 8;

/// The maximum number of names in one command.
const NAMES_AT_ONCE: usize = 256;

/// The time between two comparisons without a sign of a change, and before a comparison that failed is repeated.
const TICK: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(250);

/// The time between two looks for the servers of Sentinel and Cluster.
const REFRESH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_has_names_of_one_slot_if_deliveries_are_sharded() {
        let names: Vec<_> = (0..600)
            .map(|number| {
                (Bytes::from(number.to_string()), Partition::of(&[u8::try_from(number % 2).unwrap()]))
            })
            .collect();
        let sharded = groups(names.clone(), true);
        assert!(sharded.iter().all(|group| group.iter().all(|(_, partition)| *partition == group[0].1)));
        assert_eq!(sharded.iter().map(Vec::len).collect::<Vec<_>>(), [256, 44, 256, 44]);
        assert_eq!(groups(names, false).iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 88]);
        assert!(groups(Vec::new(), false).iter().all(Vec::is_empty));
    }
}
