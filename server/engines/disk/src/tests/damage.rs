//! Damaged files.

use std::fs;

use super::*;
use crate::directory::{Directory, Purpose, Witness};
use crate::{DiskErrorKind, check, repair};

/// Writes another machine's start into the report of the last process.
pub(super) fn set_boot(path: &Path, boot: u64) {
    let mut directory = Directory::open(path, Purpose::Repair).unwrap();
    let witness = directory.witness().unwrap().unwrap();
    directory.set_witness(&Witness { boot, ..witness }, true).unwrap();
}

pub(super) fn open_error(world: &World) -> DiskError {
    let error = Subject::open(&world.path(), world.options.clone()).err().expect("it can't be opened");
    assert!(error.to_string().contains(&*world.path().to_string_lossy()), "names the file: {error}");
    error
}

pub(super) fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// The files below a folder with that ending of their path.
pub(super) fn files(folder: &Path, is_wanted: impl Fn(&Path) -> bool + Copy) -> Vec<PathBuf> {
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

pub(super) async fn written(world: &World) -> Position {
    let subject = world.open();
    let mut newest = Position::default();
    for number in 1..=50 {
        newest = subject.publish_with_key("a", &format!("text {number}"), &format!("key {number}")).await;
        subject.publish("b", "x").await;
    }
    newest
}

/// The paths and contents of every file.
pub(super) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> =
        files(folder, |_| true).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    all.sort();
    all
}

/// The folder of a space, after everything in memory was written into tables.
pub(super) async fn written_in_tables(world: &World) -> Position {
    let newest = written(world).await;
    let subject = world.open();
    for space in crate::store::Space::ALL {
        subject.engine.shared().store().unwrap().flush(space).unwrap();
    }
    newest
}

