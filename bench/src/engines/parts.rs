//! The parts of a measurement. Each runs in a process of its own, and prints a figure a line.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder as Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use wirehub_common::Payload;
use wirehub_hub::engine::EngineMetricValue;
use wirehub_hub::namespace::History;
use wirehub_hub::observe::LocalUpdate;
use wirehub_server::{ListenAddress, Listener};

use super::appends;
use super::bare_redis::BareRedis;
use super::subject::{self, Channel, Subject, Target};
use crate::{machine, servers};

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Publishes a second, their processor time, and the time of an answer.
    Publish,
    /// The same with a subscriber for each channel.
    Deliver,
    /// The time from a publish on a node to its delivery on another.
    Cross,
    /// The memory of idle channels.
    Idle,
    /// The time until a store with many messages answers.
    Start,
    /// A server for clients with sessions.
    Serve,
    /// The time of an answer over a long time; only on request.
    Sustained,
}

impl Part {
    pub(super) fn suits(self, subject: Subject) -> bool {
        match self {
            Self::Publish => true,
            Self::Deliver | Self::Cross => !matches!(subject, Subject::Appends | Subject::BareFjall),
            Self::Idle | Self::Serve => !subject.is_floor(),
            // A start in memory finds nothing.
            Self::Start => !subject.is_floor() && subject != Subject::Memory,
            Self::Sustained => false,
        }
    }
}

/// The options of a part.
#[derive(Debug, Args)]
pub(crate) struct Child {
    pub(super) subject: Subject,
    part: Part,
    #[arg(long)]
    pub(super) folder: PathBuf,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    pub(super) sustained: f64,
    #[arg(long)]
    messages: usize,
    #[arg(long)]
    idle_channels: usize,
    /// The URL of each server of Redis.
    #[arg(long)]
    pub(super) redis: Vec<String>,
    /// The number of its process.
    #[arg(long)]
    redis_process: Vec<u32>,
}

impl Child {
    pub(crate) fn run(&self) -> Result<()> {
        // The scheduler that `wirehub serve` has on one core.
        Runtime::new_current_thread().enable_all().build()?.block_on(async {
            match self.part {
                Part::Publish => self.publish().await,
                Part::Deliver => self.deliver().await,
                Part::Cross => self.cross().await,
                Part::Idle => self.idle().await,
                Part::Start => self.start().await,
                Part::Serve => self.serve().await,
                Part::Sustained => self.sustained().await,
            }
        })
    }

