//! Cores, descriptors and the kernel's accounts of processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The simultaneous connections, and the other files of a process.
const DESCRIPTORS: u64 = 10_500;

/// The largest number of other open files of a process.
const OTHER_DESCRIPTORS: u64 = 200;

/// The cores of the server and of the load.
#[derive(Debug)]
pub(crate) struct Cores {
    server: usize,
    load: usize,
}

/// The place of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// On a core of its own.
    Core,
    /// On both cores, one of them with the load.
    BothCores,
}

impl Cores {
    /// Two of the cores that this process may use; the same one twice if there is no second.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot see which cores may be used")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let server = cores.next().context("no core may be used")?;
        let cores = Self { server, load: cores.next().unwrap_or(server) };
        pin(&[cores.load])?;
        Ok(cores)
    }

    /// Runs a function that starts a server's process in its place.
    pub(crate) fn in_room<T>(&self, room: Room, start: impl FnOnce() -> T) -> Result<T> {
        match room {
            Room::Core => pin(&[self.server])?,
            Room::BothCores => pin(&[self.server, self.load])?,
        }
        let started = start();
        pin(&[self.load])?;
        Ok(started)
    }
}

/// Binds this thread, and the processes and threads that it starts from now on, to these cores.
fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).with_context(|| format!("cannot keep to the cores {cores:?}"))
}

/// Lowers the priority of this thread below that of other threads and processes.
pub(crate) fn stand_back() -> Result<()> {
    let nice = getpriority_process(None).context("cannot see this thread's priority")?;
    setpriority_process(None, nice + 10).context("cannot lower this thread's priority")
}

/// Allows this process, and those that it starts, the number of connections that are needed.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    ensure!(
        maximum.is_none_or(|maximum| maximum >= DESCRIPTORS),
        "at most {} files may be open here: allow {DESCRIPTORS} (`ulimit -Hn` as root), then run this again",
        maximum.unwrap_or_default()
    );
    setrlimit(Resource::Nofile, Rlimit { current: maximum.or(Some(DESCRIPTORS)), maximum })
        .context("cannot raise the limit of open files")
}

/// How many connections a process may have at once on this machine.
pub(crate) fn most_connections() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OTHER_DESCRIPTORS)
}

/// The machine and its load, for the reader of the figures.
pub(crate) fn describe(cores: &Cores) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|it| it.1);
    let load = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's version")?;
    Ok(format!(
        "{}, Linux {}; server on core {}, load on core {}; load average before: {}",
        model.unwrap_or("unknown processor"),
        kernel.trim(),
        cores.server,
        cores.load,
        load.split(' ').next().unwrap_or_default(),
    ))
}

/// The processor time of the threads of a process, in user mode and in the kernel.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the server ended?"))?;
    // The program's name is in parentheses and may contain anything; user and system time are the 12th and 13th fields
    // behind it.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| -> Result<u64> {
        let field = fields.get(index).with_context(|| format!("{path} is too short"))?;
        field.parse().with_context(|| format!("{path} has no number in field {index}"))
    };
    let ticks = ticks(11)? + ticks(12)?;
    Ok(Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second())?)
}

/// The memory in bytes that only this process has.
pub(crate) fn memory(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the server ended?"))?;
    let kilobytes = |name: &str| -> Result<u64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(name));
        let number = rest.and_then(|rest| rest.trim().strip_suffix(" kB"));
        number.with_context(|| format!("{path} has no {name}"))?.trim().parse().context("not a number")
    };
    Ok((kilobytes("Private_Clean:")? + kilobytes("Private_Dirty:")?) * 1024)
}

/// How many files a process has open.
pub(crate) fn descriptors(process: u32) -> Result<usize> {
    let path = format!("/proc/{process}/fd");
    Ok(fs::read_dir(&path).with_context(|| format!("cannot read {path}: has the server ended?"))?.count())
}
