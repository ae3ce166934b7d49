use wirehub_common::Payload;
use wirehub_common::frame::Member;

use super::*;

/// The arrivals at a node.
#[derive(Clone, Default)]
struct Arrived(Arc<Mutex<Vec<String>>>);

impl Arrived {
    fn note(&self, what: String) {
        self.0.lock().push(what);
    }

    async fn take(&self) -> Vec<String> {
        sleep(Duration::from_millis(1)).await;
        std::mem::take(&mut *self.0.lock())
    }
}

impl DeliveryRecipient for Arrived {
    fn deliver(&self, publication: Publication, _epoch: &Epoch) {
        self.note(format!("{} {}", publication.channel, publication.offset));
    }

    fn probed(&self, number: u64) {
        self.note(format!("probe {number}"));
    }

    fn moved(&self, movement: Movement, is_join: bool) {
        self.note(format!("{} {is_join}", movement.member.user));
    }

    fn interrupted(&self) {
        self.note("interrupted".into());
    }

    fn presence_lost(&self) {
        self.note("lost".into());
    }

    fn node_message(&self, _sender: NodeId, message: Bytes) {
        self.note(String::from_utf8_lossy(&message).into());
    }
}

fn channel() -> ChannelName {
    ChannelName::new("room").unwrap()
}

fn node(fleet: &MemoryFleet) -> (MemoryNode, Arrived) {
    let (node, arrived) = (fleet.node(), Arrived::default());
    node.start(Delivery::to(arrived.clone()));
    (node, arrived)
}

fn entry(number: u8, user: &str) -> PresenceEntry {
    let session = SessionId::from_bytes([number; 16]);
    let member = Member { session: session.to_string(), user: user.into(), info: String::new() };
    PresenceEntry { grace: Some(GRACE), ..PresenceEntry::new(channel(), session, member) }
}

fn report() -> NodeReport {
    NodeReport::new("one", "1.0.0", SystemTime::UNIX_EPOCH)
}

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_publication_reaches_every_node_to_which_the_channel_is_attached() {
    let fleet = MemoryFleet::new();
    let [(one, at_one), (other, at_other), (_idle, at_idle)] = [node(&fleet), node(&fleet), node(&fleet)];
    one.attach(&channel()).await.unwrap();
    other.attach(&channel()).await.unwrap();
    let publish = |history| EnginePublish { history, ..EnginePublish::new(channel(), Payload::json("1")) };
    one.publish(publish(None)).await.unwrap();
    let first = one.publish(publish(Some(History::new(5, GRACE)))).await.unwrap();
    let second = other.publish(publish(Some(History::new(5, GRACE)))).await.unwrap();
    assert_eq!(first.map(|first| first.epoch), second.map(|second| second.epoch));
    for arrived in [at_one, at_other] {
        assert_eq!(arrived.take().await, ["room 0", "room 1", "room 2"]);
    }
    assert!(at_idle.take().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_user_joins_and_leaves_the_fleet_once() {
    let fleet = MemoryFleet::new();
    let [(one, at_one), (other, at_other)] = [node(&fleet), node(&fleet)];
    one.attach(&channel()).await.unwrap();
    one.enter(entry(1, "ann")).await.unwrap();
    other.enter(entry(2, "ann")).await.unwrap();
    other.enter(entry(2, "ann")).await.unwrap();
    assert_eq!(at_one.take().await, ["ann true"]);
    let counts = other.counts(&channel()).await.unwrap();
    assert_eq!((counts.sessions, counts.users), (2, 1));
    one.leave(entry(1, "ann")).await.unwrap();
    other.leave(entry(2, "ann")).await.unwrap();
    let page = one.members(&channel(), None, 9).await.unwrap();
    assert_eq!((page.members, page.more), (vec![entry(2, "ann").member], false));
    assert!(at_one.take().await.is_empty());
    sleep(GRACE).await;
    assert_eq!(at_one.take().await, ["ann false"]);
    assert_eq!(one.counts(&channel()).await.unwrap().sessions, 0);
    assert!(at_other.take().await.is_empty(), "it is not attached there");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_is_not_listed_and_its_sessions_leave() {
    let fleet = MemoryFleet::new();
    let [(one, at_one), (other, _)] = [node(&fleet), node(&fleet)];
    one.attach(&channel()).await.unwrap();
    other.report(report()).await.unwrap();
    other.enter(entry(2, "ann")).await.unwrap();
    assert!(other.count_session("ann", entry(2, "ann").session, 1).await.unwrap());
    other.kill();
    other.report(report()).await.unwrap_err();
    for _ in 0..7 {
        one.report(report()).await.unwrap();
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(one.list().await.unwrap().len(), 2);
    assert!(!one.count_session("ann", entry(3, "ann").session, 1).await.unwrap());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(one.list().await.unwrap().iter().map(|node| node.id).collect::<Vec<_>>(), [one.own()]);
    assert!(one.count_session("ann", entry(3, "ann").session, 1).await.unwrap());
    assert_eq!(at_one.take().await, ["ann true"], "the grace is not over");
    sleep(GRACE).await;
    assert_eq!(at_one.take().await, ["ann false"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_connection_was_cut_for_long_is_notified_of_its_lost_presence() {
    let fleet = MemoryFleet::new();
    let [(one, at_one), (other, at_other)] = [node(&fleet), node(&fleet)];
    one.enter(entry(1, "ann")).await.unwrap();
    one.cut();
    one.enter(entry(2, "bob")).await.unwrap_err();
    other.send(None, "lost".into()).await.unwrap();
    sleep(NODE_EXPIRY + GRACE).await;
    one.heal();
    other.send(Some(one.own()), "first".into()).await.unwrap();
    one.report(report()).await.unwrap();
    one.send(None, "to the other".into()).await.unwrap();
    one.probe(7);
    assert_eq!(at_one.take().await, ["interrupted", "first", "lost", "probe 7"]);
    assert_eq!(at_other.take().await, ["to the other"]);
    assert_eq!(one.counts(&channel()).await.unwrap().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_ends_at_once() {
    let fleet = MemoryFleet::new();
    let [(one, _), (other, _)] = [node(&fleet), node(&fleet)];
    for node in [&one, &other] {
        node.report(report()).await.unwrap();
    }
    one.stop().await.unwrap();
    assert_eq!(other.list().await.unwrap().iter().map(|node| node.id).collect::<Vec<_>>(), [other.own()]);
}
