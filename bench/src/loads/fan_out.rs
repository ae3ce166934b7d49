//! Many subscribers of one channel.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::subscribers::Tally;
use super::{MEASURED, WARM_UP, per_million, runtime};
use crate::server::Server;
use crate::wire::{self, Role};

const PAYLOAD: [u8; 128] = [b'x'; 128];

/// The time of the next message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as fewer than this many are in flight to any subscriber.
    InFlight(u64),
    /// One at each interval.
    Every(Duration),
}

/// The server's processor time for a million deliveries, in seconds.
pub(super) fn run(server: &Server, subscribers: u64, publishers: usize, pace: Pace) -> Result<f64> {
    LocalSet::new().block_on(&runtime()?, measure(server, subscribers, publishers, pace))
}

async fn measure(server: &Server, subscribers: u64, publishers: usize, pace: Pace) -> Result<f64> {
    let tally = Tally::new(subscribers);
    for _ in 0..subscribers {
        tally.read(wire::open(server.dialect, server.address, Role::Subscriber).await?, server.dialect);
    }
    let mut streams = Vec::new();
    for _ in 0..publishers {
        streams.push(wire::open(server.dialect, server.address, Role::Publisher).await?);
    }
    let message = wire::publish(server.dialect, &PAYLOAD)?;
    let mut publishers = Publishers { streams, next: 0, message, pace, published: 0, tally };

    publishers.go_on_for(WARM_UP).await?;
    publishers.settle().await?;
    let (cpu, delivered) = (server.cpu_time()?, publishers.tally.delivered());
    publishers.go_on_for(MEASURED).await?;
    publishers.settle().await?;
    per_million(server.cpu_time()? - cpu, publishers.tally.delivered() - delivered)
}

struct Publishers {
    streams: Vec<TcpStream>,
    /// The publisher of the next message. Messages arrive in the order in which they were sent. So with as many
    /// publishers as messages in flight, each has one of them.
    next: usize,
    message: Vec<u8>,
    pace: Pace,
    published: u64,
    tally: Rc<Tally>,
}

impl Publishers {
    async fn go_on_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        match self.pace {
            Pace::InFlight(window) => {
                while Instant::now() < end {
                    let room = window - (self.published - self.tally.whole());
                    if room == 0 {
                        self.tally.progress(self.published).await?;
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
        if let [stream] = &mut self.streams[..] {
            let bytes = self.message.repeat(usize::try_from(messages)?);
            stream.write_all(&bytes).await.context("the server closed")?;
        } else {
            for _ in 0..messages {
                let stream = &mut self.streams[self.next];
                stream.write_all(&self.message).await.context("the server closed")?;
                self.next = (self.next + 1) % self.streams.len();
            }
        }
        self.published += messages;
        Ok(())
    }

    async fn settle(&self) -> Result<()> {
        self.tally.settle(self.published).await
    }
}
