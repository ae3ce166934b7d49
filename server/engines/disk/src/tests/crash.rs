//! Losses of power and of the process.
//!
//! A process of its own publishes, and reports each acknowledged publish with the number of a batch that was on the disk at that
//! time. It is paused at random moments, so that its files can be copied as they are at one moment. In a copy the journal is cut
//! back to a random place behind that batch, and behind the batches in tables: exactly the synchronised bytes are certain to
//! survive a loss of power. Of the next batch, random sectors may have survived, too. After each cut every acknowledged publish
//! must be there.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::journal;

/// The number of cuts if `WIREHUB_CRASH_RUNS` does not name another one.
const RUNS: u64 = 300;

/// The number of copies of the files of one process.
const IMAGES: u64 = 6;

#[cfg(unix)]
#[tokio::test]
async fn nothing_acknowledged_is_missing_after_a_loss_of_power() {
    let runs = std::env::var("WIREHUB_CRASH_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let mut random = Random(std::env::var("WIREHUB_CRASH_SEED").map_or(7, |seed| seed.parse().unwrap()));
    // In memory if possible: the cuts replace the disk.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut cuts = 0;
    while cuts < runs {
        let data = folder.path().join(format!("data-{cuts}"));
        let mut child = Publisher::start(&data);
        for _ in 0..IMAGES {
            child.wait_for_more(20 + random.below(200));
            let image = folder.path().join("image");
            let _ = fs::remove_dir_all(&image);
            // Every acknowledgement that is known before the pause.
            let acknowledged = child.acknowledged();
            child.pause();
            copy_folder(&data, &image);
            let in_tables = newest_in_tables(&image, &folder.path().join("tables"));
            for _ in 0..runs.div_ceil(IMAGES).min(25) {
                cut_and_check(&image, &folder.path().join("cut"), in_tables, &acknowledged, &mut random)
                    .await;
                cuts += 1;
            }
            child.go_on();
        }
        // A killed process: the operating system has every written byte.
        child.kill();
        let acknowledged = child.acknowledged();
        check_image(&data, &acknowledged).await;
    }
    println!("{cuts} cuts");
}

/// An acknowledged publish.
#[derive(Debug, Clone)]
struct Acknowledged {
    /// The newest batch that was on the disk.
    synced: u64,
    channel: String,
    offset: u64,
    text: String,
}

/// The storage's number of the newest batch in the tables of a copy. The journal is synchronised up to it before a table is
/// written.
fn newest_in_tables(image: &Path, copy: &Path) -> u64 {
    let _ = fs::remove_dir_all(copy);
    copy_folder(&image.join("store"), copy);
    for journal in journal::paths(copy).unwrap() {
        fs::remove_file(journal).unwrap();
    }
    let store = crate::store::Store::open(copy, &DiskOptions::default()).unwrap();
    store.newest_in_tables().unwrap_or(0)
}

async fn cut_and_check(
    image: &Path,
    cut: &Path,
    in_tables: u64,
    acknowledged: &[Acknowledged],
    random: &mut Random,
) {
    let _ = fs::remove_dir_all(cut);
    copy_folder(image, cut);
    let synced = acknowledged.last().unwrap().synced;
    let path = journal::paths(&cut.join("store")).unwrap().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let batches = journal::read(&bytes).batches;
    // The batches that are on the disk in this run: one of those that were, or may have been.
    let is_certain = |batch: &journal::Batch| {
        batch.sequence <= in_tables || batch.header.is_some_and(|header| header.batch <= synced)
    };
    // Those may be in an older journal.
    let first = batches.iter().rposition(is_certain).map_or(0, |index| index + 1);
    let whole = first + random.below((batches.len() - first) as u64 + 1) as usize;
    let end = whole.checked_sub(1).map_or(0, |last| batches[last].end);
    // The next one was being written.
    let next = batches.get(whole).map_or(end, |batch| batch.end);
    match random.below(3) {
        0 => bytes.truncate(end + random.below((next - end) as u64 + 1) as usize),
        1 => {
            let torn = end + random.below((next - end) as u64 + 1) as usize;
            bytes[torn..].fill(0);
        }
        _ => {
            bytes[next..].fill(0);
            let mut at = end;
            while at < next {
                let sector = (at / 512 + 1) * 512;
                if random.below(2) == 0 {
                    bytes[at..sector.min(next)].fill(0);
                }
                at = sector;
            }
        }
    }
    fs::write(&path, bytes).unwrap();
    damage::set_boot(cut, 99);
    check_image(cut, acknowledged).await;
}

async fn check_image(path: &Path, acknowledged: &[Acknowledged]) {
    let options = DiskOptions::default().memtable_bytes(MEMTABLE);
    let subject = Subject::open(path, options).unwrap();
    let mut histories = HashMap::new();
    for publish in acknowledged {
        if !histories.contains_key(&publish.channel) {
            let history = subject.history(&publish.channel).await;
            let first = history.first().map_or(1, |(offset, _)| *offset);
            let offsets: Vec<u64> = history.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(offsets, (first..).take(offsets.len()).collect::<Vec<_>>(), "without gaps");
            histories.insert(publish.channel.clone(), history);
        }
        let history = &histories[&publish.channel];
        let first = history.first().map_or(u64::MAX, |(offset, _)| *offset);
        let found = publish.offset.checked_sub(first).and_then(|index| history.get(index as usize));
        assert!(first <= publish.offset.max(history.len() as u64), "{publish:?}");
        // A channel of the test keeps everything.
        assert_eq!(found, Some(&(publish.offset, publish.text.clone())), "{publish:?}");
    }
    // The keys are there, too.
    let last = acknowledged.last().unwrap();
    let repeat = subject.publish_with_key(&last.channel, "repeat", &last.text).await;
    assert_eq!(repeat.offset, last.offset);
    let newest = histories[&last.channel].last().unwrap().0;
    assert_eq!(subject.publish(&last.channel, "new").await.offset, newest + 1);
}

/// Small, so that tables are written all the time.
const MEMTABLE: u64 = 64 * 1024;

#[cfg(unix)]
#[tokio::test]
#[ignore = "a part of the test above, in a process of its own"]
async fn child() {
    let path = PathBuf::from(std::env::var_os("WIREHUB_CRASH_DATA").unwrap());
    let subject = Subject::open(&path, DiskOptions::default().memtable_bytes(MEMTABLE)).unwrap();
    let shared = Arc::clone(subject.engine.shared());
    let all = History::new(1_000_000, Duration::from_secs(36_000)).with_bytes(usize::MAX);
    let publishers = (0..4).map(|publisher| {
        let (subject, shared) = (&subject, &shared);
        async move {
            for number in 0..50_000_u64 {
                let channel = format!("channel:{}", (publisher + number) % 5);
                let text = format!("{publisher}-{number}-{}", "x".repeat((number % 700) as usize));
                let position = subject.publishing(&channel, &text, &text, all).await.unwrap().unwrap();
                let synced = shared.synced.load(Ordering::SeqCst);
                println!("ack {synced} {channel} {} {text}", position.offset);
            }
        }
    });
    futures_util::future::join_all(publishers).await;
}

/// The publishing process.
struct Publisher {
    child: Child,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

#[cfg(unix)]
impl Publisher {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::crash::child", "--ignored", "--nocapture"])
            .env("WIREHUB_CRASH_DATA", data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&acknowledged);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Some((_, line)) = line.split_once("ack ") else { continue };
                let mut words = line.split(' ');
                let mut word = || words.next().map(str::to_owned);
                // The last line may be incomplete.
                let (Some(synced), Some(channel), Some(offset), Some(text)) =
                    (word(), word(), word(), word())
                else {
                    continue;
                };
                let (synced, offset) = (synced.parse().unwrap(), offset.parse().unwrap());
                read.lock().push(Acknowledged { synced, channel, offset, text });
            }
        });
        Self { child, acknowledged, reader: Some(reader) }
    }

    fn wait_for_more(&mut self, count: u64) {
        let before = self.acknowledged.lock().len() as u64;
        while (self.acknowledged.lock().len() as u64) < before + count {
            assert!(self.child.try_wait().unwrap().is_none(), "the process goes on");
            std::thread::yield_now();
        }
    }

    fn acknowledged(&self) -> Vec<Acknowledged> {
        self.acknowledged.lock().clone()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
        // The signal reaches every thread when the process is reported as stopped.
        let status = format!("/proc/{}/stat", self.child.id());
        while fs::read_to_string(&status).is_ok_and(|text| !text.contains(") T ")) {
            std::thread::yield_now();
        }
    }

    fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        // The last line may be cut off in its text.
        self.acknowledged.lock().pop();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of the 64 MiB of zeros at the end of a journal, this many are copied: they mean the same.
const EMPTY_END: usize = 64 * 1024;

/// Copies a folder.
pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else if path.extension().is_some_and(|extension| extension == "jnl") {
            let bytes = fs::read(&path).unwrap();
            let content = bytes.chunks(4096).rposition(|block| block.iter().any(|byte| *byte != 0));
            let content = content.map_or(0, |block| (block + 1) * 4096);
            fs::write(&target, &bytes[..bytes.len().min(content + EMPTY_END)]).unwrap();
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A sequence of numbers from a seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }
}
