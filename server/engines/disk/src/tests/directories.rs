//! Directories that are in use, of others, or incomplete.

use std::fs;

use super::damage::{contents, open_error, written};
use super::*;
use crate::{DiskErrorKind, check, repair};

#[tokio::test]
async fn a_second_process_is_refused() {
    let world = World::new();
    let first = world.open();
    assert_eq!(open_error(&world).kind(), DiskErrorKind::InUse);
    assert_eq!(check(world.path()).unwrap_err().kind(), DiskErrorKind::InUse);
    drop(first);
    drop(world.open());
}

#[tokio::test]
async fn another_format_is_refused() {
    let world = World::new();
    drop(world.open());
    fs::write(world.path().join("format"), "wirehub disk 3\n").unwrap();
    let error = open_error(&world);
    assert_eq!(error.kind(), DiskErrorKind::NewerFormat);
    assert!(error.to_string().contains("use a newer program"), "{error}");
    fs::write(world.path().join("format"), "wirehub disk 1\n").unwrap();
    for error in [open_error(&world), check(world.path()).unwrap_err()] {
        assert_eq!(error.kind(), DiskErrorKind::Refused);
        assert!(error.to_string().contains("move the whole data directory away"), "{error}");
    }
    fs::write(world.path().join("format"), "wirehub\n").unwrap();
    assert_eq!(open_error(&world).kind(), DiskErrorKind::Corrupt);
}

#[test]
fn a_folder_of_another_program_is_refused() {
    let world = World::new();
    fs::create_dir(world.path()).unwrap();
    fs::write(world.path().join("file"), "content").unwrap();
    assert_eq!(open_error(&world).kind(), DiskErrorKind::Refused);
    assert_eq!(fs::read_dir(world.path()).unwrap().count(), 1, "nothing was added");
}

#[test]
fn a_directory_that_can_not_be_written_is_a_clear_error() {
    // Not even the administrator can write there.
    let error = DiskEngine::open("/proc/wirehub", DiskOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("/proc/wirehub: "), "{error}");
    for (kind, expected) in [
        (std::io::ErrorKind::PermissionDenied, DiskErrorKind::Permission),
        (std::io::ErrorKind::ReadOnlyFilesystem, DiskErrorKind::ReadOnly),
        (std::io::ErrorKind::StorageFull, DiskErrorKind::Full),
    ] {
        assert_eq!(DiskError::io(Path::new("data"), kind.into()).kind(), expected);
    }
}

#[tokio::test]
async fn an_interrupted_creation_is_repeated() {
    let image = World::in_memory();
    drop(image.open());
    let all = contents(&image.path().join("store"));
    // The files are there in some order, and the last one is incomplete.
    for count in 0..=all.len() {
        let world = World::in_memory();
        fs::create_dir(world.path()).unwrap();
        fs::copy(image.path().join("format"), world.path().join("format")).unwrap();
        fs::write(world.path().join("synced"), "").unwrap();
        for (index, (path, content)) in all.iter().take(count).enumerate() {
            let path =
                world.path().join("store.new").join(path.strip_prefix(image.path().join("store")).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let length = if index + 1 == count { content.len() / 2 } else { content.len() };
            fs::write(path, &content[..length.min(4096)]).unwrap();
        }
        assert!(check(world.path()).unwrap().is_in_order());
        assert!(repair(world.path()).unwrap().problems.is_empty());
        assert_eq!(world.open().publish("a", "x").await.offset, 1);
        assert!(!world.path().join("store.new").exists());
    }
    let world = World::in_memory();
    fs::create_dir(world.path()).unwrap();
    fs::write(world.path().join("format.new"), "wire").unwrap();
    assert_eq!(world.open().publish("a", "x").await.offset, 1);
}

#[tokio::test]
async fn a_missing_storage_is_no_new_start() {
    let world = World::new();
    written(&world).await;
    fs::remove_dir_all(world.path().join("store")).unwrap();
    let report = check(world.path()).unwrap();
    assert!(report.is_beyond_repair, "{:?}", report.problems);
    for error in [open_error(&world), repair(world.path()).unwrap_err()] {
        assert_eq!(error.kind(), DiskErrorKind::Corrupt);
        assert!(error.to_string().contains("restore a backup"), "{error}");
        assert!(!error.to_string().contains("repair"), "{error}");
    }
}
