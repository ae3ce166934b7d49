//! Readings of this machine and of the server, as they are: nothing is measured while nobody is here.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

use sysinfo::{
    Cpu, CpuRefreshKind, MemoryRefreshKind, NetworkData, Networks, Pid, ProcessRefreshKind,
    ProcessesToUpdate, RefreshKind, System,
};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use wirehub_common::contract::{Binary, Channel};
use wirehub_demo_contract::{Frame, Latest, MeterSource, Meters, Metrics, Series, Trail};
use wirehub_server::namespace::{Access, History, Namespace, Overflow};
use wirehub_server::{Builder, Hub};

use crate::rule::{self, Ruling};
use crate::{is_running, now};

const MACHINE: &str = "machine";
const SERVER: &str = "server";

/// The readings per second. More often the system has no new figures about its processors.
const MACHINE_RATE: u32 = 5;
const SERVER_RATE: u32 = 60;

/// The time over which a rate is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// The time for which every reading is published after the last subscriber has gone: it may come back and recover.
const AWAY: Duration = Duration::from_secs(60);

/// The most processors with a series of their own.
const MOST_PROCESSORS: usize = 64;

/// Adds the channels of the charts to a hub.
pub(crate) fn add(hub: Builder) -> Builder {
    let of_server = || Namespace::open().publish(Access::TokenOnly);
    hub.namespace("metrics", of_server().history(History::new(900, Duration::from_secs(60))))
        .namespace("latest", of_server().overflow(Overflow::Latest))
        .namespace("trail", of_server().history(History::new(600, Duration::from_secs(600))))
}

/// The sources and their series.
pub(crate) fn describe() -> Meters {
    Meters { sources: vec![SERVER_SOURCE.clone(), MACHINE_SOURCE.clone()] }
}

static SERVER_SOURCE: LazyLock<MeterSource> = LazyLock::new(|| MeterSource {
    name: SERVER.into(),
    title: "This server".into(),
    rate: SERVER_RATE.into(),
    series: vec![
        series("published", "Messages in", "/s", "messages"),
        series("delivered", "Messages out", "/s", "messages"),
        series("received", "Bytes in", "bytes/s", "traffic"),
        series("sent", "Bytes out", "bytes/s", "traffic"),
        series("sessions", "Sessions", "", "sessions"),
        series("delay", "Delay of the clock", "ms", "delay"),
    ],
});

static MACHINE_SOURCE: LazyLock<MeterSource> = LazyLock::new(|| Machine::new().source());

fn series(name: &str, title: &str, unit: &str, group: &str) -> Series {
    let most = (unit == "%").then_some(100.0);
    Series { name: name.into(), title: title.into(), unit: unit.into(), group: group.into(), most }
}

/// Publishes the readings until the hub stops.
pub(crate) async fn measure(hub: Hub, ruling: Ruling) {
    ruling.restore(&hub).await;
    tokio::join!(measure_server(&hub, &ruling), measure_machine(&hub, &ruling));
}

async fn measure_server(hub: &Hub, ruling: &Ruling) {
    let mut output = Output::new(&SERVER_SOURCE);
    let mut pace = Pace::new(SERVER_RATE);
    let [mut published, mut delivered, mut received, mut sent] = [(); 4].map(|()| Rate::default());
    while is_running(hub) {
        let delay = pace.next(hub).await;
        let (counts, at) = (hub.counts(), Instant::now());
        let values = [
            published.per_second(counts.publications, at),
            delivered.per_second(counts.deliveries, at),
            received.per_second(counts.received_bytes, at),
            sent.per_second(counts.sent_bytes, at),
            narrow(hub.local_sessions()),
            delay.as_secs_f32() * 1000.0,
        ];
        output.put(hub, ruling, &values).await;
    }
}

async fn measure_machine(hub: &Hub, ruling: &Ruling) {
    let mut output = Output::new(&MACHINE_SOURCE);
    let mut pace = Pace::new(MACHINE_RATE);
    let mut machine = Some(Machine::new());
    while is_running(hub) {
        pace.next(hub).await;
        // The system's files are read in a thread of its own, because that may take a while.
        let taken = machine.take();
        let reading = spawn_blocking(move || {
            let mut machine = taken.unwrap_or_else(Machine::new);
            let values = machine.read();
            (machine, values)
        });
        let Ok((back, values)) = reading.await else { return };
        machine = Some(back);
        output.put(hub, ruling, &values).await;
    }
}

/// A number as a reading.
#[allow(clippy::cast_precision_loss, reason = "it is drawn")]
fn narrow(value: usize) -> f32 {
    value as f32
}

