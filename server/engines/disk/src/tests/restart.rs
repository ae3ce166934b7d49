//! Restarts, backups, and orders.

use super::*;
use crate::{DiskErrorKind, Durability};

#[tokio::test]
async fn a_restart_keeps_offsets_epochs_history_and_keys() {
    let world = World::new();
    let first = world.open();
    let mut newest = Position::default();
    for number in 1..=5 {
        newest = first.publish_with_key("a", &format!("text {number}"), &format!("key {number}")).await;
    }
    let quiet = first.locate("quiet", None).await.position;
    let before = first.engine.idempotency().unwrap();
    drop(first);

    let second = world.open();
    assert_eq!(second.history("a").await.len(), 5);
    let located = second.locate("a", Some(Position { offset: 2, ..newest.clone() })).await;
    assert!(located.complete, "{located:?}");
    assert_eq!(located.newest, 5);
    assert_eq!(
        second.publish_with_key("a", "repeat", "key 3").await,
        Position { offset: 3, ..newest.clone() }
    );
    assert_eq!(second.publish("a", "text 6").await, Position { offset: 6, ..newest });
    assert_eq!(second.delivered(), [(6, "text 6".to_owned())]);
    assert!(second.locate("quiet", Some(quiet)).await.complete, "nothing was published there");
    let after = second.engine.idempotency().unwrap();
    assert_eq!((after.scope, after.window), (before.scope, before.window));
    assert!(after.clock >= before.clock);
}

#[tokio::test]
async fn a_restart_keeps_the_parts_of_a_publication() {
    let world = World::new();
    let first = world.open();
    let mut publish = EnginePublish::new(name("a"), Payload::json("{\"a\":1}"));
    let member = wirehub_common::frame::Member { session: "s".into(), user: "u".into(), info: String::new() };
    (publish.publisher, publish.history) = (Some(member), Some(HISTORY));
    first.engine.publish(publish).await.unwrap();
    let delivered = first.recorder.delivered.lock().clone();
    drop(first);
    let page = world.open().try_page("a", None).await.unwrap().unwrap();
    assert_eq!(page.publications, delivered);
}

#[tokio::test]
async fn the_clock_never_goes_backwards() {
    let world = World::new();
    let first = world.open();
    let before = first.engine.idempotency().unwrap().clock;
    drop(first);
    world.time.store(5, Ordering::SeqCst);
    let second = world.open();
    assert!(second.engine.idempotency().unwrap().clock >= before);
}

/// Copies the files of a running engine: its process is killed at this moment.
fn kill(world: &World, subject: Subject, path: &mut PathBuf, number: u32) {
    let image = world.folder.path().join(format!("image-{number}"));
    crash::copy_folder(path, &image);
    drop(subject);
    std::fs::remove_dir_all(&path).unwrap();
    *path = image;
}

#[tokio::test]
async fn kills_in_a_loop_neither_expire_nor_double_anything() {
    let world = World::new();
    let short = History::new(1000, Duration::from_secs(60));
    let mut path = world.path();
    let mut announced = 0;
    for number in 0..40 {
        let subject = Subject::open(&path, world.options.clone()).unwrap();
        let clock = subject.engine.idempotency().unwrap().clock;
        assert!(clock >= announced, "it never goes backwards");
        let position = subject.publishing("a", "once", "key", short).await.unwrap().unwrap();
        assert_eq!(position.offset, 1, "after {number} kills");
        assert_eq!(subject.offsets("a").await, [1], "after {number} kills");
        subject.settle().await;
        announced = subject.engine.idempotency().unwrap().clock;
        let wall = world.time.load(Ordering::SeqCst);
        assert!(announced <= wall + 30_000, "{} ms ahead", announced - wall);
        kill(&world, subject, &mut path, number);
        world.pass(Duration::from_secs(1));
    }
    // The time goes on as that of the system.
    let subject = Subject::open(&path, world.options.clone()).unwrap();
    world.pass(Duration::from_secs(21));
    assert!(subject.offsets("a").await.is_empty());
    assert_eq!(subject.publishing("a", "once", "key", short).await.unwrap().unwrap().offset, 1);
    world.pass(Duration::from_secs(180));
    subject.settle().await;
    assert_eq!(subject.publishing("a", "twice", "key", short).await.unwrap().unwrap().offset, 2);
}

#[tokio::test]
async fn an_acknowledged_batch_that_is_lost_after_a_kill_changes_epochs() {
    type Damage = fn(&mut Vec<u8>, &crate::journal::Batch);
    let damages: [Damage; 4] = [
        |_, _| {},
        |bytes, last| bytes[last.start..].fill(0),
        |bytes, last| bytes.truncate(last.end - 10),
        |bytes, last| bytes[last.start + 150] ^= 1,
    ];
    for durability in [Durability::Always, Durability::Interval(Duration::from_secs(3600))] {
        for (number, damage) in damages.iter().enumerate() {
            let world = World::new().with(|options| options.durability(durability));
            let subject = world.open();
            subject.publish("a", "first").await;
            let position = subject.publish_with_key("a", "second", "key").await;
            let mut path = world.path();
            kill(&world, subject, &mut path, 0);
            let journal = path.join("store/0.jnl");
            let mut bytes = std::fs::read(&journal).unwrap();
            let last = *crate::journal::read(&bytes).batches.last().unwrap();
            damage(&mut bytes, &last);
            std::fs::write(&journal, bytes).unwrap();

            let subject = Subject::open(&path, world.options.clone()).unwrap();
            let located = subject.locate("a", Some(position.clone())).await;
            let place = format!("{durability:?}, damage {number}");
            assert_eq!(located.complete, number == 0, "{place}");
            let next = subject.publish("a", "third").await;
            assert_eq!(next.epoch == position.epoch, number == 0, "{place}");
            assert_eq!(next.offset == position.offset, number != 0, "{place}");
            drop(subject);
            let again = Subject::open(&path, world.options.clone()).unwrap();
            assert!(again.locate("a", Some(next)).await.complete, "{place}: once only");
        }
    }
}

