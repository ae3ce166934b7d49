//! Dropped futures leave nothing behind: not in a `select!` loop, however often it iterates.

use std::pin::pin;
use std::task::{Context, Wake, Waker};

use super::*;

const ROUNDS: usize = 100_000;

/// A waker that wakes nothing, and counts its clones.
struct Witness;

impl Wake for Witness {
    fn wake(self: Arc<Self>) {}
}

/// Begins a future again and again, and drops it each time.
fn give_up<F: Future>(make: impl Fn() -> F) {
    let witness = Arc::new(Witness);
    let waker = Waker::from(Arc::clone(&witness));
    for _ in 0..ROUNDS {
        let future = pin!(make());
        assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waker);
    assert!(Arc::strong_count(&witness) <= 2, "{} wakers are left", Arc::strong_count(&witness));
}

/// How many entries the client keeps for its futures and streams.
fn kept(shared: &Shared) -> usize {
    let inner = shared.lock();
    inner.commands.len()
        + inner.subscriptions.len()
        + inner.watchers.len()
        + inner.errors.len()
        + inner.broadcasts.len()
        + inner.alarms.len()
}

#[test]
fn a_dropped_waiter_leaves_nothing_behind() {
    let Play { client, driver, .. } = Play::new(Config::default());
    let shared = driver.shared();
    give_up(|| client.connect());
    give_up(|| client.closed());
    give_up(|| client.acknowledge("a"));
    let channel = ChannelName::new("c").unwrap();
    give_up(|| client.publish_raw(channel.clone(), Payload::json("1")));
    give_up(|| client.call_raw("f", Payload::json("1")));
    give_up(|| client.presence(channel.clone()));
    give_up(|| client.presence_counts(channel.clone()));
    let history = History { channel: channel.clone(), since: None, limit: 1, reverse: false };
    give_up(|| client.history_raw(history.clone()));
    give_up(|| async { client.state_changes().next().await });
    give_up(|| async { client.errors().next().await });
    give_up(|| async { client.broadcasts().next().await });
    give_up(|| async { client.alarms().next().await });
    give_up(|| async { client.offers().next().await });
    give_up(|| async { client.call_stream_raw("f", Payload::json("1")).unwrap().next().await });
    give_up(|| async { client.subscribe_raw(channel.clone()).unwrap().next().await });
    assert!(kept(shared) <= 4, "one of each kind at most: {}", kept(shared));

    let subscription = client.subscribe_raw(channel.clone()).unwrap();
    give_up(|| async { subscription.member_changes().next().await });
    let subscription = std::cell::RefCell::new(subscription);
    #[allow(clippy::await_holding_refcell_ref, reason = "no other task uses it")]
    let ready = || async { subscription.borrow_mut().ready().await };
    give_up(ready);
}

#[test]
fn a_waiter_is_notified_of_the_end_though_others_were_dropped() {
    let Play { client, driver, .. } = Play::new(Config::default());
    let mut first = Box::pin(client.closed());
    let mut second = Box::pin(client.closed());
    assert_eq!(first.as_mut().now_or_never(), None);
    assert_eq!(second.as_mut().now_or_never(), None);
    drop(first);
    client.close(CloseCode::NORMAL, "");
    assert_eq!(second.as_mut().now_or_never(), None, "its driver is there");
    drop(driver);
    assert_eq!(second.now_or_never(), Some(()));
    assert_eq!(client.closed().now_or_never(), Some(()), "and so does a later waiter");
}
