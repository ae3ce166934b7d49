//! The promises of `Nodes`.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{Node, WHILE, nodes, report, stays, until, until_answered};
use crate::engine::{Engine, NODE_EXPIRY, NodeId, NodeReport};

pub(super) async fn check<E: Engine>(make: &impl AsyncFn(usize) -> Vec<E>) {
    no_node_has_the_id_of_another(make).await;
    living_nodes_are_listed_with_their_last_reports(make).await;
    messages_arrive_in_the_order_of_the_calls_each_once(&nodes(make).await).await;
    a_message_to_one_node_arrives_there_alone(&nodes(make).await).await;
    a_node_without_reports_is_not_listed_until_it_reports_again(nodes(make).await).await;
}

async fn no_node_has_the_id_of_another<E: Engine>(make: &impl AsyncFn(usize) -> Vec<E>) {
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let nodes: [_; 3] = nodes(make).await;
        for node in &nodes {
            assert!(ids.insert(node.nodes().own()), "no other node has ever had it");
            assert!(ids.contains(&node.nodes().own()), "it never changes");
        }
    }
}

async fn list<E: Engine>(node: &Node<E>) -> Vec<(NodeId, NodeReport)> {
    let nodes = node.nodes().list().await.expect("the engine works");
    nodes.into_iter().map(|node| (node.id, node.report)).collect()
}

async fn living_nodes_are_listed_with_their_last_reports<E: Engine>(make: &impl AsyncFn(usize) -> Vec<E>) {
    let mut nodes = Vec::new();
    for engine in make(3).await {
        nodes.push(Node::start(engine).await);
    }
    let mut expected = Vec::new();
    for (node, number) in nodes.iter().zip(1..) {
        let ids: Vec<_> = list(node).await.into_iter().map(|(id, _)| id).collect();
        assert!(!ids.contains(&node.nodes().own()), "not before its first report");
        let mut report = report(&format!("node {number} \"ä\""));
        for sessions in [number, number * 1000] {
            report.sessions = sessions;
            (report.channels, report.is_stopping) = (number * 7, number == 2);
            node.nodes().report(report.clone()).await.expect("the engine works");
        }
        expected.push((node.nodes().own(), report));
    }
    expected.sort_by_key(|(id, _)| *id);
    for node in &nodes {
        assert_eq!(list(node).await, expected, "the last reports, in the order of the ids");
    }
}

fn sent(number: usize) -> Bytes {
    Bytes::from(number.to_string())
}

/// The messages that have arrived at a node from another one.
fn from<E: Engine>(node: &Node<E>, sender: &Node<E>) -> Vec<Bytes> {
    let messages = node.arrived.messages.lock();
    let of_sender = messages.iter().filter(|(from, _)| *from == sender.nodes().own());
    of_sender.map(|(_, message)| message.clone()).collect()
}

async fn messages_arrive_in_the_order_of_the_calls_each_once<E: Engine>(nodes: &[Node<E>; 3]) {
    let [one, two, three] = nodes;
    // Without a wait for answers.
    let calls = (0..50).flat_map(|number| {
        let to_three = (number % 2 == 0).then(|| three.nodes().own());
        [one.nodes().send(to_three, sent(number)), two.nodes().send(None, sent(1000 + number))]
    });
    for answer in join_all(calls.collect::<Vec<_>>()).await {
        answer.expect("the engine works");
    }
    let counts = || nodes.each_ref().map(|node| node.arrived.messages.lock().len());
    until("every message arrives", || counts().iter().zip([50, 25, 100]).all(|(seen, sent)| *seen >= sent))
        .await;
    let of_two: Vec<_> = (1000..1050).map(sent).collect();
    assert_eq!(
        from(three, one),
        (0..50).map(sent).collect::<Vec<_>>(),
        "in the order of the calls, each once"
    );
    assert_eq!(from(three, two), of_two, "in the order of the calls, each once");
    assert_eq!(from(one, two), of_two, "in the order of the calls, each once");
    let to_all = (0..50).filter(|number| number % 2 == 1).map(sent);
    assert_eq!(from(two, one), to_all.collect::<Vec<_>>(), "in the order of the calls, each once");
    stays("no message arrives twice, or at its sender", WHILE, || counts() == [50, 25, 100]).await;
}

async fn a_message_to_one_node_arrives_there_alone<E: Engine>([one, two, three]: &[Node<E>; 3]) {
    let message = Bytes::from_static(b"\0\xff\r\nany bytes");
    one.nodes().send(Some(three.nodes().own()), message.clone()).await.expect("the engine works");
    until("it arrives", || !three.arrived.messages.lock().is_empty()).await;
    assert_eq!(*three.arrived.messages.lock(), [(one.nodes().own(), message)]);
    stays("no other node gets it", WHILE, || two.arrived.messages.lock().is_empty()).await;
    let gone = NodeId::from_number(1);
    one.nodes().send(Some(gone), Bytes::new()).await.expect("a node that is gone is no failure");
}

async fn a_node_without_reports_is_not_listed_until_it_reports_again<E: Engine>(
    [one, mut other]: [Node<E>; 2],
) {
    let ids = async || -> BTreeSet<NodeId> { list(&one).await.into_iter().map(|(id, _)| id).collect() };
    let (own, others) = (one.nodes().own(), other.nodes().own());
    other.fall_silent();
    // The last report may be two seconds old.
    let end = Instant::now() + NODE_EXPIRY - Duration::from_secs(4);
    while Instant::now() < end {
        assert_eq!(ids().await, BTreeSet::from([own, others]), "both are alive");
        sleep(Duration::from_millis(500)).await;
    }
    until_answered("a dead node is not listed", async || ids().await == BTreeSet::from([own])).await;
    other.report_on().await;
    until_answered("it is alive again", async || ids().await == BTreeSet::from([own, others])).await;
}
