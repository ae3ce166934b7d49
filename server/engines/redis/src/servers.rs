//! The servers: which one has a partition, and the connection to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue as _, Value, cmd};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, timeout};

use crate::error::{Error, ErrorKind};
use crate::link::{self, Link, connect};
use crate::options::{Address, RedisOptions, ServerKind};
use crate::partition::{PARTITIONS, Partition, SLOTS};

/// Finds the server of each partition, and keeps one connection to each server.
pub(crate) struct Servers {
    pub(crate) options: Arc<RedisOptions>,
    state: Mutex<ServersState>,
    /// Held by the task that looks servers up.
    looking: AsyncMutex<()>,
    /// Notified when a server or connection has changed.
    pub(crate) changed: Notify,
    /// `true` if deliveries stay on the server of their partition: by `SPUBLISH`, in a cluster of Redis 7. Otherwise each server
    /// of a cluster sends them to every other one.
    pub(crate) is_sharded: AtomicBool,
}

#[derive(Default)]
struct ServersState {
    /// The server of each partition; absent while nobody serves it. Empty before the first look.
    map: Vec<Option<Address>>,
    /// `true` if the map may be wrong.
    is_stale: bool,
    looked_up: Option<Instant>,
    links: HashMap<Address, Arc<Link>>,
    /// For each server, held by the task that connects to it.
    opening: HashMap<Address, Arc<AsyncMutex<()>>>,
    /// The processes of servers that were seen.
    processes: HashSet<String>,
    /// `true` if one of them is new, and may have lost the newest changes.
    has_new_process: bool,
    /// The servers that refuse writes, such as for full memory.
    refusals: HashMap<Address, Error>,
    /// The last failures, so that a server that is away is not asked for each request.
    failures: HashMap<Option<Address>, (Instant, Error)>,
}

impl Servers {
    pub(crate) fn new(options: RedisOptions) -> Self {
        Self {
            options: Arc::new(options),
            state: Mutex::default(),
            looking: AsyncMutex::default(),
            changed: Notify::new(),
            is_sharded: AtomicBool::new(false),
        }
    }

    /// Whether deliveries are sharded. Known, and final, once the engine is connected.
    pub(crate) fn is_sharded(&self) -> bool {
        self.is_sharded.load(Ordering::Relaxed)
    }

    /// A connection to the server of a partition.
    pub(crate) async fn link(&self, partition: Partition) -> Result<Arc<Link>, Error> {
        if let Some(link) = self.living(partition) {
            return Ok(link);
        }
        self.look_up().await?;
        let Some(address) = self.address(partition) else {
            let words = "no server of the Redis Cluster has this part of the keys: look at CLUSTER INFO";
            return Err(Error::new(ErrorKind::Unavailable, words));
        };
        self.link_to(&address).await
    }

    /// A connection to a server, for a command that another one has redirected.
    pub(crate) async fn link_at(&self, address: &Address) -> Result<Arc<Link>, Error> {
        self.link_to(address).await
    }

