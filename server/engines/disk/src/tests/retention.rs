//! Retention, and the bounds of memory.

use super::*;

fn history(size: usize, seconds: u64, bytes: usize) -> History {
    History::new(size, Duration::from_secs(seconds)).with_bytes(bytes)
}

#[tokio::test]
async fn history_is_trimmed_by_number_and_disappears_from_the_disk() {
    for cache in [0, 1 << 20] {
        let world = World::new().with(|options| options.cache_bytes(cache));
        let subject = world.open();
        for number in 1..=100 {
            subject.publishing("a", &number.to_string(), "", history(10, 3600, 1000)).await.unwrap();
        }
        assert_eq!(subject.offsets("a").await, (91..=100).collect::<Vec<_>>());
        subject.tidy_up(&world).await;
        assert_eq!(subject.stored(), 10);
        // Many at once.
        let answers: Vec<_> =
            (0..500).map(|_| subject.publishing("a", "x", "", history(10, 3600, 1000))).collect();
        for answer in answers {
            answer.await.unwrap();
        }
        assert_eq!(subject.offsets("a").await, (591..=600).collect::<Vec<_>>());
        subject.tidy_up(&world).await;
        // A record is removed as a whole.
        assert!((10..20).contains(&subject.stored()), "{}", subject.stored());
    }
}

#[tokio::test]
async fn history_is_trimmed_by_bytes_and_keeps_the_newest() {
    for cache in [0, 1 << 20] {
        let world = World::new().with(|options| options.cache_bytes(cache));
        let subject = world.open();
        for _ in 1..=20 {
            subject.publishing("a", "ten bytes.", "", history(1000, 3600, 55)).await.unwrap();
        }
        assert_eq!(subject.offsets("a").await, (16..=20).collect::<Vec<_>>());
        subject.publishing("a", &"x".repeat(100), "", history(1000, 3600, 55)).await.unwrap();
        assert_eq!(subject.offsets("a").await, [21]);
    }
}

#[tokio::test]
async fn history_is_trimmed_by_age_at_the_moment_of_reading() {
    for forgets in [false, true] {
        let world = World::new();
        let subject = world.open();
        for _ in 1..=300 {
            subject.publishing("a", "x", "", history(1000, 100, 1000)).await.unwrap();
            world.pass(Duration::from_secs(1));
        }
        if forgets {
            subject.forget_memory().await;
        }
        // The publication of second n expires at n + 100. It is second 300 now, counted from 0.
        assert_eq!(subject.offsets("a").await, (202..=300).collect::<Vec<_>>());
        let epoch = subject.locate("a", None).await.position.epoch;
        let at = |offset| Some(Position { offset, epoch: epoch.clone() });
        assert!(subject.locate("a", at(201)).await.complete);
        let late = subject.locate("a", at(200)).await;
        assert_eq!((late.complete, late.position.offset), (false, 201));
        world.pass(Duration::from_secs(3600));
        assert_eq!(subject.offsets("a").await, [0; 0]);
        assert!(subject.locate("a", at(300)).await.complete, "nothing is missing behind the newest");
        let next = subject.publish("a", "x").await;
        assert_eq!((next.offset, next.epoch), (301, epoch));
    }
}

#[tokio::test]
async fn unneeded_channels_are_removed_and_wanted_ones_stay() {
    for is_wanted in [false, true] {
        let world = World::new();
        let subject = world.open();
        subject.recorder.has_subscribers.store(is_wanted, Ordering::SeqCst);
        let position = subject.publish_with_key("a", "x", "key").await;
        subject.locate("b", None).await;
        world.pass(Duration::from_secs(3 * 3600));
        subject.tidy_up(&world).await;
        assert_eq!(subject.stored(), 0);
        assert_eq!(subject.state("a").is_some(), is_wanted);
        assert_eq!(subject.state("b").is_some(), is_wanted);
        let located = subject.locate("a", Some(position)).await;
        assert_eq!(located.complete, is_wanted, "{located:?}");
    }
}

#[tokio::test]
async fn memory_is_bounded_with_many_channels() {
    let world = World::new().with(|options| options.cache_bytes(400_000));
    let subject = world.open();
    let mut answers = Vec::new();
    for number in 0..3000 {
        answers.push(subject.publishing(&format!("channel:{number}"), &"x".repeat(100), "", HISTORY));
        if answers.len() == 500 {
            for answer in answers.drain(..) {
                answer.await.unwrap();
            }
            subject.settle().await;
            assert!(subject.engine.shared().channels.cost() <= 200_000);
        }
    }
    for number in [0, 1500, 2999] {
        assert_eq!(subject.offsets(&format!("channel:{number}")).await, [1]);
    }
}

#[tokio::test]
async fn pages_from_the_disk_are_the_same_as_from_memory() {
    for are_together in [false, true] {
        let world = World::new();
        let subject = world.open();
        let mut epoch = String::new();
        let mut publishing = Vec::new();
        for number in 1..=40 {
            publishing.push(subject.publishing("a", &number.to_string(), "", history(30, 3600, 1000)));
            // Publications that wait together share records.
            if number == 40 || !are_together {
                for publish in publishing.drain(..) {
                    epoch = publish.await.unwrap().unwrap().epoch;
                }
            }
        }
        let mut answers = Vec::new();
        for forgets in [false, true] {
            let mut pages = Vec::new();
            for since in [None, Some(5), Some(10), Some(25), Some(39), Some(40), Some(41)] {
                for (limit, bytes, reverse) in
                    [(5, 100, false), (5, 100, true), (100, 7, false), (0, 0, true), (100, 1000, true)]
                {
                    if forgets {
                        subject.engine.shared().channels.clear();
                    }
                    let since = since.map(|offset| Position { offset, epoch: epoch.clone() });
                    let read =
                        ReadHistory { channel: name("a"), history: HISTORY, since, limit, bytes, reverse };
                    pages.push(subject.engine.history(read).await.unwrap());
                }
            }
            answers.push(pages);
        }
        assert_eq!(answers[0], answers[1], "{are_together}");
    }
}

#[tokio::test]
async fn readers_see_no_gap_while_the_history_is_trimmed() {
    let world = World::new().with(|options| options.cache_bytes(0));
    let subject = world.open();
    let publishing = async {
        for _ in 0..400 {
            subject.publishing("a", "x", "", history(5, 3600, 1000)).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..400 {
            let offsets = subject.offsets("a").await;
            if let Some(first) = offsets.first() {
                assert_eq!(offsets, (*first..).take(offsets.len()).collect::<Vec<_>>());
            }
        }
    };
    futures_util::future::join(publishing, reading).await;
}
