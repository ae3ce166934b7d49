use futures_util::{FutureExt as _, StreamExt as _};

use super::*;
use crate::Builder;
use crate::engine::MemoryFleet;
use crate::hub::sessions::Identity;
use crate::namespace::{History, Namespace, Overflow};

wirehub_common::contract! {
    contract Rooms = "rooms";
    channel Room { room } = "room:{room}": u64;
}

wirehub_common::contract! {
    contract Texts = "texts";
    channel Text { room } = "room:{room}": String;
}

fn room() -> Room {
    Room::new("1").unwrap()
}

fn hub(namespace: Namespace) -> Builder {
    Builder::open().namespace("room", namespace)
}

fn publish(hub: &Hub, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let published = hub.publish(&room(), &number).unwrap();
        published.now_or_never().unwrap().unwrap();
    }
}

/// Takes the waiting updates: numbers, and `None` for each gap.
fn come<M>(stream: &mut LocalSubscription<M>) -> Vec<Option<M>> {
    let mut updates = Vec::new();
    while let Some(update) = stream.next().now_or_never() {
        updates.push(update.unwrap().unwrap().publication().map(|publication| publication.message));
    }
    updates
}

fn some(numbers: impl IntoIterator<Item = u64>) -> Vec<Option<u64>> {
    numbers.into_iter().map(Some).collect()
}

#[tokio::test]
async fn a_program_gets_what_is_published_in_order_from_when_it_subscribes() {
    for kept in [None, Some(History::new(10, Duration::from_secs(60)))] {
        let namespace = kept.map_or_else(Namespace::default, |kept| Namespace::default().history(kept));
        let hub = hub(namespace).contract::<Rooms>().build();
        publish(&hub, [0]);
        let mut stream = hub.subscribe(&room());
        let mut raw = hub.subscribe_raw(room().name());
        assert_eq!(come(&mut stream), []);
        publish(&hub, 1..=3);
        let Some(Ok(LocalUpdate::Publication(first))) = stream.next().await else { panic!("nothing came") };
        assert_eq!((first.message, &first.channel, &first.publisher), (1, room().name(), &None));
        assert_eq!(first.offset, kept.map(|_| 2));
        assert!(first.time > Duration::from_secs(1_700_000_000), "{:?}", first.time);
        assert_eq!(come(&mut stream), some(2..=3));
        assert_eq!(come(&mut raw).len(), 3);
    }
}

#[tokio::test]
async fn a_program_that_waits_is_woken() {
    let hub = hub(Namespace::default()).build();
    let mut stream = hub.subscribe(&room());
    let waiting = tokio::spawn(async move { stream.next().await });
    tokio::task::yield_now().await;
    publish(&hub, [1]);
    let update = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(update.publication().unwrap().message, 1);
}

#[tokio::test(start_paused = true)]
async fn a_program_gets_the_messages_of_another_node() {
    let fleet = MemoryFleet::new();
    let one = hub(Namespace::default()).engine(fleet.node()).build();
    let other = hub(Namespace::default()).engine(fleet.node()).build();
    let mut stream = one.subscribe(&room());
    // The channel is attached meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.publish(&room(), &1).unwrap().await.unwrap();
    let update = stream.next().await.unwrap().unwrap();
    assert_eq!(update.publication().unwrap().message, 1);
}

#[tokio::test(start_paused = true)]
async fn a_program_whose_channel_can_not_be_attached_gets_it_later() {
    let fleet = MemoryFleet::new();
    let node = fleet.node();
    let one = hub(Namespace::default()).engine(node.clone()).build();
    let other = hub(Namespace::default()).engine(fleet.node()).build();
    node.cut();
    let mut stream = one.subscribe(&room());
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.heal();
    tokio::time::sleep(Duration::from_secs(5)).await;
    other.publish(&room(), &1).unwrap().await.unwrap();
    let update = stream.next().await.unwrap().unwrap();
    assert_eq!(update.publication().unwrap().message, 1);
}

