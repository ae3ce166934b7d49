//! Publishes to a data directory as fast as possible, and reports the speed and the time of a start.
//!
//! `cargo run --release -p wirehub-disk --example load -- DIRECTORY [MESSAGES] [IN FLIGHT] [CHANNELS] [INTERVAL IN MS]`
//!
//! Without an interval each publish is answered after it is on the disk.

#![allow(clippy::print_stdout, clippy::arithmetic_side_effects, reason = "a program for the command line")]

use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use wirehub_common::{ChannelName, Payload};
use wirehub_disk::{DiskEngine, DiskOptions, Durability};
use wirehub_hub::engine::{EnginePublish, Publications as _};
use wirehub_hub::namespace::History;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let directory = words.next().ok_or("the first argument is the data directory")?;
    let mut number = |default: u64| words.next().map_or(Ok(default), |word| word.parse::<u64>());
    let (messages, in_flight, channels) = (number(100_000)?, number(256)?, number(1000)?.max(1));
    let interval = number(0)?;
    let mut options = DiskOptions::default();
    if interval > 0 {
        options = options.durability(Durability::Interval(Duration::from_millis(interval)));
    }

    let begun = Instant::now();
    let engine = DiskEngine::open(&directory, options)?;
    println!("opened in {:?}", begun.elapsed());

    let history = History::new(1_000_000, Duration::from_secs(24 * 3600)).with_bytes(usize::MAX);
    let (begun, mut waiting, mut times) = (Instant::now(), FuturesUnordered::new(), Vec::new());
    for message in 0..messages {
        let channel = ChannelName::new(&format!("load:{}", message % channels))?;
        let mut publish = EnginePublish::new(channel, Payload::bytes(vec![b'x'; 128]));
        publish.history = Some(history);
        let (answer, sent) = (engine.publish(publish), Instant::now());
        waiting.push(async move { answer.await.map(|_| sent.elapsed()) });
        if waiting.len() as u64 >= in_flight {
            times.extend(waiting.next().await.transpose()?);
        }
    }
    while let Some(time) = waiting.next().await {
        times.push(time?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!("{messages} publishes in {seconds:.1} s: {:.0} a second", messages as f64 / seconds);
    println!("answers: median {:?}, p99 {:?}, p99.9 {:?}", at(0.5), at(0.99), at(0.999));
    Ok(())
}
