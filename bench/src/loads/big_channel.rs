//! A small channel next to one with as many subscribers as connections are allowed.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::subscribers::{self, Tally};
use super::{Load, PATIENCE, latency, runtime};
use crate::machine;
use crate::report::{Aim, Line};
use crate::server::Server;
use crate::wire::{self, Role};

/// `wirehub serve` accepts 100,000 connections at once. Some of them are the small channel's.
const MOST: u64 = 99_900;

/// An address has ports for at most 28,000 connections to one server.
const PER_ADDRESS: u64 = 20_000;

const AT_ONCE: usize = 64;

const BIG: &str = "chat:big";
const SMALL: &str = "chat:small";
const PAYLOAD: [u8; 128] = [b'x'; 128];

/// The pause between two messages in the big channel. The next one also waits until every subscriber has the last.
const BIG_PAUSE: Duration = Duration::from_millis(250);

const SMALL_SUBSCRIBERS: usize = 10;
const SMALL_PAUSE: Duration = Duration::from_millis(10);

const ALONE: Duration = Duration::from_secs(5);
const BESIDE: Duration = Duration::from_secs(20);

fn subscribers() -> u64 {
    machine::most_connections().min(MOST)
}

/// The figures of [`run`].
pub(super) fn lines(load: Load) -> Vec<Line> {
    let line = |when: &str, name: &str, aim| Line::new(format!("{load}: {when}, {name}, ms"), aim);
    let alone = latency::NAMES.map(|name| line("idle", name, None));
    let aims = [None, Some(Aim::Figure(5.0)), None];
    let beside = latency::NAMES.into_iter().zip(aims).map(|(name, aim)| line("busy", name, aim));
    let rest = ["subscribers", "messages a second"].map(|what| Line::new(format!("{load}: {what}"), None));
    alone.into_iter().chain(beside).chain(rest).collect()
}

/// The delay of messages in the small channel, while the big one is idle and while it is busy; then the size of the big
/// channel, and the messages per second that all its subscribers received.
pub(super) fn run(server: &Server) -> Result<Vec<f64>> {
    let subscribers = subscribers();
    let crowd = Crowd::gather(server, subscribers)?;
    let (alone, beside, published) = LocalSet::new().block_on(&runtime()?, async {
        let mut small = Small::open(server).await?;
        let alone = small.go_on_for(ALONE).await?;
        crowd.start.send(()).ok().context("the crowd is gone")?;
        let beside = small.go_on_for(BESIDE).await?;
        anyhow::Ok((alone, beside, crowd.disperse()?))
    })?;
    let summaries = [latency::summary(alone)?, latency::summary(beside)?];
    let rest = [subscribers as f64, published as f64 / BESIDE.as_secs_f64()];
    Ok(summaries.into_iter().flatten().chain(rest).collect())
}

/// The subscribers of the big channel and its publisher, in a thread of lower priority, so that the cost of reading is
/// not counted as a cost of delivery.
struct Crowd {
    start: mpsc::SyncSender<()>,
    stopped: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<u64>>,
}

impl Crowd {
    fn gather(server: &Server, subscribers: u64) -> Result<Self> {
        let (start, started) = mpsc::sync_channel(1);
        let (ready, is_ready) = mpsc::sync_channel(1);
        let stopped = Arc::new(AtomicBool::new(false));
        let (dialect, address, stop) = (server.dialect, server.address, Arc::clone(&stopped));
        let thread = thread::spawn(move || {
            machine::stand_back()?;
            LocalSet::new().block_on(&runtime()?, async {
                let tally = Tally::new(subscribers);
                let opened = futures_util::stream::iter(0..subscribers).map(|number| async move {
                    let mut stream = connect_from(number, address).await?;
                    wire::begin(&mut stream, dialect, Role::Subscriber, BIG).await?;
                    anyhow::Ok(stream)
                });
                for stream in opened.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await? {
                    tally.read(stream, dialect);
                }
                let publisher = wire::open(dialect, address, Role::Publisher).await?;
                ready.send(()).ok().context("the measurement has ended")?;
                // There is nothing to read before.
                started.recv().context("the crowd was not needed")?;
                let message = wire::publish_in(dialect, BIG, 0, &PAYLOAD)?;
                publish_until(&stop, publisher, &message, &tally).await
            })
        });
        match is_ready.recv() {
            Ok(()) => Ok(Self { start, stopped, thread }),
            Err(_) => Err(thread.join().ok().and_then(Result::err).context("the crowd's thread panicked")?),
        }
    }

    /// How many messages they received.
    fn disperse(self) -> Result<u64> {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the crowd's thread panicked")?
    }
}

async fn connect_from(number: u64, server: SocketAddr) -> Result<TcpStream> {
    let host = u8::try_from(2 + number / PER_ADDRESS)?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)))?;
    let stream = socket.connect(server).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn publish_until(
    stopped: &AtomicBool,
    mut publisher: TcpStream,
    message: &[u8],
    tally: &Tally,
) -> Result<u64> {
    let mut published = 0;
    while !stopped.load(Ordering::Relaxed) {
        let next = Instant::now() + BIG_PAUSE;
        publisher.write_all(message).await.context("the server closed")?;
        published += 1;
        tally.settle(published).await?;
        sleep_until(next).await;
    }
    Ok(published)
}

/// The small channel.
struct Small {
    publisher: TcpStream,
    message: Vec<u8>,
    deliveries: Rc<RefCell<Deliveries>>,
}

#[derive(Default)]
struct Deliveries {
    /// The time at which each message was sent.
    published: Vec<Instant>,
    took: Vec<Duration>,
}

impl Small {
    async fn open(server: &Server) -> Result<Self> {
        let deliveries = Rc::new(RefCell::new(Deliveries::default()));
        for _ in 0..SMALL_SUBSCRIBERS {
            let mut stream = wire::connect(server.address).await?;
            wire::begin(&mut stream, server.dialect, Role::Subscriber, SMALL).await?;
            let (dialect, deliveries) = (server.dialect, Rc::clone(&deliveries));
            tokio::task::spawn_local(async move {
                let mut received = 0;
                subscribers::read(&stream, dialect, |messages| {
                    let now = Instant::now();
                    let Deliveries { published, took } = &mut *deliveries.borrow_mut();
                    for _ in 0..messages {
                        took.push(now - published[received]);
                        received += 1;
                    }
                })
                .await
            });
        }
        let publisher = wire::open(server.dialect, server.address, Role::Publisher).await?;
        let message = wire::publish_in(server.dialect, SMALL, 0, &PAYLOAD)?;
        Ok(Self { publisher, message, deliveries })
    }

    /// The delay of each delivery.
    async fn go_on_for(&mut self, time: Duration) -> Result<Vec<Duration>> {
        let before = self.deliveries.borrow().published.len();
        let end = Instant::now() + time;
        let mut ticks = interval(SMALL_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while ticks.tick().await < end {
            self.deliveries.borrow_mut().published.push(Instant::now());
            self.publisher.write_all(&self.message).await.context("the server closed")?;
        }
        let expected = (self.deliveries.borrow().published.len() - before) * SMALL_SUBSCRIBERS;
        let all = async {
            while self.deliveries.borrow().took.len() < expected {
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, all).await.context("a message in the small channel is lost")?;
        let mut deliveries = self.deliveries.borrow_mut();
        ensure!(deliveries.took.len() == expected, "{} deliveries of {expected}", deliveries.took.len());
        Ok(std::mem::take(&mut deliveries.took))
    }
}