    /// The syncs so far, where each publish waits for one.
    fn syncs(&self, target: &Target) -> Option<f64> {
        match target {
            Target::Hub(hub) if self.subject == Subject::DiskAlways => {
                let metrics = hub.engine().metrics();
                match metrics.iter().find(|metric| metric.name == "syncs")?.value {
                    EngineMetricValue::Counter(count) => Some(count as f64),
                    _ => None,
                }
            }
            Target::Appends(appends) => Some(appends.syncs()),
            _ => None,
        }
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    async fn publish(&self) -> Result<()> {
        let target = Target::open(self, HISTORY).await?;
        let mut limit = 0.0;
        for (in_flight, channels) in [(1, 1), (1, 64), (256, 1), (256, 64)] {
            let syncs = self.syncs(&target);
            let load = self.load(&target, in_flight, channels).await?;
            let name = format!("publish {in_flight}/{channels}");
            load.print(&name);
            limit = load.per_second;
            if let (Some(before), Some(after)) = (syncs, self.syncs(&target)) {
                let batch = load.all as f64 / (after - before).max(1.0);
                println!("{name} batch: {batch}");
                let limit = appends::per_second(&self.folder, batch, PAYLOAD, self.time())?;
                println!("{name} disk: {limit}");
            }
        }
        let mut latencies = Vec::new();
        let rate = (limit / 2.0).min(HIGHEST_RATE);
        let note = |_, latency, result: Result<()>| result.map(|()| latencies.push(latency));
        self.paced(&target, rate, self.time(), note).await?;
        print_latencies("half", &mut latencies)
    }

    async fn deliver(&self) -> Result<()> {
        let target = Target::open(self, HISTORY).await?;
        let received = Arc::new(AtomicU64::new(0));
        let mut bare = None;
        match &target {
            Target::Hub(hub) => {
                for number in 0..CHANNELS {
                    let mut subscription = hub.subscribe_raw(&Channel::numbered(number)?.name);
                    let received = Arc::clone(&received);
                    tokio::spawn(async move {
                        while let Some(Ok(_)) = subscription.next().await {
                            received.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            }
            Target::Appends(_) => {}
            Target::Bare(client) => bare = Some(client.subscribe(CHANNELS, |_| {}).await?),
        }
        // Attached channels are not reported here.
        sleep(SETTLED).await;
        let load = self.load(&target, IN_FLIGHT, CHANNELS).await?;
        load.print("deliver");
        sleep(SETTLED).await;
        let received = bare.map_or_else(|| received.load(Ordering::Relaxed), |bare| bare.received());
        ensure!(received == load.all, "{received} deliveries of {}", load.all);
        Ok(())
    }

    /// Publishes as fast as answers come.
    pub(super) async fn load(&self, target: &Target, in_flight: usize, channels: usize) -> Result<Load> {
        let channels: Arc<[Channel]> = (0..channels).map(Channel::numbered).collect::<Result<_>>()?;
        let published = Arc::new(AtomicU64::new(0));
        let end = Instant::now() + WARM_UP + self.time();
        let mut publishers = JoinSet::new();
        for publisher in 0..in_flight {
            let (target, channels, published) =
                (target.clone(), Arc::clone(&channels), Arc::clone(&published));
            publishers.spawn(async move {
                let payload = payload();
                for channel in channels.iter().cycle().skip(publisher % channels.len()) {
                    if Instant::now() >= end {
                        break;
                    }
                    target.publish(channel, payload.clone()).await?;
                    published.fetch_add(1, Ordering::Relaxed);
                    // With an engine that answers at once, the others would never have a turn.
                    tokio::task::consume_budget().await;
                }
                anyhow::Ok(())
            });
        }
        sleep(WARM_UP).await;
        let before = (published.load(Ordering::Relaxed), Instant::now(), own_cpu(), self.redis_cpu()?);
        while let Some(ended) = publishers.join_next().await {
            ended??;
        }
        let all = published.load(Ordering::Relaxed);
        let count = (all - before.0) as f64;
        ensure!(count > 0.0, "nothing was published in time: use more --seconds");
        Ok(Load {
            all,
            per_second: count / before.1.elapsed().as_secs_f64(),
            own: (own_cpu() - before.2).as_secs_f64() * 1e6 / count,
            redis: (self.redis_cpu()? - before.3).as_secs_f64() * 1e6 / count,
            has_redis: !self.redis.is_empty(),
        })
    }

    /// Publishes at a rate. After the warm-up it calls the function with the time of each publish since the beginning, the time
    /// until the answer, and the answer. Both times count from the moment at which the publish was due.
    pub(super) async fn paced(
        &self,
        target: &Target,
        rate: f64,
        time: Duration,
        mut answered: impl FnMut(Duration, Duration, Result<()>) -> Result<()>,
    ) -> Result<()> {
        let channels: Vec<Channel> = (0..CHANNELS).map(Channel::numbered).collect::<Result<_>>()?;
        let mut channels = channels.iter().cycle();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let begun = ticks.tick().await;
        let mut published = 0_u64;
        let mut answers = JoinSet::new();
        let mut note = |(since, latency, result): (Duration, Duration, _)| match since.checked_sub(WARM_UP) {
            Some(since) => answered(since, latency, result),
            None => result,
        };
        loop {
            let due = ticks.tick().await;
            let since = due - begun;
            if since >= time + WARM_UP {
                break;
            }
            while (published as f64) < since.as_secs_f64() * rate {
                published += 1;
                let Some(channel) = channels.next().cloned() else { break };
                let target = target.clone();
                answers.spawn(async move {
                    let result = target.publish(&channel, payload()).await;
                    (since, due.elapsed(), result)
                });
            }
            while let Some(answer) = answers.try_join_next() {
                note(answer?)?;
            }
        }
        while let Some(answer) = answers.join_next().await {
            note(answer?)?;
        }
        Ok(())
    }

    /// Publishes on a node, and receives on another; without nodes on the same.
    async fn cross(&self) -> Result<()> {
        let begun = Instant::now();
        let (arrived, mut arrivals) = mpsc::channel(1);
        let channel = Channel::numbered(0)?;
        let target = Target::open(self, HISTORY).await?;
        let age = move |data: &[u8]| {
            let sent = data.first_chunk().map(|sent| Duration::from_nanos(u64::from_be_bytes(*sent)));
            sent.map(|sent| begun.elapsed().saturating_sub(sent))
        };
        let mut _held = None;
        match &target {
            Target::Hub(_) => {
                let other = match self.subject {
                    Subject::Redis | Subject::RedisCluster => subject::hub(self, HISTORY).await?,
                    _ => target.hub().context("no hub")?.clone(),
                };
                let mut subscription = other.subscribe_raw(&channel.name);
                tokio::spawn(async move {
                    let _other = other;
                    while let Some(Ok(LocalUpdate::Publication(it))) = subscription.next().await {
                        if let Some(age) = age(&it.message.data)
                            && arrived.send(age).await.is_err()
                        {
                            return;
                        }
                    }
                });
            }
            Target::Appends(_) => {}
            Target::Bare(_) => {
                let url = self.redis.first().context("no --redis")?;
                let other = BareRedis::connect(url, HISTORY).await?;
                let subscription = other.subscribe(1, move |it| {
                    if let Some(age) = age(&it.payload.data) {
                        // There is room: the next one is published later.
                        let _ = arrived.try_send(age);
                    }
                });
                _held = Some(subscription.await?);
            }
        }
        sleep(SETTLED).await;
        let end = Instant::now() + self.time();
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let mut data = vec![b'x'; PAYLOAD];
            let sent = u64::try_from(begun.elapsed().as_nanos())?;
            data[..8].copy_from_slice(&sent.to_be_bytes());
            target.publish(&channel, Payload::bytes(data)).await?;
            let arrival = timeout(PATIENCE, arrivals.recv()).await.context("a delivery is lost")?;
            latencies.push(arrival.context("the subscriber has ended")?);
            sleep(PAUSE).await;
        }
        print_latencies("cross", &mut latencies)
    }

    /// The memory of channels with one message, and then with a subscriber.
    async fn idle(&self) -> Result<()> {
        let hub = subject::hub(self, HISTORY).await?;
        let channels: Vec<Channel> = (0..self.idle_channels).map(Channel::numbered).collect::<Result<_>>()?;
        let process = std::process::id();
        let mut before = (machine::memory(process)?, self.redis_memory().await?);
        let mut print = async |name: &str| {
            sleep(SETTLED).await;
            let now = (machine::memory(process)?, self.redis_memory().await?);
            let each = |before: u64, now: u64| (now as f64 - before as f64) / self.idle_channels as f64;
            println!("{name} memory: {}", each(before.0, now.0));
            if !self.redis.is_empty() {
                println!("{name} redis memory: {}", each(before.1, now.1));
            }
            before = now;
            anyhow::Ok(())
        };
        for some in channels.chunks(IN_FLIGHT) {
            let answers = some.iter().map(|channel| hub.publish_raw(&channel.name, payload()));
            try_join_all(answers.collect::<Result<Vec<_>, _>>()?).await?;
        }
        print("stored").await?;
        let subscriptions: Vec<_> = channels.iter().map(|channel| hub.subscribe_raw(&channel.name)).collect();
        print("subscribed").await?;
        drop(subscriptions);
        Ok(())
    }

    /// Fills a store, and opens it again.
    async fn start(&self) -> Result<()> {
        let mut history = History::new(usize::MAX, Duration::from_secs(3600));
        history.bytes = usize::MAX;
        let hub = subject::hub(self, history).await?;
        let channels: Vec<Channel> = (0..FULL_CHANNELS).map(Channel::numbered).collect::<Result<_>>()?;
        for batch in 0..self.messages / BATCH {
            let channel = &channels[batch % FULL_CHANNELS];
            let answers = (0..BATCH).map(|_| hub.publish_raw(&channel.name, payload()));
            try_join_all(answers.collect::<Result<Vec<_>, _>>()?).await?;
        }
        hub.shutdown(PATIENCE).await;
        drop(hub);
        let begun = Instant::now();
        let hub = subject::hub(self, history).await?;
        hub.publish_raw(&channels[0].name, payload())?.await?;
        println!("start: {}", begun.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }

    async fn serve(&self) -> Result<()> {
        let hub = subject::hub(self, HISTORY).await?;
        let listener = Listener::bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into())).await?;
        let ListenAddress::Tcp(address) = listener.address()? else {
            anyhow::bail!("this is no address of TCP")
        };
        servers::announce(address)?;
        let app = wirehub_server::router(&hub);
        // Until the process is ended.
        tokio::spawn(wirehub_server::run(listener, hub, app, std::future::pending())).await?;
        Ok(())
    }

    /// The processor time of the servers of Redis.
    fn redis_cpu(&self) -> Result<Duration> {
        self.redis_process.iter().map(|process| machine::cpu_time(*process)).sum()
    }

    /// The bytes that the servers of Redis have allocated.
    async fn redis_memory(&self) -> Result<u64> {
        let mut sum = 0;
        for url in &self.redis {
            let client = redis::Client::open(url.as_str())?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
            let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
            sum += used.context("INFO has no used_memory")?.trim().parse::<u64>()?;
        }
        Ok(sum)
    }
}

/// The figures of publishes at full speed.
pub(super) struct Load {
    /// Every publish, with those before the measurement.
    all: u64,
    pub(super) per_second: f64,
    /// Microseconds of processor time for a publish.
    own: f64,
    redis: f64,
    has_redis: bool,
}

impl Load {
    fn print(&self, name: &str) {
        println!("{name} rate: {}", self.per_second);
        println!("{name} cpu: {}", self.own);
        if self.has_redis {
            println!("{name} redis cpu: {}", self.redis);
        }
    }
}

fn print_latencies(name: &str, latencies: &mut [Duration]) -> Result<()> {
    latencies.sort_unstable();
    ensure!(!latencies.is_empty(), "nothing was measured: use more --seconds");
    for (share, words) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")] {
        let place = ((latencies.len() as f64 * share) as usize).min(latencies.len() - 1);
        println!("{name} {words}: {}", latencies[place].as_secs_f64() * 1e3);
    }
    Ok(())
}

/// The processor time of this process, exact to the nanosecond.
pub(super) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn payload() -> Payload {
    Payload::bytes(Bytes::from_static(&[b'x'; PAYLOAD]))
}

const PAYLOAD: usize = 200;
pub(super) const HISTORY: History = History::new(1000, Duration::from_secs(3600));

/// The publishes in flight and the channels of the loads that have only one size.
pub(super) const IN_FLIGHT: usize = 256;
pub(super) const CHANNELS: usize = 64;

/// The fill of a store whose start is measured.
const FULL_CHANNELS: usize = 100;
const BATCH: usize = 1000;

/// The time before the first reading.
const WARM_UP: Duration = Duration::from_millis(500);

/// The time in which subscriptions reach the store, and memory is given back.
const SETTLED: Duration = Duration::from_secs(2);

/// The highest rate at which answers are timed: above, the load itself would be measured.
const HIGHEST_RATE: f64 = 20_000.0;

/// The step of a rate.
const TICK: Duration = Duration::from_millis(1);

/// The pause between two publishes whose delivery is measured.
const PAUSE: Duration = Duration::from_millis(2);

/// Nothing takes this long unless a message is lost.
const PATIENCE: Duration = Duration::from_secs(20);
