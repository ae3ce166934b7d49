//! Publications of several nodes.

use futures_util::future::join_all;
use wirehub_common::frame::Position;

use super::{Node, message, nodes, until};
use crate::engine::{Engine, Located};

pub(super) async fn check<E: Engine>(make: &impl AsyncFn(usize) -> Vec<E>) {
    every_node_gets_the_same_publications_in_the_same_order(&nodes(make).await).await;
    an_answered_publish_arrives_at_its_own_hub(&nodes(make).await).await;
    the_history_is_that_of_the_store(&nodes(make).await).await;
    a_repeat_at_another_node_is_not_published_again(&nodes(make).await).await;
    every_node_gets_each_publication_of_a_channel_without_history_once(&nodes(make).await).await;
    publishers_at_all_nodes_leave_no_gaps(&nodes(make).await).await;
}

async fn attach_all<E: Engine>(nodes: &[Node<E>], channel: &str) {
    for node in nodes {
        if node.engine.attachments().is_some() {
            node.attach(channel).await;
        }
    }
}

async fn every_node_gets_the_same_publications_in_the_same_order<E: Engine>(nodes: &[Node<E>; 3]) {
    attach_all(nodes, "a").await;
    for (number, node) in (1..=9).zip(nodes.iter().cycle()) {
        assert_eq!(node.publish("a", number, "").await.offset, number, "the offsets are those of the store");
    }
    let expected: Vec<_> = (1..=9).map(|number| (number, number)).collect();
    for node in nodes {
        until("every node gets every publication", || node.delivered_in("a").len() >= 9).await;
        assert_eq!(node.delivered_in("a"), expected, "in the order of the offsets, each once");
    }
    let epochs = nodes.iter().map(|node| node.arrived.publications.lock()[0].1.clone());
    let epochs: Vec<_> = epochs.collect();
    assert!(epochs.iter().all(|epoch| !epoch.is_empty() && *epoch == epochs[0]), "one epoch: {epochs:?}");
}

async fn an_answered_publish_arrives_at_its_own_hub<E: Engine>(nodes: &[Node<E>; 2]) {
    attach_all(nodes, "a").await;
    for (number, node) in (1..=10).zip(nodes.iter().cycle()) {
        let position = node.publish("a", number, "").await;
        let delivered = Some((position.offset, number));
        until("it arrives at its own hub", || node.delivered_in("a").last().copied() == delivered).await;
    }
}

async fn the_history_is_that_of_the_store<E: Engine>([one, other]: &[Node<E>; 2]) {
    let start = other.locate("a", None).await;
    let mut newest = Position::default();
    for number in 1..=7 {
        newest = one.publish("a", number, "").await;
        assert_eq!(other.kept("a").await.last(), Some(&number), "an answered publish is in the history");
    }
    assert_eq!(other.kept("a").await, [3, 4, 5, 6, 7]);
    let since = Position { offset: 4, epoch: newest.epoch.clone() };
    let located = other.locate("a", Some(since.clone())).await;
    assert_eq!(located, Located { position: since, newest: 7, complete: true });
    assert!(!other.locate("a", Some(start.position)).await.complete, "some are gone");
}

async fn a_repeat_at_another_node_is_not_published_again<E: Engine>(nodes: &[Node<E>; 2]) {
    let [one, other] = nodes;
    let scope = |node: &Node<E>| node.engine.idempotency().map(|memory| memory.scope);
    assert_eq!(scope(one), scope(other), "the keys are those of the store");
    if scope(one).is_none() {
        return;
    }
    attach_all(nodes, "a").await;
    let first = one.publish("a", 1, "key").await;
    assert_eq!(other.publish("a", 2, "key").await, first, "the first one's answer");
    assert_eq!(other.publish("a", 3, "").await.offset, 2);
    for node in nodes {
        until("it arrives", || node.delivered_in("a").len() >= 2).await;
        assert_eq!(node.delivered_in("a"), [(1, 1), (2, 3)], "it is delivered once");
    }
}

async fn every_node_gets_each_publication_of_a_channel_without_history_once<E: Engine>(nodes: &[Node<E>; 3]) {
    attach_all(nodes, "a").await;
    // Without a wait for answers: the order of each caller's calls is kept.
    let publishes = (0..60).zip(nodes.iter().cycle()).map(|(number, node)| node.tell("a", number));
    for answer in join_all(publishes.collect::<Vec<_>>()).await {
        assert_eq!(answer.expect("the engine works"), None);
    }
    for node in nodes {
        until("every node gets every publication", || node.heard_in("a").len() >= 60).await;
        let heard = node.heard_in("a");
        for publisher in 0..3 {
            let own: Vec<u64> = heard.iter().copied().filter(|number| number % 3 == publisher).collect();
            let expected: Vec<u64> = (0..60).filter(|number| number % 3 == publisher).collect();
            assert_eq!(own, expected, "in the order of its publisher, each once");
        }
    }
}

async fn publishers_at_all_nodes_leave_no_gaps<E: Engine>(nodes: &[Node<E>; 3]) {
    attach_all(nodes, "a").await;
    let publishers = (0..3).zip(nodes).map(|(publisher, node)| async move {
        let numbers = publisher * 100..publisher * 100 + 30;
        let answers: Vec<_> = numbers.map(|number| node.engine.publish(message("a", number, ""))).collect();
        for answer in join_all(answers).await {
            answer.expect("the engine works");
        }
    });
    join_all(publishers).await;
    for node in nodes {
        until("every node gets every publication", || node.delivered_in("a").len() >= 90).await;
        let delivered = node.delivered_in("a");
        let offsets: Vec<u64> = delivered.iter().map(|&(offset, _)| offset).collect();
        assert_eq!(offsets, (1..=90).collect::<Vec<_>>(), "in the order of the offsets, each once");
        for publisher in 0..3 {
            let own = delivered.iter().map(|&(_, number)| number).filter(|number| number / 100 == publisher);
            let expected = publisher * 100..publisher * 100 + 30;
            assert!(own.eq(expected), "in the order of its publisher");
        }
    }
}