    async fn link_to(&self, address: &Address) -> Result<Arc<Link>, Error> {
        // A server that does not answer holds up nobody who needs another one.
        let opening = Arc::clone(self.state.lock().opening.entry(address.clone()).or_default());
        let _opening = opening.lock().await;
        {
            let state = self.state.lock();
            if let Some(link) = state.links.get(address).filter(|link| !link.is_dead()) {
                return Ok(Arc::clone(link));
            }
            state.check_failure(Some(address))?;
        }
        let opened = Link::open(&self.options, address).await;
        let mut state = self.state.lock();
        match opened {
            Ok(link) => {
                let link = Arc::new(link);
                if state.processes.insert(link.process.clone()) {
                    state.has_new_process = true;
                }
                state.failures.remove(&Some(address.clone()));
                state.refusals.remove(address);
                state.links.insert(address.clone(), Arc::clone(&link));
                self.changed.notify_one();
                Ok(link)
            }
            Err(error) => {
                state.is_stale = true;
                state.failures.insert(Some(address.clone()), (Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn living(&self, partition: Partition) -> Option<Arc<Link>> {
        let state = self.state.lock();
        let address = state.map.get(partition.index()).filter(|_| !state.is_stale)?.as_ref()?;
        state.links.get(address).filter(|link| !link.is_dead()).cloned()
    }

    /// The server of a partition, as far as it is known.
    pub(crate) fn address(&self, partition: Partition) -> Option<Address> {
        self.state.lock().map.get(partition.index())?.clone()
    }

    /// The partitions of each server.
    pub(crate) fn by_server(&self) -> BTreeMap<Address, Vec<Partition>> {
        let state = self.state.lock();
        let mut servers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (partition, address) in Partition::all().zip(&state.map) {
            if let Some(address) = address {
                servers.entry(address.clone()).or_default().push(partition);
            }
        }
        servers
    }

    /// Notes the result of a write. A server that refuses writes is logged once, and again when it takes them.
    pub(crate) fn note_write(&self, link: &Link, error: Option<&Error>) {
        match error {
            None if !link.is_refusing.load(Ordering::Relaxed) => {}
            None => {
                link.is_refusing.store(false, Ordering::Relaxed);
                self.state.lock().refusals.remove(&link.server);
                tracing::info!("Redis at {} takes publishes again", link.server);
            }
            Some(error) if error.is_temporary() && !link.is_refusing.swap(true, Ordering::Relaxed) => {
                tracing::error!("publishes are refused: {error}");
                self.state.lock().refusals.insert(link.server.clone(), error.clone());
            }
            Some(_) => {}
        }
    }

    /// An error if a server is away, or is not found.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let state = self.state.lock();
        let failed = state.failures.values().map(|(_, error)| error).chain(state.refusals.values()).next();
        failed.map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The processes of the masters to which there is a connection.
    pub(crate) fn masters(&self) -> Vec<String> {
        let state = self.state.lock();
        let is_master = |link: &&Arc<Link>| !link.is_dead() && state.map.contains(&Some(link.server.clone()));
        state.links.values().filter(is_master).map(|link| link.process.clone()).collect()
    }

    /// The number of servers, and of those with a living connection.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let servers = self.by_server();
        let links = self.links();
        let connected = links.iter().filter(|link| servers.contains_key(&link.server)).count();
        (u64::try_from(servers.len()).unwrap_or(u64::MAX), u64::try_from(connected).unwrap_or(u64::MAX))
    }

    /// The living connections.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.state.lock().links.values().filter(|link| !link.is_dead()).cloned().collect()
    }

    /// The map may be wrong: it is looked up before the next request.
    pub(crate) fn set_stale(&self) {
        self.state.lock().is_stale = true;
        self.changed.notify_one();
    }

    /// `true` if a server is another process since the last call.
    pub(crate) fn take_new_process(&self) -> bool {
        std::mem::take(&mut self.state.lock().has_new_process)
    }

    /// Looks the servers up if the map may be wrong.
    pub(crate) async fn update(&self) -> Result<(), Error> {
        let is_stale = {
            let state = self.state.lock();
            state.is_stale || state.map.is_empty()
        };
        if is_stale {
            self.look_up().await?;
        }
        Ok(())
    }

    /// Looks the servers up now, for a map that may have changed without a sign.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        self.state.lock().is_stale = true;
        self.look_up().await
    }

    /// Looks the servers up if the map may be wrong.
    async fn look_up(&self) -> Result<(), Error> {
        let _looking = self.looking.lock().await;
        {
            let mut state = self.state.lock();
            if state.links.values().any(|link| link.is_dead()) {
                state.links.retain(|_, link| !link.is_dead());
                state.is_stale = true;
            }
            let is_recent = state.looked_up.is_some_and(|at| at.elapsed() < LOOK_UP_INTERVAL);
            if !state.map.is_empty() && (!state.is_stale || is_recent) {
                return Ok(());
            }
            state.check_failure(None)?;
        }
        let map = match &self.options.kind {
            ServerKind::Single => Ok(vec![self.options.seeds.first().cloned(); usize::from(PARTITIONS)]),
            ServerKind::Sentinel(name) => {
                self.master(name).await.map(|master| vec![Some(master); usize::from(PARTITIONS)])
            }
            ServerKind::Cluster => self.slots().await,
        };
        let mut state = self.state.lock();
        match map {
            Ok(map) => {
                // Servers that have no partition any more concern nobody.
                state.failures.retain(|address, _| address.is_some() && map.contains(address));
                if state.map != map {
                    tracing::info!("the servers of Redis: {}", describe(&map));
                    self.changed.notify_one();
                }
                state.links.retain(|address, _| map.contains(&Some(address.clone())));
                state.opening.retain(|address, _| map.contains(&Some(address.clone())));
                state.refusals.retain(|address, _| map.contains(&Some(address.clone())));
                state.map = map;
                (state.is_stale, state.looked_up) = (false, Some(Instant::now()));
                Ok(())
            }
            Err(error) => {
                state.failures.insert(None, (Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Asks the Sentinels for the master.
    async fn master(&self, name: &str) -> Result<Address, Error> {
        first_answer(self.options.seeds.iter().map(|sentinel| self.ask_sentinel(sentinel, name))).await
    }

    async fn ask_sentinel(&self, sentinel: &Address, name: &str) -> Result<Address, Error> {
        let options = &self.options;
        let config = link::config(options);
        let mut connection = connect(options, sentinel, &options.sentinel_login, 0, &config).await?;
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let master: Option<(String, u16)> = question
            .query_async(&mut connection)
            .await
            .map_err(|error| Error::of_server(&sentinel.to_string(), error))?;
        let (host, port) = master.ok_or_else(|| {
            let words = format!("the Sentinel at {sentinel} knows no master {name}: check its name");
            Error::new(ErrorKind::Unavailable, words)
        })?;
        Ok(Address::Tcp { host, port, is_tls: options.is_tls() })
    }

    /// Asks the servers of the cluster for the slots.
    async fn slots(&self) -> Result<Vec<Option<Address>>, Error> {
        let mut known: Vec<Address> = self.links().iter().map(|link| link.server.clone()).collect();
        known.extend(self.options.seeds.iter().cloned());
        first_answer(known.iter().map(|server| self.ask_slots(server))).await
    }

    async fn ask_slots(&self, server: &Address) -> Result<Vec<Option<Address>>, Error> {
        let options = &self.options;
        let config = link::config(options);
        let mut connection: MultiplexedConnection =
            connect(options, server, &options.login, 0, &config).await?;
        let mut question = cmd("CLUSTER");
        question.arg("SLOTS");
        let answer: Value = question
            .query_async(&mut connection)
            .await
            .map_err(|error| Error::of_server(&server.to_string(), error))?;
        let ranges = slot_ranges(answer, server, options.is_tls());
        let ranges = ranges.ok_or_else(|| {
            Error::unexpected(format!(
                "Redis at {server} does not list the slots of its cluster: check CLUSTER SLOTS"
            ))
        })?;
        Ok(map_of(&ranges))
    }
}

impl ServersState {
    /// An error if the server, or the look, has just failed.
    fn check_failure(&self, address: Option<&Address>) -> Result<(), Error> {
        match self.failures.get(&address.cloned()) {
            Some((at, error)) if at.elapsed() < RETRY => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

/// The first answer to questions to several servers. One after another is asked, the next one if those before fail, or are silent
/// for a moment.
async fn first_answer<T>(
    questions: impl Iterator<Item = impl Future<Output = Result<T, Error>>>,
) -> Result<T, Error> {
    let (mut questions, mut asked) = (questions.fuse(), FuturesUnordered::new());
    let mut failure = Error::new(ErrorKind::Settings, "no server is named: add its address");
    loop {
        match questions.next() {
            Some(question) => asked.push(question),
            None if asked.is_empty() => return Err(failure),
            None => {}
        }
        match timeout(SILENCE, asked.next()).await {
            Ok(Some(Ok(answer))) => return Ok(answer),
            Ok(Some(Err(error))) => failure = error,
            Ok(None) | Err(_) => {}
        }
    }
}

/// The first and last slot of a range, and its master.
type SlotRange = (u16, u16, Address);

/// Reads the answer of `CLUSTER SLOTS`. A server without a name is the one that was asked.
fn slot_ranges(answer: Value, asked: &Address, is_tls: bool) -> Option<Vec<SlotRange>> {
    let Value::Array(ranges) = answer else { return None };
    let mut parsed = Vec::with_capacity(ranges.len());
    for range in ranges {
        let Value::Array(fields) = range else { return None };
        let mut fields = fields.into_iter();
        let first = u16::from_redis_value(fields.next()?).ok()?;
        let last = u16::from_redis_value(fields.next()?).ok()?;
        let Value::Array(master) = fields.next()? else { return None };
        let mut master = master.into_iter();
        let host = Option::<String>::from_redis_value(master.next()?).ok()?.filter(|host| !host.is_empty());
        let port = u16::from_redis_value(master.next()?).ok()?;
        let host = match (host.filter(|host| host != "?"), asked) {
            (Some(host), _) => host,
            (None, Address::Tcp { host, .. }) => host.clone(),
            (None, Address::Unix(_)) => return None,
        };
        parsed.push((first, last, Address::Tcp { host, port, is_tls }));
    }
    Some(parsed)
}

fn map_of(ranges: &[SlotRange]) -> Vec<Option<Address>> {
    let server = |partition: Partition| {
        let slot = partition.slot().min(SLOTS);
        let range = ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, address)| address.clone())
    };
    Partition::all().map(server).collect()
}

fn describe(map: &[Option<Address>]) -> String {
    let mut names: Vec<String> = map.iter().flatten().map(ToString::to_string).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// The time for which a server that failed is not asked again.
const RETRY: Duration = Duration::from_millis(250);

/// The time after which another server is asked too.
const SILENCE: Duration = Duration::from_millis(100);

/// The shortest time between two looks.
const LOOK_UP_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    fn server(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port, is_tls: false }
    }

    #[test]
    fn the_slots_of_a_cluster_are_read() {
        let range = |first, last, host: Value, port| {
            let master = Value::Array(vec![
                host,
                Value::Int(port),
                Value::BulkString(b"id".into()),
                Value::Array(vec![]),
            ]);
            Value::Array(vec![Value::Int(first), Value::Int(last), master])
        };
        let named = Value::BulkString(b"10.0.0.2".into());
        let answer = Value::Array(vec![range(0, 8191, Value::Nil, 7000), range(8192, 16_000, named, 7001)]);
        let ranges = slot_ranges(answer, &server("asked", 1), false).unwrap();
        assert_eq!(ranges, [(0, 8191, server("asked", 7000)), (8192, 16_000, server("10.0.0.2", 7001))]);
        let map = map_of(&ranges);
        assert_eq!(map[0], Some(server("asked", 7000)));
        assert_eq!(map[64], Some(server("10.0.0.2", 7001)));
        assert_eq!(map[127], None, "nobody serves the last slots");
        assert_eq!(slot_ranges(Value::Okay, &server("asked", 1), false), None);
    }
}