#[tokio::test]
async fn a_missing_file_is_named_and_nothing_is_removed() {
    let image = World::in_memory();
    let newest = written_in_tables(&image).await;
    let mut all = vec![PathBuf::from("format"), "store/version".into(), "store/0.jnl".into()];
    all.extend(
        files(&image.path().join("store/keyspaces"), |_| true)
            .into_iter()
            .map(|path| path.strip_prefix(image.path()).unwrap().to_owned()),
    );
    all.extend((0..=6).map(|keyspace| PathBuf::from(format!("store/keyspaces/{keyspace}"))));
    let mut refused = 0;
    for file in all {
        let world = World::in_memory();
        crash::copy_folder(&image.path(), &world.path());
        let path = world.path().join(&file);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let before = contents(&world.path());
        let report = check(world.path()).unwrap();
        assert_eq!(contents(&world.path()), before, "{file:?}: the check changes nothing");
        if report.is_in_order() {
            // An old list that the storage has not removed yet.
            assert!(file.file_name().unwrap().to_string_lossy().starts_with('v'), "{file:?}");
            assert_eq!(world.open().offsets("a").await.len(), 50);
            continue;
        }
        refused += 1;
        let error = open_error(&world);
        assert_eq!(error.kind(), DiskErrorKind::Corrupt, "{file:?}");
        if file != Path::new("store/0.jnl") {
            let name = file.file_name().unwrap().to_string_lossy();
            assert!(error.to_string().contains(&*name), "{file:?}: {error}");
        }
        let after: Vec<_> =
            contents(&world.path()).into_iter().filter(|(path, _)| !path.ends_with("lock")).collect();
        let before: Vec<_> = before.into_iter().filter(|(path, _)| !path.ends_with("lock")).collect();
        assert_eq!(after, before, "{file:?}: the start changes nothing");

        let report = repair(world.path()).unwrap();
        assert!(!report.problems.is_empty(), "{file:?}");
        let report = check(world.path()).unwrap();
        assert!(report.is_in_order(), "{file:?}: {:?}", report.problems);
        let subject = world.open();
        let located = subject.locate("a", Some(newest.clone())).await;
        let is_whole = subject.history("a").await.len() == 50;
        assert!(is_whole || !located.complete, "{file:?}");
        subject.publish("a", "x").await;
    }
    assert!(refused > 20, "{refused}");
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
        assert!(!check(world.path()).unwrap().is_in_order());
        let report = repair(world.path()).unwrap();
        assert!(report.all_epochs_changed);
        assert!(check(world.path()).unwrap().is_in_order());
        world.open();
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
    assert_eq!(report.problems[0].path, journal, "{:?}", report.problems);

    let report = repair(world.path()).unwrap();
    assert!(report.all_epochs_changed);
    assert!(report.kept.unwrap().join("store/0.jnl").is_file(), "the damaged file is kept");
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
    assert!(report.problems.iter().any(|problem| problem.path == tables[0]), "{:?}", report.problems);
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
    let [lost] = report.lost.as_slice() else { panic!("{:?}", report.lost) };
    assert_eq!(lost.channel, name("a"));
    assert!(!report.all_epochs_changed);
    assert!(check(world.path()).unwrap().is_in_order());
    let subject = world.open();
    assert!(subject.locate("quiet", Some(quiet)).await.complete);
    let offsets = subject.offsets("a").await;
    assert_eq!(lost.publications, 200 - offsets.len() as u64);
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
async fn the_first_records_are_written_again() {
    let world = World::new();
    let newest = written(&world).await;
    // The first batch has the records `format` and `scope`.
    change(&world.path().join("store/0.jnl"), |bytes| bytes[0] ^= 1);
    assert_eq!(open_error(&world).kind(), DiskErrorKind::Corrupt);
    let report = check(world.path()).unwrap();
    assert!(
        report.problems.iter().any(|it| it.description.contains("`format` is missing")),
        "{:?}",
        report.problems
    );
    assert!(repair(world.path()).unwrap().all_epochs_changed);
    assert!(check(world.path()).unwrap().is_in_order());
    let subject = world.open();
    assert_eq!(subject.offsets("a").await.len(), 50);
    assert!(!subject.locate("a", Some(newest)).await.complete);
}

#[tokio::test]
async fn a_table_that_can_not_be_opened_is_named_and_the_rest_is_kept() {
    for end in [1, 20, 200] {
        let world = World::in_memory();
        let newest = written_in_tables(&world).await;
        let folder = world.path().join("store/keyspaces/3");
        let tables = files(&folder, |path| path.parent().is_some_and(|parent| parent.ends_with("tables")));
        let [table] = tables.as_slice() else { panic!("{tables:?}") };
        change(table, |bytes| {
            let length = bytes.len() - end;
            bytes.truncate(length);
        });
        let error = open_error(&world);
        assert_eq!(error.kind(), DiskErrorKind::Corrupt);
        assert!(error.to_string().contains(&*table.to_string_lossy()), "{error}");
        let report = check(world.path()).unwrap();
        assert_eq!(report.problems[0].path, *table, "{:?}", report.problems);
        assert_eq!((report.channels, report.keys), (2, 50), "they are in other tables");

        let report = repair(world.path()).unwrap();
        assert!(report.all_epochs_changed);
        assert!(report.lost.is_empty(), "the journal has it, too: {:?}", report.lost);
        let report = check(world.path()).unwrap();
        assert!(report.is_in_order(), "{:?}", report.problems);
        assert_eq!((report.channels, report.keys), (2, 50));
        let subject = world.open();
        assert_eq!(subject.offsets("a").await.len(), 50);
        assert!(!subject.locate("a", Some(newest.clone())).await.complete);
        assert_ne!(subject.publish("a", "x").await.epoch, newest.epoch);
    }
}

#[tokio::test]
async fn without_the_report_of_the_last_process_the_epochs_change() {
    let world = World::new();
    let newest = written(&world).await;
    fs::remove_file(world.path().join("synced")).unwrap();
    let subject = world.open();
    assert_eq!(subject.offsets("a").await.len(), 50);
    assert!(!subject.locate("a", Some(newest)).await.complete);
}

#[tokio::test]
async fn any_damaged_byte_is_an_error_or_loses_nothing() {
    let world = World::in_memory();
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
            Err(error) if error.kind() == DiskErrorKind::NewerFormat => {}
            Err(error) => {
                assert_eq!(error.kind(), DiskErrorKind::Corrupt, "{place}: {error}");
                // A repair takes its time.
                if round % 4 > 0 {
                    continue;
                }
                assert!(!check(&image).unwrap().is_in_order(), "{place}");
                repair(&image).unwrap_or_else(|error| panic!("{place}: {error}"));
                let report = check(&image).unwrap();
                assert!(report.is_in_order(), "{place}: {:?}", report.problems);
                let subject = Subject::open(&image, world.options.clone()).unwrap();
                let located = subject.locate("a", Some(newest.clone())).await;
                let count = subject.history("a").await.len();
                assert!(!located.complete || count == 51, "{place}: {count} in the same epoch");
            }
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

#[tokio::test]
async fn the_first_readable_publications_remain_if_the_newest_are_damaged() {
    let world = World::new();
    let newest = written(&world).await;
    let subject = world.open();
    let store = subject.engine.shared().store().unwrap();
    let header = crate::writer::read_header(&store, Path::new("")).unwrap();
    let state = subject.state("a").unwrap();
    drop(store);
    drop(subject);
    let store = crate::store::Store::open(&world.path().join("store"), &world.options).unwrap();
    let mut changes = crate::store::Changes::default();
    let key = crate::record::run_key(state.id, 49);
    changes.put(crate::store::Space::Publications, key, b"damaged");
    changes.remove(crate::store::Space::Publications, crate::record::run_key(state.id, 50));
    let header = crate::record::Header { batch: header.batch + 10, ..header };
    store.commit(&header, &changes, true).unwrap();
    drop(store);

    let report = repair(world.path()).unwrap();
    assert_eq!(report.lost.len(), 1);
    assert_eq!(report.lost[0].publications, 2);
    assert!(!report.all_epochs_changed);
    let subject = world.open();
    assert_eq!(subject.offsets("a").await, (1..=48).collect::<Vec<_>>());
    assert!(!subject.locate("a", Some(newest.clone())).await.complete);
    let next = subject.publish("a", "x").await;
    assert_eq!(next.offset, 49);
    assert_ne!(next.epoch, newest.epoch);
    assert_eq!(subject.offsets("a").await, (1..=49).collect::<Vec<_>>());
}
