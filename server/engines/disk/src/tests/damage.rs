//! Damaged and foreign directories.

use std::fs;

use super::*;
use crate::directory::{Directory, Witness};
use crate::{DiskErrorKind, check, repair};

/// Writes another machine's start into the report of the last process.
pub(super) fn set_boot(path: &Path, boot: u64) {
    let mut directory = Directory::open(path, false).unwrap();
    let witness = directory.witness().unwrap().unwrap();
    directory.set_witness(&Witness { boot, ..witness }, true).unwrap();
}

fn open_error(world: &World) -> DiskError {
    let error = Subject::open(&world.path(), world.options.clone()).err().expect("it can't be opened");
    assert!(error.to_string().contains(&*world.path().to_string_lossy()), "names the file: {error}");
    error
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// The files below a folder with that ending of their path.
fn files(folder: &Path, is_wanted: impl Fn(&Path) -> bool + Copy) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, is_wanted));
        } else if is_wanted(&path) {
            found.push(path);
        }
    }
    found
}

async fn written(world: &World) -> Position {
    let subject = world.open();
    let mut newest = Position::default();
    for number in 1..=50 {
        newest = subject.publish_with_key("a", &format!("text {number}"), &format!("key {number}")).await;
        subject.publish("b", "x").await;
    }
    newest
}

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
async fn a_newer_format_is_refused() {
    let world = World::new();
    drop(world.open());
    fs::write(world.path().join("format"), "wirehub disk 2\n").unwrap();
    let error = open_error(&world);
    assert_eq!(error.kind(), DiskErrorKind::NewerFormat);
    assert!(error.to_string().contains("use a newer program"), "{error}");
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
    let world = World::new();
    drop(world.open());
    // As it is before the storage has written its version.
    fs::remove_file(world.path().join("store/version")).unwrap();
    fs::write(world.path().join("synced"), "").unwrap();
    assert_eq!(world.open().publish("a", "x").await.offset, 1);
}

#[tokio::test]
async fn missing_files_are_no_new_start() {
    for file in ["store/version", "format", "store/keyspaces", "store"] {
        let world = World::new();
        written(&world).await;
        let path = world.path().join(file);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        assert_eq!(open_error(&world).kind(), DiskErrorKind::Corrupt, "{file}");
    }
}

#[tokio::test]
async fn a_journal_that_lost_its_end_is_noticed() {
    for keep in [0, 2000] {
        let world = World::new();
        written(&world).await;
        change(&world.path().join("store/0.jnl"), |bytes| bytes.truncate(keep));
        let error = open_error(&world);
        assert_eq!(error.kind(), DiskErrorKind::Corrupt);
        assert_eq!(open_error(&world).kind(), DiskErrorKind::Corrupt, "again");
        if keep > 0 {
            assert!(!check(world.path()).unwrap().is_in_order());
            let report = repair(world.path()).unwrap();
            assert!(report.all_epochs_changed);
            assert!(check(world.path()).unwrap().is_in_order());
            world.open();
        }
    }
}

#[tokio::test]
async fn a_damaged_byte_in_a_journal_is_named_and_repaired() {
    let world = World::new();
    let newest = written(&world).await;
    let journal = world.path().join("store/0.jnl");
    change(&journal, |bytes| bytes[5000] ^= 1);
    let error = open_error(&world);
    assert_eq!(error.kind(), DiskErrorKind::Corrupt);
    assert!(error.to_string().contains("0.jnl: damaged at byte "), "{error}");
    let report = check(world.path()).unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);

    let report = repair(world.path()).unwrap();
    assert!(report.all_epochs_changed);
    assert!(report.kept.unwrap().join("0.jnl").is_file(), "the damaged file is kept");
    let report = check(world.path()).unwrap();
    assert!(report.is_in_order(), "{:?}", report.problems);
    let subject = world.open();
    let offsets = subject.offsets("a").await;
    assert_eq!(offsets.last(), Some(&50), "the batches behind the damage are kept");
    let first = *offsets.first().unwrap();
    assert_eq!(offsets, (first..=50).collect::<Vec<_>>(), "without a gap");
    assert!(!subject.locate("a", Some(newest)).await.complete);
}