#[tokio::test]
async fn a_dropped_answer_does_not_take_the_request_back() {
    let world = World::new();
    let first = world.open();
    for number in 0..100 {
        drop(first.publishing("a", &number.to_string(), "", HISTORY));
    }
    drop(first);
    assert_eq!(world.open().offsets("a").await, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let world = World::new().with(|options| options.queue_requests(3));
    let subject = world.open();
    let shared = Arc::clone(subject.engine.shared());
    // The writer waits for this lock at the delivery of the first one.
    let before = shared.written.load(Ordering::Relaxed);
    let delivered = subject.recorder.delivered.lock();
    let mut answers = vec![subject.publishing("a", "0", "", HISTORY)];
    while shared.written.load(Ordering::Relaxed) == before {
        std::thread::yield_now();
    }
    answers.extend((1..=5).map(|number| subject.publishing("a", &number.to_string(), "", HISTORY)));
    drop(delivered);
    let mut refused = 0;
    for answer in answers {
        if let Err(error) = answer.await {
            assert_eq!(disk_error(&error).kind(), DiskErrorKind::Overloaded);
            assert!(disk_error(&error).is_temporary());
            refused += 1;
        }
    }
    assert_eq!(refused, 2, "one is written, three wait");
    assert_eq!(subject.publish("a", "later").await.offset, 5);
}

#[tokio::test]
async fn after_a_panic_no_offset_is_used_again() {
    let world = World::new();
    let subject = world.open();
    let first = subject.publish("a", "1").await;
    subject.recorder.panics.store(true, Ordering::SeqCst);
    let error = subject.publishing("a", "2", "", HISTORY).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    let position = loop {
        match subject.publishing("a", "3", "", HISTORY).await {
            Ok(position) => break position.unwrap(),
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(position, Position { offset: 3, ..first });
    let texts: Vec<String> = subject.history("a").await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_message_without_history_never_overtakes_one_that_waits() {
    let world = World::new();
    let subject = world.open();
    let mut answers = Vec::new();
    for number in 0..200 {
        let mut publish = EnginePublish::new(name("a"), Payload::bytes(format!("{number:03}")));
        if number % 3 == 0 {
            publish.key = format!("key {number}");
        }
        answers.push(subject.engine.publish(publish));
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap(), None);
    }
    let texts: Vec<String> = subject.delivered().into_iter().map(|(_, text)| text).collect();
    assert!(texts.is_sorted(), "{texts:?}");
    assert_eq!(texts.len(), 200);
}

#[tokio::test]
async fn a_backup_of_a_running_engine_is_whole_and_has_other_epochs() {
    let world = World::new();
    let subject = world.open();
    let mut newest = Position::default();
    for number in 1..=300 {
        newest = subject.publish_with_key("a", &number.to_string(), &number.to_string()).await;
    }
    let into = world.folder.path().join("backup");
    let publishes: Vec<_> =
        (0..300).map(|number| subject.publishing("b", &number.to_string(), "", HISTORY)).collect();
    subject.engine.backup(&into).unwrap();
    for publish in publishes {
        publish.await.unwrap();
    }
    let again = subject.engine.backup(&into).unwrap_err();
    assert!(matches!(again.kind(), DiskErrorKind::Refused | DiskErrorKind::InUse), "{again}");
    drop(subject);

    let report = crate::check(&into).unwrap();
    assert!(report.is_in_order(), "{:?}", report.problems);
    assert_eq!((report.keys, report.publications >= 300), (300, true));
    let copy = Subject::open(&into, world.options.clone()).unwrap();
    assert_eq!(copy.offsets("a").await, (1..=300).collect::<Vec<_>>());
    assert!(
        !copy.locate("a", Some(newest)).await.complete,
        "clients may know newer publications than the copy"
    );
    let offsets = copy.offsets("b").await;
    assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "of one moment");
}

#[tokio::test]
async fn a_stop_of_the_machine_changes_epochs_only_if_something_may_be_lost() {
    for (durability, is_lost) in
        [(Durability::Always, false), (Durability::Interval(Duration::from_secs(3600)), true)]
    {
        let world = World::new().with(|options| options.durability(durability));
        let subject = world.open();
        let position = subject.publish("a", "text").await;
        let image = world.folder.path().join("image");
        crash::copy_folder(&world.path(), &image);
        // A stop of the process only: the operating system has everything.
        let same_boot = Subject::open(&image, world.options.clone()).unwrap();
        assert!(same_boot.locate("a", Some(position.clone())).await.complete);
        assert_eq!(same_boot.publish("a", "second").await.offset, 2);
        drop(same_boot);

        std::fs::remove_dir_all(&image).unwrap();
        crash::copy_folder(&world.path(), &image);
        damage::set_boot(&image, 12345);
        let scope = subject.engine.idempotency().unwrap().scope;
        let other_boot = Subject::open(&image, world.options.clone()).unwrap();
        assert_eq!(!other_boot.locate("a", Some(position)).await.complete, is_lost, "{durability:?}");
        assert_eq!(other_boot.engine.idempotency().unwrap().scope != scope, is_lost);
    }
}
