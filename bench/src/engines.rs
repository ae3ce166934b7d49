//! The cost of engines: publishes to a channel with history, in this process, without sockets.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use tokio::runtime::Builder as Runtime;
use tokio::sync::oneshot;
use wirehub_common::{ChannelName, Payload};
use wirehub_disk::{DiskEngine, DiskOptions, Durability};
use wirehub_hub::Hub;
use wirehub_hub::engine::MemoryEngine;
use wirehub_hub::namespace::{History, Namespace};

use crate::machine;

/// The options of the measurement.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder for data: choose the disk to be measured.
    #[arg(long, default_value = ".")]
    folder: std::path::PathBuf,
    /// The seconds of each measurement at full speed.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The seconds of each measurement at half of that speed.
    #[arg(long, default_value_t = 10)]
    paced_seconds: u64,
    /// The messages in the store whose start is measured.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// One thread that appends what waits to a file, syncs, and answers.
    Floor,
    Memory,
    Always,
    Interval,
}

impl Subject {
    const ALL: [Self; 4] = [Self::Floor, Self::Memory, Self::Always, Self::Interval];

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor: append, sync, answer",
            Self::Memory => "memory",
            Self::Always => "disk, always",
            Self::Interval => "disk, 100ms",
        }
    }
}

/// The receiver of publishes.
#[derive(Clone)]
enum Target {
    Floor(SyncSender<oneshot::Sender<()>>),
    Hub(Hub),
}

impl Target {
    fn open(subject: Subject, folder: &Path) -> Result<Self> {
        let durability = match subject {
            Subject::Floor => return Ok(Self::Floor(floor(folder)?)),
            Subject::Memory => return Ok(Self::Hub(hub(MemoryEngine::new()))),
            Subject::Always => Durability::Always,
            Subject::Interval => Durability::Interval(Duration::from_millis(100)),
        };
        let engine = DiskEngine::open(folder.join("data"), DiskOptions::default().durability(durability))?;
        Ok(Self::Hub(hub(engine)))
    }

    async fn publish(&self, channel: &ChannelName) -> Result<()> {
        match self {
            Self::Floor(appends) => {
                let (answer, answered) = oneshot::channel();
                appends.send(answer).ok().context("the floor has ended")?;
                answered.await.context("the floor has ended")
            }
            Self::Hub(hub) => {
                hub.publish_raw(channel, Payload::bytes(vec![b'x'; PAYLOAD]))?.await?;
                Ok(())
            }
        }
    }
}

fn hub(engine: impl wirehub_hub::engine::Engine) -> Hub {
    let history = History::new(1000, Duration::from_secs(3600));
    Hub::builder().engine(engine).default_namespace(Namespace::open().history(history)).build()
}

/// The least that a durable publish needs.
fn floor(folder: &Path) -> Result<SyncSender<oneshot::Sender<()>>> {
    let mut file = File::create(folder.join("floor"))?;
    let (sender, appends): (_, Receiver<oneshot::Sender<()>>) = sync_channel(PUBLISHERS);
    thread::spawn(move || {
        while let Ok(first) = appends.recv() {
            let waiting: Vec<_> = std::iter::once(first).chain(appends.try_iter()).collect();
            let written =
                file.write_all(&vec![b'x'; PAYLOAD * waiting.len()]).and_then(|()| file.sync_data());
            if written.is_err() {
                return;
            }
            for answer in waiting {
                // The measurement may be over.
                let _ = answer.send(());
            }
        }
    });
    Ok(sender)
}

/// The figures of one measurement.
struct Figures {
    per_second: f64,
    /// Processor time of this process, in microseconds for a publish.
    processor: f64,
    latencies: Vec<Duration>,
}

pub(crate) fn measure(options: &Options) -> Result<()> {
    let folder =
        tempfile::tempdir_in(&options.folder).context("cannot use the folder: name another --folder")?;
    println!(
        "{PUBLISHERS} publishers, {CHANNELS} channels, {PAYLOAD} bytes, {SUBSCRIBERS} local subscribers in one of them\n"
    );
    println!(
        "| engine | publishes a second | CPU us | p50 ms | p99 ms | p99.9 ms | at half speed: p50 | p99 | p99.9 | worst |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for subject in Subject::ALL {
        let place = folder.path().join(format!("{subject:?}"));
        fs::create_dir(&place)?;
        let runtime = Runtime::new_multi_thread().enable_all().build()?;
        let _entered = runtime.enter();
        let target = Target::open(subject, &place)?;
        let full = runtime.block_on(load(&target, Duration::from_secs(options.seconds), None))?;
        let half = full.per_second / 2.0;
        let paced =
            runtime.block_on(load(&target, Duration::from_secs(options.paced_seconds), Some(half)))?;
        println!(
            "| {} | {:.0} | {:.2} | {} | {} | {} | {} | {} | {} | {} |",
            subject.name(),
            full.per_second,
            full.processor,
            full.at(0.5),
            full.at(0.99),
            full.at(0.999),
            paced.at(0.5),
            paced.at(0.99),
            paced.at(0.999),
            paced.at(1.0)
        );
        drop(target);
    }
    start_up(&folder.path().join("start"), options.messages)
}