/// The clock of a source. It stands while nobody is connected.
struct Pace {
    every: Duration,
    due: Instant,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { every: Duration::from_secs(1).checked_div(rate).unwrap_or(WINDOW), due: Instant::now() }
    }

    /// Waits for the next reading. Returns its delay.
    async fn next(&mut self, hub: &Hub) -> Duration {
        while hub.local_sessions() == 0 && is_running(hub) {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let now = Instant::now();
        let next = self.due.checked_add(self.every).unwrap_or(now);
        // Missed readings are left out.
        self.due = if next < now { now } else { next };
        tokio::time::sleep_until(self.due).await;
        self.due.elapsed()
    }
}

/// A count that grows, as a rate over the last second.
#[derive(Debug, Default)]
struct Rate {
    counts: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn per_second(&mut self, count: u64, now: Instant) -> f32 {
        self.counts.push_back((now, count));
        // One before the window stays, so that the window is covered.
        while self.counts.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.counts.pop_front();
        }
        let Some((first, before)) = self.counts.front() else { return 0.0 };
        let time = now.saturating_duration_since(*first).as_secs_f64();
        if time <= 0.0 {
            return 0.0;
        }
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "it is drawn")]
        let rate = (count.saturating_sub(*before) as f64 / time) as f32;
        rate
    }
}

/// The three channels of a source.
struct Output {
    source: &'static MeterSource,
    metrics: Metrics,
    latest: Latest,
    trail: Trail,
    number: u32,
    /// The rows of this second.
    rows: Vec<(f64, Vec<f32>)>,
    had_readers: Option<Instant>,
}

impl Output {
    fn new(source: &'static MeterSource) -> Self {
        #[allow(clippy::expect_used, reason = "the name is a constant, and a test makes the channels")]
        fn channel<C>(made: Result<C, wirehub_common::ChannelNameError>) -> C {
            made.expect("a valid name")
        }
        Self {
            source,
            metrics: channel(Metrics::new(&source.name)),
            latest: channel(Latest::new(&source.name)),
            trail: channel(Trail::new(&source.name)),
            number: 0,
            rows: Vec::new(),
            had_readers: None,
        }
    }

    async fn put(&mut self, hub: &Hub, ruling: &Ruling, values: &[f32]) {
        let (at, time) = (Instant::now(), now());
        self.number = self.number.saturating_add(1);
        let has_readers = |channel: &wirehub_common::ChannelName| hub.local_subscribers(channel) > 0;
        if has_readers(self.metrics.name()) {
            self.had_readers = Some(at);
        }
        if let Ok(frame) = frame(self.number, &[(time, values.to_vec())]) {
            if self.had_readers.is_some_and(|last| at.saturating_duration_since(last) < AWAY) {
                publish(hub, &self.metrics, &frame);
            }
            if has_readers(self.latest.name()) {
                publish(hub, &self.latest, &frame);
            }
        }
        let is_over = self.rows.first().is_some_and(|(first, _)| time - first >= 1000.0 || time < *first);
        if is_over {
            let rows = std::mem::take(&mut self.rows);
            let length = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            if let Ok(frame) = frame(self.number.saturating_sub(length), &rows) {
                publish(hub, &self.trail, &frame);
            }
        }
        self.rows.push((time, values.to_vec()));
        if let Some(message) = ruling.judge(self.source, values, at) {
            rule::raise(hub, &message).await;
        }
    }
}

fn publish<C: Channel<Message = Binary>>(hub: &Hub, channel: &C, frame: &Binary) {
    if let Err(error) = hub.publish(channel, frame).map(drop) {
        tracing::debug!("readings are not published: {error}");
    }
}

/// Rows as columns.
fn frame(first: u32, rows: &[(f64, Vec<f32>)]) -> Result<Binary, wirehub_demo_contract::FrameError> {
    let (time, width) = rows.first().map_or((0.0, 0), |(time, values)| (*time, values.len()));
    #[allow(clippy::cast_possible_truncation, reason = "it is less than a few seconds")]
    let times = rows.iter().map(|(at, _)| (at - time) as f32).collect();
    let column =
        |place| rows.iter().map(|(_, values)| values.get(place).copied().unwrap_or(f32::NAN)).collect();
    Frame { first, time, times, columns: (0..width).map(column).collect() }.encode()
}

/// This machine, and this process in it. A system that can't be read has no values.
struct Machine {
    system: Option<System>,
    networks: Option<Networks>,
    process: Option<Pid>,
    read: Option<Instant>,
}

