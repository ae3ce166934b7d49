//! The promises of `Attachments`.

use tokio::time::{Instant, sleep};
use wirehub_common::frame::Position;

use super::{DEADLINE, Node, WHILE, name, nodes, stays, until};
use crate::engine::Engine;

pub(super) async fn check<E: Engine>(make: &impl AsyncFn(usize) -> Vec<E>) {
    everything_behind_the_answer_of_attach_is_delivered(&nodes(make).await).await;
    a_channel_that_is_not_attached_is_not_delivered(&nodes(make).await).await;
    calls_for_a_channel_take_effect_in_their_order(&nodes(make).await).await;
    a_probe_comes_back_to_its_own_hub(&nodes(make).await).await;
    a_renewed_connection_has_the_attached_channels(&nodes(make).await).await;
    the_newest_positions_are_those_of_the_store(&nodes(make).await).await;
    a_store_that_is_behind_begins_a_new_epoch(&nodes(make).await).await;
}

async fn everything_behind_the_answer_of_attach_is_delivered<E: Engine>([one, other]: &[Node<E>; 2]) {
    for round in 0..10 {
        let channel = format!("a{round}");
        one.attach(&channel).await;
        for number in 1..=3 {
            other.tell(&channel, number).await.expect("the engine works");
        }
        let what = "everything behind the answer of attach is delivered";
        until(what, || one.heard_in(&channel).len() >= 3).await;
        assert_eq!(one.heard_in(&channel), [1, 2, 3]);
    }
}

async fn a_channel_that_is_not_attached_is_not_delivered<E: Engine>([one, other]: &[Node<E>; 2]) {
    one.attach("a").await;
    other.attach("b").await;
    for number in 1..=3 {
        other.publish("a", number, "").await;
        one.publish("b", number, "").await;
    }
    for (node, attached, not) in [(one, "a", "b"), (other, "b", "a")] {
        until("the attached channel is delivered", || node.heard_in(attached).len() == 3).await;
        stays("the other channel is not attached", WHILE, || node.heard_in(not).is_empty()).await;
    }
    one.attachments().detach(&name("a"));
    let deadline = Instant::now() + DEADLINE;
    for number in 4.. {
        other.tell("a", number).await.expect("the engine works");
        sleep(WHILE).await;
        if !one.heard_in("a").contains(&number) {
            break;
        }
        // The call takes effect some time later.
        assert!(Instant::now() < deadline, "a detached channel is no longer delivered");
    }
}

async fn calls_for_a_channel_take_effect_in_their_order<E: Engine>([one, other]: &[Node<E>; 2]) {
    let attachments = one.attachments();
    for round in 1..=10 {
        let first = attachments.attach(&name("a"));
        attachments.detach(&name("a"));
        let second = attachments.attach(&name("a"));
        drop(first);
        second.await.expect("the engine works");
        other.tell("a", round).await.expect("the engine works");
        until("it is attached again", || one.heard_in("a").last() == Some(&round)).await;
        attachments.detach(&name("a"));
    }
}

async fn a_probe_comes_back_to_its_own_hub<E: Engine>([one, other]: &[Node<E>; 2]) {
    for number in [1, 2, u64::MAX] {
        one.attachments().probe(number);
    }
    until("the probes come back", || one.arrived.probes.lock().len() >= 3).await;
    assert_eq!(*one.arrived.probes.lock(), [1, 2, u64::MAX]);
    assert!(other.arrived.probes.lock().is_empty(), "to its own hub alone");
}

async fn a_renewed_connection_has_the_attached_channels<E: Engine>([one, other]: &[Node<E>; 2]) {
    one.attach("a").await;
    other.tell("a", 1).await.expect("the engine works");
    until("it is attached", || one.heard_in("a") == [1]).await;
    one.attachments().renew().await.expect("the engine works");
    other.tell("a", 2).await.expect("the engine works");
    until("it is still attached", || one.heard_in("a") == [1, 2]).await;
}

async fn newest<E: Engine>(node: &Node<E>, seen: &[(&str, Option<Position>)]) -> Vec<Option<Position>> {
    let seen = seen.iter().map(|(channel, seen)| (name(channel), seen.clone())).collect();
    node.attachments().newest(seen).await.expect("the engine works")
}

async fn the_newest_positions_are_those_of_the_store<E: Engine>([one, other]: &[Node<E>; 2]) {
    let first = one.publish("a", 1, "").await;
    one.publish("b", 1, "").await;
    let second = other.publish("b", 2, "").await;
    let seen = [("b", Some(second.clone())), ("nothing", None), ("a", None)];
    for node in [one, other] {
        let found = newest(node, &seen).await;
        assert_eq!(found, [Some(second.clone()), None, Some(first.clone())], "in the same order");
    }
}

async fn a_store_that_is_behind_begins_a_new_epoch<E: Engine>([one, other]: &[Node<E>; 2]) {
    let last = one.publish("a", 1, "").await;
    let ahead = Position { offset: last.offset + 7, epoch: last.epoch.clone() };
    newest(other, &[("a", Some(ahead))]).await;
    let next = one.publish("a", 2, "").await;
    assert_ne!(next.epoch, last.epoch, "publications of the old epoch are lost");
    assert!(!other.locate("a", Some(last)).await.complete);
    let ahead = Position { offset: 99, epoch: "another".into() };
    newest(other, &[("a", Some(ahead))]).await;
    assert_eq!(one.publish("a", 3, "").await.epoch, next.epoch, "a position of another epoch says nothing");
}
