//! The cost of engines, each beside its floor: publishes to channels with history.
//!
//! Every figure is measured in a process of its own, on the first core, which this program starts; the servers of Redis, and the
//! clients of the load with sessions, run on the second.

mod appends;
mod bare_fjall;
mod bare_redis;
mod parts;
mod subject;
mod sustained;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum as _};
use tokio::runtime::Builder as Runtime;
use wirehub_test_redis::{RedisCluster, RedisServer};

pub(crate) use self::parts::Child;
use self::parts::Part;
use self::subject::Subject;
use self::table::Table;
use crate::loads::{self, Pace};
use crate::machine::{Cores, Room};
use crate::server::{Candidate, Server, Setup};

/// The options of the measurement.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The engines and floors to measure; by default all.
    subjects: Vec<Subject>,
    /// The folder for data: choose the disk to be measured.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// The seconds of each measurement of publishes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Measure only the answers of so many seconds of publishing at half of the limit. The limit is that of `--seconds` before.
    #[arg(long)]
    sustained: Option<f64>,
    /// The messages in the store whose start is measured.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// The channels whose memory is measured.
    #[arg(long, default_value_t = 20_000)]
    idle_channels: usize,
    /// The number of runs; the median counts.
    #[arg(long, default_value_t = 3)]
    times: usize,
}

/// The figures of a subject in one run, by name.
type Figures = BTreeMap<String, f64>;

pub(crate) fn measure(options: &Options) -> Result<()> {
    ensure!(options.times > 0, "`--times` must be at least 1");
    let cores = Cores::of_this_machine()?;
    println!("{}", crate::machine::describe(&cores)?);
    let subjects = match &options.subjects[..] {
        [] => Subject::value_variants(),
        subjects => subjects,
    };
    if options.sustained.is_some() {
        return subjects.iter().try_for_each(|subject| sustained(options, *subject, &cores));
    }
    let mut runs: BTreeMap<Subject, Vec<Figures>> = BTreeMap::new();
    for _ in 0..options.times {
        for &subject in subjects {
            let figures = one(options, subject, &cores).with_context(|| format!("{subject} failed"))?;
            runs.entry(subject).or_default().push(figures);
        }
    }
    println!("{}", Table::new(&runs));
    Ok(())
}

/// Measures everything about a subject once. Each part begins with an empty store.
fn one(options: &Options, subject: Subject, cores: &Cores) -> Result<Figures> {
    let mut figures = Figures::new();
    for &part in Part::value_variants() {
        if !part.suits(subject) {
            continue;
        }
        let store = Store::new(options, subject)?;
        let arguments = store.arguments(options, subject, part)?;
        if part == Part::Serve {
            for in_flight in [1, 32] {
                let server = Candidate::engine(subject.name(), arguments.clone())?;
                let setup = Setup { room: Room::Core, encrypted: false };
                let server = Server::start(&server, setup, cores)?;
                let cpu = loads::fan_out(&server, SUBSCRIBERS, Pace::InFlight(in_flight))?;
                // Seconds for a million deliveries are microseconds for one.
                figures.insert(format!("fan {in_flight} cpu"), cpu * SUBSCRIBERS as f64);
            }
            continue;
        }
        let child = start(cores, &arguments, Stdio::piped())?;
        let output = child.wait_with_output().context("cannot read the figures")?;
        ensure!(output.status.success(), "{part:?} failed: {}", output.status);
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let (name, figure) = line.split_once(": ").with_context(|| format!("{line:?} is no figure"))?;
            figures.insert(name.to_owned(), figure.parse().with_context(|| format!("{line:?}"))?);
        }
    }
    Ok(figures)
}

/// Measures the answers of a subject over a long time. It prints its figures itself.
fn sustained(options: &Options, subject: Subject, cores: &Cores) -> Result<()> {
    let store = Store::new(options, subject)?;
    let arguments = store.arguments(options, subject, Part::Sustained)?;
    let status = start(cores, &arguments, Stdio::inherit())?.wait().context("cannot wait for the figures")?;
    ensure!(status.success(), "{subject} failed: {status}");
    Ok(())
}

/// Starts a part in a process of its own, on the first core.
fn start(cores: &Cores, arguments: &[String], output: Stdio) -> Result<std::process::Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(output);
    cores.in_room(Room::Core, || command.spawn())?.context("cannot start this program")
}

/// The place in which a subject keeps its data. It is removed with this value.
struct Store {
    folder: tempfile::TempDir,
    redis: Option<Redis>,
}

enum Redis {
    Single(Box<RedisServer>),
    Cluster(RedisCluster),
}

impl Store {
    fn new(options: &Options, subject: Subject) -> Result<Self> {
        let folder =
            tempfile::tempdir_in(&options.folder).context("cannot use the folder: name another --folder")?;
        let runtime = Runtime::new_current_thread().enable_all().build()?;
        let redis = match subject {
            Subject::BareRedis | Subject::Redis => {
                let server = runtime.block_on(RedisServer::start(Default::default()));
                Some(Redis::Single(Box::new(server)))
            }
            Subject::RedisCluster => Some(Redis::Cluster(runtime.block_on(RedisCluster::start(3, 0)))),
            _ => None,
        };
        Ok(Self { folder, redis })
    }

    /// The command line of a child for this store.
    fn arguments(&self, options: &Options, subject: Subject, part: Part) -> Result<Vec<String>> {
        let mut arguments = vec!["engine".to_owned(), name_of(&subject)?, name_of(&part)?];
        let mut option = |name: &str, value: String| arguments.push(format!("--{name}={value}"));
        option("folder", self.folder.path().display().to_string());
        option("seconds", options.seconds.to_string());
        option("sustained", options.sustained.unwrap_or_default().to_string());
        option("messages", options.messages.to_string());
        option("idle-channels", options.idle_channels.to_string());
        let servers: Vec<&RedisServer> = match &self.redis {
            None => Vec::new(),
            Some(Redis::Single(server)) => vec![server],
            Some(Redis::Cluster(cluster)) => {
                cluster.addresses().into_iter().map(|address| cluster.server(address)).collect()
            }
        };
        for server in servers {
            // On TCP, as the nodes of a fleet reach it. A Unix socket would be cheaper for engine and floor.
            option("redis", server.url());
            option("redis-process", server.id().context("Redis has ended")?.to_string());
        }
        Ok(arguments)
    }
}

fn name_of(value: &impl clap::ValueEnum) -> Result<String> {
    match value.to_possible_value() {
        Some(name) => Ok(name.get_name().to_owned()),
        None => bail!("a value has no name"),
    }
}

/// The subscribers of the load with sessions.
const SUBSCRIBERS: u64 = 100;
