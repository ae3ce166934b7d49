//! The keys of publishes.

use super::*;

impl Subject {
    fn window(&self) -> Duration {
        self.engine.idempotency().unwrap().window
    }

    fn stored_keys(&self) -> usize {
        let store = self.engine.shared().store().unwrap();
        store.prefix(crate::store::Space::Keys, &[]).count()
    }
}

#[tokio::test]
async fn keys_are_forgotten_after_their_time_and_not_before() {
    let world = World::new();
    let subject = world.open();
    subject.publish_with_key("a", "1", "key").await;
    world.pass(Duration::from_secs(179));
    subject.settle().await;
    assert_eq!(subject.publish_with_key("a", "2", "key").await.offset, 1);
    world.pass(Duration::from_secs(20));
    subject.settle().await;
    assert_eq!(subject.stored_keys(), 0);
    assert_eq!(subject.publish_with_key("a", "3", "key").await.offset, 2);
    assert_eq!(subject.window(), Duration::from_secs(120));
}

#[tokio::test]
async fn too_many_keys_of_a_channel_shorten_the_window_and_keep_the_scope() {
    let world = World::new().with(|options| options.channel_keys(100));
    let subject = world.open();
    let scope = subject.engine.idempotency().unwrap().scope;
    subject.publish_with_key("other", "x", "key").await;
    for number in 0..150 {
        subject.publish_with_key("a", "x", &number.to_string()).await;
        world.pass(Duration::from_millis(100));
    }
    subject.settle().await;
    assert_eq!(subject.stored_keys(), 101);
    assert_eq!(
        subject.publish_with_key("other", "x", "key").await.offset,
        1,
        "the other channel's key stays"
    );
    assert_eq!(subject.publish_with_key("a", "x", "149").await.offset, 150);
    // The key 49 was forgotten. Now it is 10.1 seconds old.
    assert_eq!(subject.window(), Duration::from_millis(5049));
    assert_eq!(subject.engine.idempotency().unwrap().scope, scope);
    drop(subject);
    let subject = world.open();
    assert_eq!(subject.window(), Duration::from_millis(5049), "a restart remembers it");
    world.pass(Duration::from_secs(30));
    assert_eq!(subject.window(), Duration::from_millis(20_049));
    world.pass(Duration::from_secs(300));
    assert_eq!(subject.publish("a", "x").await.offset, 151, "the promised time goes on");
    assert_eq!(subject.window(), Duration::from_secs(120));
}

#[tokio::test]
async fn too_many_keys_of_all_channels_forget_the_oldest() {
    let world = World::new().with(|options| options.total_keys(50));
    let subject = world.open();
    for number in 0..80 {
        subject.publish_with_key(&format!("channel:{number}"), "x", "key").await;
        world.pass(Duration::from_secs(1));
    }
    subject.settle().await;
    assert_eq!(subject.stored_keys(), 50);
    assert_eq!(subject.publish_with_key("channel:79", "x", "key").await.offset, 1);
    assert_eq!(subject.publish_with_key("channel:29", "x", "key").await.offset, 2, "its key is forgotten");
    assert!(subject.window() <= Duration::from_millis(25_500), "{:?}", subject.window());
}

#[tokio::test]
async fn keys_outlive_a_short_history() {
    let world = World::new();
    let subject = world.open();
    let short = History::new(1, Duration::from_secs(1));
    let first = subject.publishing("a", "1", "key", short).await.unwrap();
    subject.publishing("a", "2", "", short).await.unwrap();
    world.pass(Duration::from_secs(100));
    subject.settle().await;
    assert_eq!(subject.publishing("a", "3", "key", short).await.unwrap(), first);
}