#[tokio::test]
async fn messages_that_do_not_fit_are_a_gap_and_the_stream_goes_on() {
    let kept = History::new(1000, Duration::from_secs(60));
    for namespace in [Namespace::default(), Namespace::default().history(kept)] {
        for overflow in [Overflow::Disconnect, Overflow::DropOldest, Overflow::Latest] {
            let hub = hub(namespace.clone().overflow(overflow)).queue_bytes(2000).build();
            let mut stream = hub.subscribe(&room());
            publish(&hub, [1]);
            assert_eq!(come(&mut stream), some([1]));
            publish(&hub, 2..=200);
            let mut updates = come(&mut stream);
            assert_eq!(updates.first(), Some(&None), "{overflow:?}: the gap is before what is left");
            publish(&hub, 201..=203);
            updates.extend(come(&mut stream));
            let numbers: Vec<_> = updates.iter().copied().flatten().collect();
            assert!(numbers.is_sorted(), "{overflow:?}: {numbers:?}");
            assert_eq!(numbers.last(), Some(&203), "{overflow:?}");
            let gaps = updates.iter().filter(|update| update.is_none()).count();
            match overflow {
                Overflow::Disconnect => assert_eq!((gaps, &*numbers), (1, &[201, 202, 203][..])),
                Overflow::DropOldest => assert!(gaps == 1 && numbers.len() > 5, "{updates:?}"),
                _ => assert_eq!((gaps, &*numbers), (2, &[200, 203][..])),
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_leaves_the_channel() {
    let hub = hub(Namespace::default()).build();
    let one = hub.subscribe(&room());
    let other = hub.subscribe(&room());
    let channel = Arc::clone(&one.seat.as_ref().unwrap().channel);
    drop(one);
    assert!(!channel.is_closed());
    drop(other);
    assert!(channel.is_closed());
    publish(&hub, [1]);
    let mut later = hub.subscribe(&room());
    publish(&hub, [2]);
    assert_eq!(come(&mut later), some([2]));
}

#[tokio::test]
async fn a_program_is_no_session_of_the_channel() {
    let hub = hub(Namespace::default().join_leave(Duration::from_secs(5))).build();
    let name = room().name().clone();
    let mut stream = hub.subscribe(&room());
    let look = || {
        let members = hub.presence(&name).now_or_never().unwrap().unwrap();
        (
            hub.local_subscribers(&name),
            members.len(),
            hub.presence_counts(&name).now_or_never().unwrap().unwrap(),
        )
    };
    assert_eq!(look(), (0, 0, crate::observe::PresenceCounts::default()));
    assert_eq!((hub.local_channels(), hub.local_sessions()), (vec![], 0));

    let peer = Arc::new(Peer::new(SessionId::random().unwrap(), CODEC, None, Mailbox::new(1000)));
    peer.set_identity(Identity::named("ann", None));
    let entrant = NewSubscriber { peer: &peer, observes_members: true, is_local: false };
    let rules = hub.settings().namespaces.of(&name);
    let (channel, place) = hub.channel_registry().subscribe(&name, rules, entrant, None, false);
    let second = hub.subscribe(&room());
    assert_eq!(look(), (1, 1, crate::observe::PresenceCounts { sessions: 1, users: 1 }));
    assert_eq!(hub.local_channels(), [(name.clone(), 1)]);
    assert_eq!(hub.channels("", None, 10).await.unwrap().items[0].subscribers, 1);
    drop(second);
    assert_eq!(peer.mailbox.bytes(), 0, "a witness hears of no program");
    publish(&hub, [1]);
    assert_eq!((come(&mut stream), hub.counts().deliveries), (some([1]), 1), "one session, one delivery");
    hub.leave_channel(&channel, place, &peer, None);
    assert_eq!(hub.local_subscribers(&name), 0);
    publish(&hub, [2]);
    assert_eq!(come(&mut stream), some([2]), "the channel goes on for the program");
}

#[tokio::test]
async fn a_stream_ends_behind_what_was_published_when_the_hub_stops_or_is_gone() {
    for stops in [true, false] {
        let hub = hub(Namespace::default()).build();
        let mut stream = hub.subscribe(&room());
        publish(&hub, [1]);
        if stops {
            hub.shutdown(Duration::from_secs(1)).await;
        }
        drop(hub);
        assert_eq!(stream.next().await.unwrap().unwrap().publication().unwrap().message, 1);
        assert!(stream.next().await.is_none());
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test]
async fn a_payload_that_does_not_fit_is_an_error_and_the_stream_goes_on() {
    let hub = hub(Namespace::default()).build();
    let mut stream = hub.subscribe(&room());
    let text = Text::new("1").unwrap();
    hub.publish(&text, &"five".to_owned()).unwrap().await.unwrap();
    publish(&hub, [6]);
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), PayloadErrorKind::Decode);
    assert_eq!(come(&mut stream), some([6]));
}

#[tokio::test]
async fn a_channel_that_nobody_can_be_in_is_an_error_and_the_end() {
    let hub = hub(Namespace::default()).contract::<Rooms>().build();
    for name in [Hub::BROADCAST, "elsewhere"] {
        let mut stream = hub.subscribe_raw(&ChannelName::new(name).unwrap());
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::Channel);
        assert!(stream.next().await.is_none(), "{name}");
    }
}