/// Publishes for some time: as fast as answers come, or at `rate` publishes a second.
async fn load(target: &Target, time: Duration, rate: Option<f64>) -> Result<Figures> {
    let mut subscriptions = Vec::new();
    if let Target::Hub(hub) = target {
        for _ in 0..SUBSCRIBERS {
            let mut subscription = hub.subscribe_raw(&name(0));
            subscriptions.push(tokio::spawn(async move {
                while futures_util::StreamExt::next(&mut subscription).await.is_some() {}
            }));
        }
    }
    let process = std::process::id();
    let (begun, used) = (Instant::now(), machine::cpu_time(process)?);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let target = target.clone();
            tokio::spawn(async move {
                let channel = name(publisher % CHANNELS);
                let mut latencies = Vec::new();
                let pause = rate.map(|rate| Duration::from_secs_f64(PUBLISHERS as f64 / rate));
                let mut due = Instant::now();
                while begun.elapsed() < time {
                    if let Some(pause) = pause {
                        due += pause;
                        tokio::time::sleep_until(due.into()).await;
                    }
                    // With a rate the latency counts from the time at which it should have been published.
                    let since = if pause.is_some() { due } else { Instant::now() };
                    target.publish(&channel).await?;
                    latencies.push(since.elapsed());
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for publisher in publishers {
        latencies.extend(publisher.await??);
    }
    let (elapsed, used) = (begun.elapsed(), machine::cpu_time(process)? - used);
    subscriptions.iter().for_each(tokio::task::JoinHandle::abort);
    latencies.sort_unstable();
    let count = latencies.len() as f64;
    let processor = used.as_secs_f64() * 1e6 / count;
    Ok(Figures { per_second: count / elapsed.as_secs_f64(), processor, latencies })
}

impl Figures {
    /// The latency that this share of the publishes does not exceed, in milliseconds.
    fn at(&self, share: f64) -> String {
        let last = self.latencies.len().saturating_sub(1);
        let place = ((self.latencies.len() as f64 * share) as usize).min(last);
        self.latencies
            .get(place)
            .map_or_else(String::new, |latency| format!("{:.2}", latency.as_secs_f64() * 1e3))
    }
}

/// The time until a store with many messages answers.
fn start_up(folder: &Path, messages: u64) -> Result<()> {
    let runtime = Arc::new(Runtime::new_multi_thread().enable_all().build()?);
    let _entered = runtime.enter();
    let options = || DiskOptions::default().durability(Durability::Interval(Duration::from_secs(1)));
    let make = |engine| {
        let mut unbounded = History::new(usize::MAX, Duration::from_secs(3600));
        unbounded.bytes = usize::MAX;
        Hub::builder().engine(engine).default_namespace(Namespace::open().history(unbounded)).build()
    };
    let hub = make(DiskEngine::open(folder, options())?);
    runtime.block_on(async {
        for batch in 0..messages / BATCH {
            let channel = name(usize::try_from(batch).unwrap_or(0) % FULL_CHANNELS);
            let answers: Vec<_> = (0..BATCH)
                .map(|_| hub.publish_raw(&channel, Payload::bytes(vec![b'x'; PAYLOAD])))
                .collect::<Result<_, _>>()?;
            futures_util::future::try_join_all(answers).await?;
        }
        anyhow::Ok(())
    })?;
    drop(hub);
    let begun = Instant::now();
    let hub = make(DiskEngine::open(folder, options())?);
    let opened = begun.elapsed();
    runtime.block_on(async {
        hub.publish_raw(&name(0), Payload::bytes(vec![b'x'; PAYLOAD]))?.await.map_err(anyhow::Error::from)
    })?;
    println!(
        "\nstart with {messages} messages in {FULL_CHANNELS} channels: opened after {:.2} s, first answer after {:.2} s",
        opened.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn name(number: usize) -> ChannelName {
    ChannelName::new(&format!("kept:{number}")).unwrap_or_else(|_| unreachable!("the name is valid"))
}

const PUBLISHERS: usize = 64;
const CHANNELS: usize = 16;
const SUBSCRIBERS: usize = 100;
const PAYLOAD: usize = 128;
const BATCH: u64 = 1000;
const FULL_CHANNELS: usize = 100;
