//! One publisher, a thousand subscribers.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{MEASURED, WARM_UP, per_million, runtime};
use crate::server::Server;
use crate::wire::{self, Counter, Dialect, Role};

const SUBSCRIBERS: u64 = 1_000;

const PAYLOAD: [u8; 128] = [b'x'; 128];

/// Nothing takes so long unless something is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// When the next message goes out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// As soon as fewer than so many are on their way to any subscriber.
    InFlight(u64),
    /// One, after this long.
    Every(Duration),
}

pub(super) fn run(server: &Server, pace: Pace) -> Result<f64> {
    LocalSet::new().block_on(&runtime()?, measure(server, pace))
}

async fn measure(server: &Server, pace: Pace) -> Result<f64> {
    let dialect = server.kind.dialect();
    let tally = Rc::new(Tally::default());
    for _ in 0..SUBSCRIBERS {
        let stream = wire::open(dialect, server.address, Role::Subscriber).await?;
        let tally = Rc::clone(&tally);
        tokio::task::spawn_local(async move {
            // An end shows as messages that are missing; a clean one comes after the measurement.
            if let Err(error) = subscribe(stream, dialect, &tally).await {
                *tally.failure.borrow_mut() = Some(error);
                tally.progress.notify_one();
            }
        });
    }
    let stream = wire::open(dialect, server.address, Role::Publisher).await?;
    let message = wire::publish(dialect, &PAYLOAD)?;
    let mut publisher = Publisher { stream, message, pace, published: 0, tally };

    publisher.go_on_for(WARM_UP).await?;
    publisher.settle().await?;
    let (cpu, delivered) = (server.cpu_time()?, publisher.tally.delivered.get());
    publisher.go_on_for(MEASURED).await?;
    publisher.settle().await?;
    per_million(server.cpu_time()? - cpu, publisher.tally.delivered.get() - delivered)
}

/// What all subscribers have received.
#[derive(Default)]
struct Tally {
    delivered: Cell<u64>,
    /// Whenever another message has reached, on average, all.
    progress: Notify,
    failure: RefCell<Option<io::Error>>,
}

impl Tally {
    fn whole(&self) -> u64 {
        self.delivered.get() / SUBSCRIBERS
    }

    fn add(&self, messages: u64) {
        let before = self.whole();
        self.delivered.set(self.delivered.get() + messages);
        if self.whole() > before {
            self.progress.notify_one();
        }
    }
}

async fn subscribe(stream: TcpStream, dialect: Dialect, tally: &Tally) -> io::Result<()> {
    thread_local! {
        // For all of them: only one reads at a time.
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
    }
    let mut counter = Counter::new(dialect);
    loop {
        stream.readable().await?;
        let messages = BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => Ok(counter.count(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        })?;
        tally.add(messages);
    }
}

struct Publisher {
    stream: TcpStream,
    message: Vec<u8>,
    pace: Pace,
    published: u64,
    tally: Rc<Tally>,
}

impl Publisher {
    async fn go_on_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        match self.pace {
            Pace::InFlight(window) => {
                while Instant::now() < end {
                    let room = window - (self.published - self.tally.whole());
                    if room == 0 {
                        self.progress().await?;
                    } else {
                        self.publish(room).await?;
                    }
                }
            }
            Pace::Every(pause) => {
                let mut ticks = interval(pause);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                while ticks.tick().await < end {
                    self.publish(1).await?;
                }
            }
        }
        Ok(())
    }

    async fn publish(&mut self, messages: u64) -> Result<()> {
        let bytes = self.message.repeat(usize::try_from(messages)?);
        self.stream.write_all(&bytes).await.context("the server closed")?;
        self.published += messages;
        Ok(())
    }

    /// Waits until everything has come through, and nothing twice.
    async fn settle(&self) -> Result<()> {
        while self.tally.whole() < self.published {
            self.progress().await?;
        }
        let (delivered, expected) = (self.tally.delivered.get(), self.published * SUBSCRIBERS);
        ensure!(delivered == expected, "{delivered} deliveries of {expected}");
        Ok(())
    }

    async fn progress(&self) -> Result<()> {
        timeout(PATIENCE, self.tally.progress.notified()).await.with_context(|| {
            format!("{} deliveries of {}", self.tally.delivered.get(), self.published * SUBSCRIBERS)
        })?;
        if let Some(error) = self.tally.failure.borrow_mut().take() {
            return Err(error).context("a subscriber lost its connection");
        }
        Ok(())
    }
}
