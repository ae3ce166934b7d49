//! The answers of an engine over a long time, at half of its limit, and the state of the machine meanwhile.

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity};

use super::parts::{CHANNELS, Child, HISTORY, IN_FLIGHT, own_cpu};
use super::subject::Target;

impl Child {
    /// Publishes at half of the limit, and prints a line of figures for each minute.
    pub(super) async fn sustained(&self) -> Result<()> {
        let target = Target::open(self, HISTORY).await?;
        let limit = self.load(&target, IN_FLIGHT, CHANNELS).await?.per_second;
        let rate = limit / 2.0;
        println!("{}: {rate:.0} publishes a second, half of {limit:.0}", self.subject);
        let observer = Observer::start(&self.folder)?;
        let core = Core::of_this_process()?;
        let time = Duration::from_secs_f64(self.sustained);
        let mut minutes: Vec<Minute> = Vec::new();
        let mut states = vec![core.now()?];
        self.paced(&target, rate, time, |due, latency, result| {
            let minute = (due.as_secs() / MINUTE.as_secs()) as usize;
            if minutes.len() <= minute {
                minutes.resize_with(minute + 1, Minute::default);
            }
            if states.len() <= minute {
                states.push(core.now()?);
            }
            match result {
                Ok(()) => {
                    minutes[minute].micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
                }
                // Too many wait, because the machine or the engine stands still.
                Err(_) => minutes[minute].refused += 1,
            }
            Ok(())
        })
        .await?;
        states.push(core.now()?);
        let delays = observer.stop()?;
        ensure!(states.len() > minutes.len(), "the state of the machine could not be read");
        println!("{HEAD}");
        let mut all = Minute::default();
        for (minute, answers) in minutes.iter_mut().enumerate() {
            let (from, to) = (&states[minute], &states[minute + 1]);
            let delays = delays.iter().filter(|it| (it.at.as_secs() / MINUTE.as_secs()) as usize == minute);
            print(&(minute + 1).to_string(), answers, from, to, delays);
            all.micros.append(&mut answers.micros);
            all.refused += answers.refused;
        }
        print("all", &mut all, &states[0], &states[states.len() - 1], delays.iter());
        Ok(())
    }
}

/// The answers to the publishes of a minute.
#[derive(Default)]
struct Minute {
    micros: Vec<u32>,
    refused: u64,
}

const HEAD: &str = "| minute | answers | refused | p50, ms | p99 | p99.9 | longest | own use of the core, % | of others | stolen \
                    | longest sleep of 10 ms | longest sync of another file, ms |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

fn print<'a>(
    name: &str,
    answers: &mut Minute,
    from: &State,
    to: &State,
    delays: impl Iterator<Item = &'a Delay>,
) {
    let Minute { micros: latencies, refused } = answers;
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(place).map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
    };
    let (sleep, sync) = delays.fold((Duration::ZERO, Duration::ZERO), |(sleep, sync), delay| {
        (sleep.max(delay.sleep), sync.max(delay.sync))
    });
    let whole = (to.at - from.at).as_secs_f64() / 100.0;
    let own = (to.own - from.own).as_secs_f64();
    println!(
        "| {name} | {} | {refused} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} |",
        latencies.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        own / whole,
        (to.busy - from.busy - own).max(0.0) / whole,
        (to.stolen - from.stolen) / whole,
        sleep.as_secs_f64() * 1e3,
        sync.as_secs_f64() * 1e3,
    );
}

/// The core of this process.
struct Core(usize);

/// The use of a core so far, in seconds.
struct State {
    at: Instant,
    own: Duration,
    busy: f64,
    stolen: f64,
}

impl Core {
    fn of_this_process() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot see the core of this process")?;
        Ok(Self((0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).context("no core may be used")?))
    }

    fn now(&self) -> Result<State> {
        let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cpu{} ", self.0)));
        let line = line.context("/proc/stat has no line of this core")?;
        let ticks: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        // user, nice, system, idle, waiting for the disk, interrupts, soft interrupts, stolen by the host
        let [user, nice, system, _, _, interrupts, soft, stolen, ..] = ticks[..] else {
            anyhow::bail!("/proc/stat has too few fields");
        };
        let second = rustix::param::clock_ticks_per_second() as f64;
        Ok(State {
            at: Instant::now(),
            own: own_cpu(),
            busy: (user + nice + system + interrupts + soft) / second,
            stolen: stolen / second,
        })
    }
}

/// A thread beside the engine, which notices pauses of the machine: of the core, and of the disk.
struct Observer {
    thread: thread::JoinHandle<Result<Vec<Delay>>>,
    is_over: Arc<AtomicBool>,
}

/// A look of the observer.
struct Delay {
    at: Duration,
    sleep: Duration,
    sync: Duration,
}

impl Observer {
    fn start(folder: &Path) -> Result<Self> {
        let mut file = File::create(folder.join("observer"))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let begun = Instant::now();
        let thread = thread::spawn(move || {
            let mut delays = Vec::new();
            while !over.load(Ordering::Relaxed) {
                thread::sleep(BETWEEN);
                let at = begun.elapsed();
                thread::sleep(SLEEP);
                let sleep = begun.elapsed() - at - SLEEP;
                let before = Instant::now();
                file.rewind()?;
                file.write_all(&[0; 4096])?;
                file.sync_data()?;
                delays.push(Delay { at, sleep, sync: before.elapsed() });
            }
            Ok(delays)
        });
        Ok(Self { thread, is_over })
    }

    fn stop(self) -> Result<Vec<Delay>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the observer has panicked"))?
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// The time between two looks of the observer, and the sleep that it measures.
const BETWEEN: Duration = Duration::from_millis(100);
const SLEEP: Duration = Duration::from_millis(10);
