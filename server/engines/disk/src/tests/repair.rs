//! Checks and repairs, and interrupted ones.

use std::fs;
use std::process::{Command, Stdio};

use super::damage::{change, contents, open_error, written, written_in_tables};
use super::*;
use crate::{DiskErrorKind, check, repair};

#[tokio::test]
async fn a_check_reports_an_incomplete_end_and_leaves_it() {
    let world = World::new();
    written(&world).await;
    let journal = world.path().join("store/0.jnl");
    let end = crate::journal::read(&fs::read(&journal).unwrap()).batches.last().unwrap().end;
    // A batch that was being written.
    change(&journal, |bytes| {
        bytes.truncate(end);
        bytes.extend([1; 20]);
    });
    let before = contents(&world.path());
    for _ in 0..2 {
        let report = check(world.path()).unwrap();
        assert!(report.is_in_order(), "{:?}", report.problems);
        assert_eq!(report.publications, 100);
        assert_eq!(report.notes.len(), 1);
        assert_eq!(report.notes[0].path, journal);
        assert!(report.notes[0].description.contains(&format!("from byte {end} on")), "{:?}", report.notes);
    }
    assert_eq!(contents(&world.path()), before);
    assert_eq!(world.open().offsets("a").await.len(), 50);
}

#[tokio::test]
async fn an_interrupted_repair_is_completed_with_new_epochs() {
    let image = World::in_memory();
    let newest = written(&image).await;
    change(&image.path().join("store/0.jnl"), |bytes| bytes[5000] ^= 1);
    let repaired = World::in_memory();
    crash::copy_folder(&image.path(), &repaired.path());
    repair(repaired.path()).unwrap();
    for stage in 0..4 {
        let world = World::in_memory();
        crash::copy_folder(&image.path(), &world.path());
        let result = repaired.path().join("store");
        match stage {
            // While the result is written.
            0 => {
                fs::create_dir(world.path().join("repaired.new")).unwrap();
                fs::write(world.path().join("repaired.new/version"), "FJ").unwrap();
            }
            // After that, before and after the damaged storage is moved away.
            1 => crash::copy_folder(&result, &world.path().join("repaired")),
            2 => {
                crash::copy_folder(&result, &world.path().join("repaired"));
                fs::create_dir(world.path().join("damaged-1")).unwrap();
                fs::rename(world.path().join("store"), world.path().join("damaged-1/store")).unwrap();
            }
            // Before the report about synchronised batches.
            _ => {
                fs::rename(world.path().join("store"), world.path().join("damaged")).unwrap();
                crash::copy_folder(&result, &world.path().join("store"));
            }
        }
        if stage < 3 {
            let error = open_error(&world);
            assert_eq!(error.kind(), DiskErrorKind::Corrupt, "{stage}");
            assert!(error.to_string().contains("`wirehub data repair`"), "{error}");
            assert!(!check(world.path()).unwrap().is_in_order(), "{stage}");
            assert!(repair(world.path()).unwrap().all_epochs_changed, "{stage}");
        }
        let report = check(world.path()).unwrap();
        assert!(report.is_in_order(), "{stage}: {:?}", report.problems);
        let subject = world.open();
        assert_eq!(subject.offsets("a").await.last(), Some(&50));
        let next = subject.publish("a", "x").await;
        assert_ne!(next.epoch, newest.epoch, "{stage}");
        for name in ["repaired", "repaired.new", "checking"] {
            assert!(!world.path().join(name).exists(), "{stage}: {name}");
        }
    }
}

/// Checks or repairs a directory in a process of its own.
#[tokio::test]
#[ignore = "a part of the tests below, in a process of its own"]
async fn child() {
    let path = PathBuf::from(std::env::var_os("WIREHUB_DAMAGE_DATA").unwrap());
    if std::env::var_os("WIREHUB_DAMAGE_REPAIR").is_some() {
        repair(&path).unwrap();
        return;
    }
    assert_eq!(fs::write(path.join("file"), "").unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let report = check(&path).unwrap();
    assert!(report.is_in_order(), "{:?}", report.problems);
    assert_eq!(report.publications, 100);
}

fn child_arguments() -> [&'static str; 3] {
    ["--exact", "tests::repair::child", "--ignored"]
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_read_only_snapshot_can_be_checked() {
    let world = World::new();
    written_in_tables(&world).await;
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" || exit 99; exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(world.path())
        .arg(std::env::current_exe().unwrap())
        .args(child_arguments())
        .env("WIREHUB_DAMAGE_DATA", world.path())
        .status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => {}
        // The system forbids it, or does not have the program.
        Ok(Some(1 | 99)) | Err(_) => println!("no read-only file system is possible here"),
        status => panic!("{status:?}"),
    }
}

#[tokio::test]
async fn a_killed_repair_leaves_no_position_twice() {
    let image = World::in_memory();
    let newest = written_in_tables(&image).await;
    image.open().publish("a", "text 51").await;
    let journal = image.path().join("store/0.jnl");
    let start = crate::journal::read(&fs::read(&journal).unwrap()).batches[3].start;
    change(&journal, |bytes| bytes[start + 60] ^= 1);
    let mut random = crash::Random(5);
    let mut killed = 0;
    for round in 0..12 {
        let world = World::in_memory();
        crash::copy_folder(&image.path(), &world.path());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(child_arguments())
            .env("WIREHUB_DAMAGE_DATA", world.path())
            .env("WIREHUB_DAMAGE_REPAIR", "1")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Some of the folders that it makes, then a random moment.
        let folder = world.path().join(["checking", "repaired.new", "repaired.new/keyspaces/6"][round % 3]);
        while !folder.exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        for _ in 0..random.below(3000) {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());

        match Subject::open(&world.path(), world.options.clone()) {
            Err(error) => assert_eq!(error.kind(), DiskErrorKind::Corrupt, "{round}: {error}"),
            Ok(subject) => {
                assert_ne!(subject.publish("a", "x").await.epoch, newest.epoch, "{round}");
                continue;
            }
        }
        assert!(repair(world.path()).unwrap().all_epochs_changed, "{round}");
        let report = check(world.path()).unwrap();
        assert!(report.is_in_order(), "{round}: {:?}", report.problems);
        assert_ne!(world.open().publish("a", "x").await.epoch, newest.epoch, "{round}");
    }
    assert!(killed > 3, "{killed} of the repairs were interrupted");
}
