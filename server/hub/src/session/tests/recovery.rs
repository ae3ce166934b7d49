//! Recovery: a subscriber reads its missed publications from the history.

use super::*;

#[tokio::test(start_paused = true)]
async fn missed_publications_are_read_as_the_line_takes_them_and_do_not_pile_up() {
    let mut client = Client::connect(keeping(1000), 1024).await;
    let start = Position { offset: 0, ..publish_kept(&client.hub, Payload::bytes(vec![0; 1000])) };
    for offset in 1..=1000 {
        assert_eq!(client.publication().await.offset, offset);
        if offset < 1000 {
            publish_kept(&client.hub, Payload::bytes(vec![0; 1000]));
        }
    }
    let subscribed = subscribe_from(&mut client, start).await;
    assert_eq!((subscribed.complete, subscribed.recovering), (true, 1000));
    let peer = client.hub.session_registry().all().remove(0);
    for last in 1..=1200_u64 {
        assert!(peer.mailbox.bytes() < 256 * 1024, "{}", peer.mailbox.bytes());
        if last % 5 == 0 && last <= 1000 {
            // New publications come in their order.
            publish_kept(&client.hub, Payload::bytes(vec![0; 1000]));
        }
        assert_eq!(client.publication().await.offset, last);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_whose_history_is_lost_during_recovery_is_notified_of_its_position() {
    let mut client = Client::connect(keeping(200), 1024).await;
    let start = Position { offset: 0, ..publish_kept(&client.hub, Payload::bytes(vec![0; 10_000])) };
    for offset in 1..=200 {
        assert_eq!(client.publication().await.offset, offset);
        if offset < 200 {
            publish_kept(&client.hub, Payload::bytes(vec![0; 10_000]));
        }
    }
    let subscribed = subscribe_from(&mut client, start).await;
    assert_eq!((subscribed.complete, subscribed.recovering), (true, 200));
    for _ in 0..200 {
        publish_kept(&client.hub, Payload::bytes(vec![0; 10_000]));
    }
    let (mut last, mut gaps) = (0, 0);
    while last < 400 {
        match client.frame().await {
            ServerFrame::Push(Push::Publication(publication)) => {
                assert_eq!(publication.offset, last + 1);
                last = publication.offset;
            }
            ServerFrame::Push(Push::Subscribed(elsewhere)) => {
                assert_eq!((elsewhere.number, elsewhere.complete), (2, false));
                let offset = elsewhere.position.unwrap().offset;
                assert!(offset > last, "{offset} after {last}");
                (last, gaps) = (offset, gaps + 1);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_far_behind_in_a_lossy_channel_gets_the_newest_and_is_notified() {
    let history = History::new(1000, Duration::from_secs(3600));
    let namespace = Namespace::default().history(history).overflow(Overflow::DropOldest);
    let hub = Builder::open().default_namespace(namespace).queue_bytes(100_000);
    let mut client = Client::connect(hub, 1024).await;
    let start = Position { offset: 0, ..publish_kept(&client.hub, Payload::bytes(vec![0; 1000])) };
    for offset in 1..=500 {
        assert_eq!(client.publication().await.offset, offset);
        if offset < 500 {
            publish_kept(&client.hub, Payload::bytes(vec![0; 1000]));
        }
    }
    let subscribed = subscribe_from(&mut client, start).await;
    assert_eq!((subscribed.complete, subscribed.recovering), (true, 500));
    let (mut last, mut jumps) = (0, Vec::new());
    while last < 500 {
        match client.frame().await {
            ServerFrame::Push(Push::Publication(publication)) => {
                assert_eq!(publication.offset, last + 1);
                last = publication.offset;
            }
            ServerFrame::Push(Push::Subscribed(elsewhere)) => {
                assert!(!elsewhere.complete);
                let offset = elsewhere.position.unwrap().offset;
                assert_eq!(elsewhere.recovering, 500 - offset);
                jumps.push(offset - last);
                last = offset;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(jumps[..], [300..450]), "{jumps:?}");
}
