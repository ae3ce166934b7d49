//! A full disk, and writes that fail.

use super::*;
use crate::DiskErrorKind;

#[tokio::test]
async fn publishes_are_refused_while_there_is_no_room_and_reading_goes_on() {
    // More than any disk has.
    let world = World::new().with(|options| options.free_bytes(u64::MAX));
    let subject = world.open();
    assert!(subject.engine.ready().is_err(), "at once");
    let error = subject.publishing("a", "x", "", HISTORY).await.unwrap_err();
    assert_eq!(disk_error(&error).kind(), DiskErrorKind::Full);
    assert!(disk_error(&error).is_temporary());
    assert!(subject.engine.ready().is_err());
    let publish = EnginePublish::new(name("a"), Payload::bytes("without history"));
    assert_eq!(subject.engine.publish(publish).await.unwrap(), None);
    assert_eq!(subject.delivered().len(), 1, "what needs no disk is delivered");
}

#[cfg(unix)]
#[tokio::test]
async fn publishes_are_refused_while_the_directory_is_not_at_its_path() {
    let world = World::new();
    let subject = world.open();
    subject.publish("a", "1").await;
    let elsewhere = world.folder.path().join("elsewhere");
    std::fs::rename(world.path(), &elsewhere).unwrap();
    let other = world.open();
    let mut accepted = 1;
    let error = loop {
        // The next look is soon.
        match subject.publish_result("a", "x").await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(disk_error(&error).is_temporary());
    assert!(error.to_string().contains("removed or replaced"), "{error}");
    assert!(subject.engine.ready().is_err());
    assert_eq!(other.publish("a", "other").await.offset, 1);
    drop(other);
    std::fs::remove_dir_all(world.path()).unwrap();
    std::fs::rename(&elsewhere, world.path()).unwrap();
    while subject.publish_result("a", "again").await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(subject.engine.ready().is_ok());
    drop(subject);
    assert_eq!(world.open().offsets("a").await, (1..=accepted + 1).collect::<Vec<_>>());
}

/// A file of this size can't be exceeded by the process in the test below: the journal reaches it first.
#[cfg(unix)]
const LIMIT: u64 = 66 * 1024 * 1024;

/// A write of the storage fails in the middle of a batch: the process may not write beyond a size of files, until the limit is
/// raised again. The limit belongs to a process, so this runs in one of its own.
#[cfg(unix)]
#[test]
fn a_failed_write_is_temporary_and_the_engine_recovers_without_a_restart() {
    let program = std::env::current_exe().unwrap();
    // The signal of that limit would end the process. Bash ignores it for its program, which std can't do without `unsafe`.
    let script = "trap '' XFSZ; exec \"$0\" --exact tests::full::child --ignored --nocapture";
    let output = std::process::Command::new("bash").args(["-c", script]).arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("recovered"), "{text}");
}

#[cfg(unix)]
#[tokio::test]
#[ignore = "a part of the test above, in a process of its own"]
async fn child() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    // Without a flush the journal grows beyond the limit.
    let world = World::new().with(|options| options.memtable_bytes(1 << 30).free_bytes(0));
    let subject = world.open();
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(LIMIT), ..before }).unwrap();
    let large = "x".repeat(500_000);
    let many = History::new(10_000, Duration::from_secs(3600)).with_bytes(usize::MAX);
    let mut accepted = 0;
    let error = loop {
        match subject.publishing("a", &large, &format!("key {accepted}"), many).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 1000, "the limit is reached");
    };
    assert!(accepted > 100);
    assert!(disk_error(&error).is_temporary(), "{error:?}");
    assert!(subject.engine.ready().is_err());
    // Reading goes on, from memory and from the disk.
    assert_eq!(subject.offsets("a").await, (1..=accepted).collect::<Vec<_>>());
    subject.engine.shared().channels.clear();
    assert_eq!(subject.offsets("a").await, (1..=accepted).collect::<Vec<_>>());
    assert!(subject.publishing("a", &large, "", many).await.is_err(), "it is tried again, and fails again");
    setrlimit(Resource::Fsize, before).unwrap();
    // The engine tries again by itself.
    let position = loop {
        match subject.publishing("a", "again", &format!("key {accepted}"), many).await {
            Ok(position) => break position.unwrap(),
            Err(error) => assert!(disk_error(&error).is_temporary(), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(position.offset, accepted + 1, "the failed one has not been stored");
    assert!(subject.engine.ready().is_ok());
    assert_eq!(subject.delivered().len() as u64, accepted + 1);
    assert_eq!(subject.publishing("a", "x", "key 3", many).await.unwrap().unwrap().offset, 4);
    drop(subject);
    assert_eq!(world.open().offsets("a").await, (1..=accepted + 1).collect::<Vec<_>>());
    println!("recovered");
}

/// A small file system in memory is really full. It needs a namespace of its own, which some machines do not allow.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_temporary_and_the_engine_recovers_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=24m tmpfs \"$1\" && exec \"$0\" --exact tests::full::child_on_a_small_disk --ignored --nocapture";
    let is_possible = std::process::Command::new("unshare").args(["-Urm", "true"]).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        println!("skipped: this machine allows no namespaces");
        return;
    }
    let output = std::process::Command::new("unshare")
        .args(["-Urm", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .env("WIREHUB_SMALL_DISK", folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("recovered").count(), 2, "{text}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "a part of the test above, on a small disk"]
async fn child_on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os("WIREHUB_SMALL_DISK").unwrap());
    // By the look at the free space, and by the failure of a write or a flush.
    for (round, free_bytes) in [4 << 20, 0].into_iter().enumerate() {
        let world = World::new().with(|options| options.memtable_bytes(1 << 20).free_bytes(free_bytes));
        let path = disk.join(round.to_string());
        let ballast = disk.join("ballast");
        std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();
        let subject = Subject::open(&path, world.options.clone()).unwrap();
        let large = "x".repeat(100_000);
        let mut accepted = 0;
        let error = loop {
            match subject.publishing("a", &large, "", HISTORY).await {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
            assert!(accepted < 1000, "the disk is full");
        };
        assert!(disk_error(&error).is_temporary(), "{error:?}");
        assert!(subject.engine.ready().is_err());
        let offsets = subject.offsets("a").await;
        assert_eq!(offsets.last(), Some(&accepted));
        std::fs::remove_file(&ballast).unwrap();
        let position = loop {
            match subject.publish_result("a", "again").await {
                Ok(position) => break position.unwrap(),
                Err(error) => assert!(disk_error(&error).is_temporary(), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(position.offset > accepted);
        assert!(subject.engine.ready().is_ok());
        let delivered: Vec<u64> = subject.delivered().into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(delivered, (1..=position.offset).collect::<Vec<_>>(), "once and in order");
        drop(subject);
        let again = Subject::open(&path, world.options.clone()).unwrap();
        assert_eq!(again.offsets("a").await.last(), Some(&position.offset));
        drop(again);
        std::fs::remove_dir_all(&path).unwrap();
        println!("recovered");
    }
}

impl Subject {
    async fn publish_result(&self, channel: &str, text: &str) -> Result<Option<Position>, EngineError> {
        self.publishing(channel, text, "", HISTORY).await
    }
}
