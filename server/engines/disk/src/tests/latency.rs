//! The time until an answer while the disk is at work.

use std::sync::mpsc;
use std::time::Instant;

use super::*;
use crate::Durability;

/// A measurement for people: `cargo test -p wirehub-disk latency -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, without a verdict"]
async fn the_time_of_answers_with_an_interval() {
    for (publishers, bytes) in [(1, 200), (64, 1000), (64, 8000)] {
        // On a real disk: the folder for temporary files may be in memory.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let world = World { folder, ..World::new() }
            .with(|it| it.durability(Durability::Interval(Duration::from_millis(100))));
        let subject = world.open();
        let text = "x".repeat(bytes);
        let (begin, publish) = (Instant::now(), async |publisher: usize| {
            let (channel, mut times) = (format!("channel:{publisher}"), Vec::new());
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(8) {
                let sent = Instant::now();
                subject.publish(&channel, &text).await;
                times.push(sent.elapsed());
            }
            times
        });
        let times = futures_util::future::join_all((0..publishers).map(&publish)).await;
        let mut times = times.concat();
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "{publishers} publishers, {bytes} bytes: {:.0} answers/s; p50 {:?}, p99 {:?}, p99.9 {:?}, p99.99 {:?}, longest {:?}; \
             {:?}",
            times.len() as f64 / begin.elapsed().as_secs_f64(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999),
            at(1.0),
            subject
                .engine
                .metrics()
                .iter()
                .filter(|it| it.name.starts_with("sync"))
                .map(|it| it.value)
                .collect::<Vec<_>>(),
        );
    }
}

/// A disk whose synchronisations wait for the test.
struct SlowDisk {
    began: mpsc::Receiver<()>,
    release: mpsc::Sender<std::io::Result<()>>,
}

impl SlowDisk {
    fn new(interval: Duration) -> (World, Self) {
        let (tell, began) = mpsc::channel();
        let (release, orders) = mpsc::channel();
        let (tell, orders) = (Mutex::new(tell), Mutex::new(orders));
        let world = World::new().with(|options| {
            options.durability(Durability::Interval(interval)).before_sync(move || {
                let _ = tell.lock().send(());
                // Without the test every one succeeds at once, and after its failure soon.
                orders.lock().recv_timeout(Duration::from_secs(10)).unwrap_or(Ok(()))
            })
        });
        (world, Self { began, release })
    }
}

#[tokio::test]
async fn publishes_are_answered_during_a_sync() {
    // The sync begins after half of it.
    let interval = Duration::from_secs(4);
    let (world, disk) = SlowDisk::new(interval);
    let subject = world.open();
    let began = Instant::now();
    subject.publish("a", "before").await;
    disk.began.recv().unwrap();
    let synced = subject.engine.shared().synced.load(Ordering::SeqCst);
    for number in 0..10 {
        subject.publish("a", &number.to_string()).await;
    }
    assert!(began.elapsed() < interval, "the machine is too slow for this test");
    assert_eq!(subject.engine.shared().synced.load(Ordering::SeqCst), synced, "the sync is not finished");
    assert!(subject.figure("unsynced_bytes") > 0.0);
    disk.release.send(Ok(())).unwrap();
    while subject.engine.shared().synced.load(Ordering::SeqCst) == synced {
        tokio::task::yield_now().await;
    }
    assert!(subject.figure("unsynced_bytes") > 0.0, "the later ones are not on the disk");
    drop(disk);
}

#[tokio::test]
async fn publishes_wait_while_acknowledged_ones_are_older_than_the_interval() {
    let interval = Duration::from_millis(50);
    let (world, disk) = SlowDisk::new(interval);
    let subject = world.open();
    subject.publish("a", "before").await;
    disk.began.recv().unwrap();
    while subject.figure("unsynced_seconds") < interval.as_secs_f64() {
        tokio::task::yield_now().await;
    }
    let released = Arc::new(AtomicBool::new(false));
    let later = subject.publishing("a", "later", "", HISTORY);
    let releasing = Arc::clone(&released);
    let thread = std::thread::spawn(move || {
        // A wrong answer would come within this time.
        std::thread::sleep(Duration::from_millis(100));
        releasing.store(true, Ordering::SeqCst);
        disk.release.send(Ok(())).unwrap();
        drop(disk);
    });
    assert_eq!(later.await.unwrap().unwrap().offset, 2);
    assert!(released.load(Ordering::SeqCst), "it was answered while the sync was late");
    thread.join().unwrap();
}

#[tokio::test]
async fn a_failed_sync_is_repeated_and_loses_nothing() {
    let (world, disk) = SlowDisk::new(Duration::from_millis(20));
    let subject = world.open();
    let mut accepted = vec![subject.publish("a", "before").await.offset];
    disk.began.recv().unwrap();
    let SlowDisk { began, release } = disk;
    release.send(Err(std::io::Error::other("a broken disk"))).unwrap();
    drop(release);
    // It is repeated after the store was opened again.
    while began.try_recv().is_err() {
        match subject.publishing("a", "x", "", HISTORY).await {
            Ok(position) => accepted.push(position.unwrap().offset),
            Err(error) => {
                assert!(disk_error(&error).is_temporary(), "{error:?}");
                assert!(error.to_string().contains("broken disk"), "{error}");
            }
        }
    }
    accepted.push(subject.publish("a", "after").await.offset);
    assert!(subject.engine.ready().is_ok());
    assert_eq!(accepted, (1..=accepted.len() as u64).collect::<Vec<_>>());
    while subject.figure("unsynced_bytes") > 0.0 {
        tokio::task::yield_now().await;
    }
    drop(subject);
    assert_eq!(world.open().offsets("a").await, accepted);
}