#[tokio::test]
async fn a_damaged_table_is_noticed_and_repaired() {
    let world = World::new();
    let subject = world.open();
    let mut newest = Position::default();
    for number in 1..=200 {
        newest = subject.publish("a", &format!("{number} {}", "x".repeat(100))).await;
    }
    let quiet = subject.publish("quiet", "x").await;
    let folder = subject.engine.shared().store().unwrap().flush(crate::store::Space::Publications).unwrap();
    drop(subject);
    let tables = files(&folder, |path| path.parent().is_some_and(|parent| parent.ends_with("tables")));
    assert_eq!(tables.len(), 1, "{tables:?}");
    // A block in the middle of the data.
    change(&tables[0], |bytes| bytes[9000] ^= 1);

    let report = check(world.path()).unwrap();
    assert!(!report.is_in_order());
    assert!(report.problems.iter().any(|problem| problem.path == folder), "{:?}", report.problems);
    let subject = world.open();
    let readable = subject.offsets("a").await;
    let first = readable[0];
    assert!(first > 1 && first < 150, "{first}");
    assert_eq!(readable, (first..=200).collect::<Vec<_>>(), "the part behind the damage is read");
    let at = |offset| Some(Position { offset, ..newest.clone() });
    for offset in [0, 1, first - 2] {
        assert_eq!(subject.try_page("a", at(offset)).await.unwrap(), None, "the next ones are lost");
        let located = subject.locate("a", at(offset)).await;
        assert_eq!((located.complete, located.position.offset), (false, first - 1));
    }
    let located = subject.locate("a", at(first - 1)).await;
    assert!(located.complete);
    assert!(subject.try_page("a", Some(located.position)).await.unwrap().is_some());
    let reverse = subject.page_back("a").await;
    assert_eq!(reverse, readable.iter().rev().copied().collect::<Vec<_>>());
    subject.forget_memory().await;
    assert_eq!(subject.offsets("a").await, readable);
    assert_eq!(subject.offsets("quiet").await, [1], "other channels work");
    drop(subject);

    let report = repair(world.path()).unwrap();
    assert_eq!(report.lost, [name("a")]);
    assert!(!report.all_epochs_changed);
    assert!(check(world.path()).unwrap().is_in_order());
    let subject = world.open();
    assert!(subject.locate("quiet", Some(quiet)).await.complete);
    let offsets = subject.offsets("a").await;
    assert_eq!(offsets.last(), Some(&200));
    assert!(offsets.len() > 50, "the part behind the damage is kept: {}", offsets.len());
    assert_eq!(offsets, (offsets[0]..=200).collect::<Vec<_>>());
    assert_eq!(subject.publish("a", "x").await.offset, 201);
}

impl Subject {
    async fn page_back(&self, channel: &str) -> Vec<u64> {
        let read = ReadHistory {
            channel: name(channel),
            history: HISTORY,
            since: None,
            limit: usize::MAX,
            bytes: usize::MAX,
            reverse: true,
        };
        let page = self.engine.history(read).await.unwrap().unwrap();
        page.publications.iter().map(|it| it.offset).collect()
    }
}

#[tokio::test]
async fn a_history_with_a_damaged_table_is_trimmed_nevertheless() {
    let world = World::new();
    let subject = world.open();
    let size = |size| History::new(size, Duration::from_secs(3600));
    for number in 1..=200 {
        let text = format!("{number} {}", "x".repeat(100));
        subject.publishing("a", &text, "", size(200)).await.unwrap();
    }
    let folder = subject.engine.shared().store().unwrap().flush(crate::store::Space::Publications).unwrap();
    drop(subject);
    let tables = files(&folder, |path| path.parent().is_some_and(|parent| parent.ends_with("tables")));
    change(&tables[0], |bytes| bytes[9000] ^= 1);
    let subject = world.open();
    let mut oldest = 0;
    for number in 201..=260 {
        subject.publishing("a", "x", "", size(200)).await.unwrap();
        let state = subject.state("a").unwrap();
        assert!(state.oldest >= oldest.max(number - 199), "{number}: {}", state.oldest);
        oldest = state.oldest;
    }
    subject.forget_memory().await;
    assert_eq!(subject.offsets("a").await, (oldest..=260).collect::<Vec<_>>());
}

#[tokio::test]
async fn any_damaged_byte_is_an_error_or_loses_nothing() {
    let world = World::new();
    written(&world).await;
    let subject = world.open();
    for space in crate::store::Space::ALL {
        subject.engine.shared().store().unwrap().flush(space).unwrap();
    }
    let newest = subject.publish("a", "text 51").await;
    drop(subject);
    let all = files(&world.path(), |path| !path.ends_with("lock") && !path.ends_with("probe"));
    let image = world.folder.path().join("image");
    let mut random = crash::Random(11);
    for round in 0..150_u64 {
        let _ = fs::remove_dir_all(&image);
        crash::copy_folder(&world.path(), &image);
        let file = &all[random.below(all.len() as u64) as usize];
        let file = image.join(file.strip_prefix(world.path()).unwrap());
        let bytes = fs::read(&file).unwrap();
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if length == 0 {
            continue;
        }
        let at = random.below(length as u64) as usize;
        change(&file, |bytes| bytes[at] ^= 1 << (round % 8));
        let place = format!("{} at {at}", file.display());
        match Subject::open(&image, world.options.clone()) {
            Err(error) => assert!(
                matches!(error.kind(), DiskErrorKind::Corrupt | DiskErrorKind::NewerFormat),
                "{place}: {error}"
            ),
            Ok(subject) => match subject
                .engine
                .locate(Locate { channel: name("a"), history: HISTORY, since: None })
                .await
            {
                Err(error) => assert_eq!(disk_error(&error).kind(), DiskErrorKind::Corrupt, "{place}"),
                Ok(located) if located.position != newest => {
                    assert_ne!(located.position.epoch, newest.epoch, "{place}: something is lost in silence");
                }
                Ok(_) => match subject.try_page("a", None).await {
                    Err(error) => assert_eq!(disk_error(&error).kind(), DiskErrorKind::Corrupt, "{place}"),
                    Ok(page) => {
                        let texts: Vec<String> = page.unwrap().publications.iter().map(text).collect();
                        let expected: Vec<String> = (1..=51).map(|number| format!("text {number}")).collect();
                        assert!(expected.ends_with(&texts), "{place}: {texts:?}");
                        let before = Position { offset: 51 - texts.len() as u64, ..newest.clone() };
                        let located =
                            subject.locate("a", Some(Position { offset: 0, ..newest.clone() })).await;
                        assert_eq!(located.position, before, "{place}: no loss in silence");
                    }
                },
            },
        }
    }
}