impl Machine {
    fn new() -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        Self {
            system: System::new_with_specifics(what).ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            process: sysinfo::get_current_pid().ok(),
            read: None,
        }
    }

    fn processors(&self) -> &[Cpu] {
        let all = self.system.as_ref().map_or(&[][..], System::cpus);
        all.get(..MOST_PROCESSORS).unwrap_or(all)
    }

    fn source(&self) -> MeterSource {
        #[allow(clippy::cast_precision_loss, reason = "it is drawn")]
        let memory = self.system.as_ref().map(|system| system.total_memory() as f64);
        let mut all = vec![
            series("cpu", "CPU", "%", "cpu"),
            series("server-cpu", "CPU of this server", "%", "cpu"),
            Series { most: memory, ..series("memory", "Memory in use", "bytes", "memory") },
            series("server-memory", "Memory of this server", "bytes", "memory"),
            series("received", "Network in", "bytes/s", "network"),
            series("sent", "Network out", "bytes/s", "network"),
        ];
        all.extend((0..self.processors().len()).map(|it| {
            let title = format!("Core {}", it.saturating_add(1));
            series(&format!("cpu-{it}"), &title, "%", "cpu")
        }));
        MeterSource {
            name: MACHINE.into(),
            title: "This machine".into(),
            rate: MACHINE_RATE.into(),
            series: all,
        }
    }

    /// The present readings, in the order of the series. The system reports usage and traffic since the reading before.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "it is drawn")]
    fn read(&mut self) -> Vec<f32> {
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
            let own = self.process.map(|process| [process]);
            if let Some(own) = &own {
                system.refresh_processes_specifics(ProcessesToUpdate::Some(own), false, what);
            }
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
        }
        let now = Instant::now();
        let time = self.read.map(|before| now.saturating_duration_since(before).as_secs_f64());
        self.read = Some(now);
        let traffic = |bytes: fn(&NetworkData) -> u64| {
            let Some(networks) = &self.networks else { return f32::NAN };
            let sum = networks.values().map(bytes).fold(0, u64::saturating_add);
            match time {
                Some(time) if time > 0.0 => (sum as f64 / time) as f32,
                _ => 0.0,
            }
        };
        let system = self.system.as_ref();
        let process = self.process.and_then(|process| system?.process(process));
        // The system counts one processor as 100 %.
        let share = narrow(system.map_or(1, |system| system.cpus().len().max(1)));
        let mut values = vec![
            system.map_or(f32::NAN, System::global_cpu_usage),
            process.map_or(f32::NAN, |it| it.cpu_usage() / share),
            system.map_or(f32::NAN, |system| system.used_memory() as f32),
            process.map_or(f32::NAN, |it| it.memory() as f32),
            traffic(NetworkData::received),
            traffic(NetworkData::transmitted),
        ];
        values.extend(self.processors().iter().map(Cpu::usage));
        values
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    #[test]
    fn this_machine_is_read_as_it_is_described() {
        let mut machine = Machine::new();
        machine.read();
        std::thread::sleep(Duration::from_millis(250));
        let values = machine.read();
        let described = machine.source().series;
        assert_eq!(values.len(), described.len());
        for (series, value) in described.iter().zip(&values) {
            let most = series.most.unwrap_or(f64::MAX) * 1.05;
            assert!((0.0..=most).contains(&f64::from(*value)), "{}: {value}", series.name);
        }
        let memory = described.iter().position(|it| it.name == "memory").unwrap();
        assert!(values[memory] > 1e6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_that_of_the_last_second() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(rate.per_second(100, at(0)), 0.0, "nothing is known about the time before");
        assert_eq!(rate.per_second(110, at(500)), 20.0);
        assert_eq!(rate.per_second(120, at(1000)), 20.0);
        assert_eq!(rate.per_second(120, at(1500)), 10.0);
        assert_eq!(rate.per_second(120, at(2000)), 0.0);
        assert_eq!(rate.counts.len(), 3, "its memory is bounded");
    }

    #[test]
    fn rows_become_columns() {
        let payload = frame(7, &[(1000.0, vec![1.0, 2.0]), (1016.0, vec![3.0])]).unwrap();
        let frame = Frame::decode(&payload).unwrap();
        assert_eq!((frame.first, frame.time, &*frame.times), (7, 1000.0, &[0.0, 16.0][..]));
        assert_eq!(frame.columns[0], [1.0, 3.0]);
        assert!(frame.columns[1][0] == 2.0 && frame.columns[1][1].is_nan());
    }

    #[test]
    fn every_source_has_its_channels() {
        let hub = crate::builder().build();
        for source in [&*SERVER_SOURCE, &*MACHINE_SOURCE] {
            let output = Output::new(source);
            assert!(hub.check_channel(output.trail.name()).is_ok());
        }
    }
}
