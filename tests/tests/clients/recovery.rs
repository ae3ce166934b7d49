//! Connections break, and nothing is lost or doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use wirehub_client::{Client, ClientState, Config, Gap, SubscribeOptions};
use wirehub_common::{ChannelName, Limits};
use wirehub_demo_contract::{ChatMessage, ChatRoom, Demo};
use wirehub_server::Hub;
use wirehub_server::auth::Authenticated;
use wirehub_server::namespace::{History, Namespace};
use wirehub_tests::{Server, gap, next, publication, soon};

/// A server whose rooms keep `size` messages, and whose clients reconnect quickly.
async fn server(size: usize) -> Server {
    let limits = Limits { reconnect_window: Duration::from_millis(50), ..Limits::default() };
    let history = History::new(size, Duration::from_secs(3600));
    let hub = Hub::builder().contract::<Demo>().limits(limits);
    Server::start(hub.namespace("chat", Namespace::default().history(history)).build(), "127.0.0.1:0").await
}

fn line(number: usize) -> ChatMessage {
    ChatMessage { nick: "ann".into(), text: number.to_string() }
}

async fn reached(client: &Client, state: ClientState) {
    let mut changes = client.state_changes();
    while client.state() != state {
        next(&mut changes).await;
    }
}

#[tokio::test]
async fn messages_from_an_absence_come_after_the_reconnect_once_and_in_order() {
    let server = server(1000).await;
    let proxy = server.proxy().await;
    let bob = wirehub_client::client(proxy.address(), Config::default());
    let ann = server.client().await;
    let room = ChatRoom::new("lobby").unwrap();
    let mut heard = bob.subscribe(&room).unwrap();
    soon(bob.connect()).await.unwrap();
    soon(heard.ready()).await.unwrap();
    // Each loss makes the client wait longer before it reconnects.
    for round in 0..3 {
        for number in 0..10 {
            ann.publish(&room, &line(round * 20 + number)).await.unwrap();
        }
        proxy.hold(true);
        proxy.cut();
        soon(reached(&bob, ClientState::Reconnecting)).await;
        for number in 10..20 {
            ann.publish(&room, &line(round * 20 + number)).await.unwrap();
        }
        proxy.hold(false);
        soon(reached(&bob, ClientState::Connected)).await;
    }
    for number in 0..60 {
        let publication = publication(&mut heard).await;
        assert_eq!(
            (publication.message.text, publication.offset),
            (number.to_string(), Some(number as u64 + 1))
        );
    }
}

#[tokio::test]
async fn earlier_messages_and_new_ones_are_one_stream_also_over_a_reconnect() {
    let server = server(10).await;
    let proxy = server.proxy().await;
    let ann = server.client().await;
    let room = ChatRoom::new("lobby").unwrap();
    for number in 0..6 {
        ann.publish(&room, &line(number)).await.unwrap();
    }
    let bob = wirehub_client::client(proxy.address(), Config::default());
    let mut heard = bob.subscribe_with(&room, SubscribeOptions::new().history(4)).unwrap();
    soon(bob.connect()).await.unwrap();
    ann.publish(&room, &line(6)).await.unwrap();
    for number in 2..7 {
        assert_eq!(publication(&mut heard).await.message, line(number));
    }
    proxy.hold(true);
    proxy.cut();
    soon(reached(&bob, ClientState::Reconnecting)).await;
    ann.publish(&room, &line(7)).await.unwrap();
    proxy.hold(false);
    assert_eq!(publication(&mut heard).await.message, line(7), "and none of the earlier ones again");
}

#[tokio::test]
async fn a_publish_whose_answer_was_lost_is_repeated_and_published_once() {
    let server = server(1000).await;
    let proxy = server.proxy().await;
    let bob = wirehub_client::client(proxy.address(), Config::default());
    let ann = server.client().await;
    let room = ChatRoom::new("lobby").unwrap();
    let mut heard = ann.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();
    soon(bob.connect()).await.unwrap();

    proxy.mute(true);
    let bob = bob.with_timeout(Duration::from_secs(60));
    let mut publishing = Box::pin(async {
        let lines = [line(0), line(1), line(2)];
        futures_util::future::join_all(lines.iter().map(|line| bob.publish(&room, line))).await
    });
    // The server has received them, and bob does not know.
    for number in 0..3 {
        let publication = tokio::select! {
            publication = publication(&mut heard) => publication,
            _ = &mut publishing => panic!("the answers were lost"),
        };
        assert_eq!(publication.message, line(number));
    }
    proxy.mute(false);
    proxy.cut();
    let positions = soon(publishing).await;
    for (offset, position) in (1..).zip(positions) {
        assert_eq!(position.unwrap().unwrap().offset, offset);
    }
    ann.publish(&room, &line(3)).await.unwrap();
    assert_eq!(publication(&mut heard).await.message, line(3), "none of them comes a second time");
}

#[tokio::test]
async fn a_message_published_again_with_its_key_has_the_position_of_the_first_time() {
    let server = server(1000).await;
    let client = server.client().await;
    let room = ChatRoom::new("lobby").unwrap();
    soon(client.connect()).await.unwrap();
    let first = client.publish_with_key(&room, &line(0), "order-7").await.unwrap().unwrap();
    client.publish(&room, &line(1)).await.unwrap();
    let again = client.publish_with_key(&room, &line(0), "order-7").await.unwrap().unwrap();
    assert_eq!((&again, again.offset), (&first, 1));
    assert_eq!(client.history(&room, None, 10).await.unwrap().position.offset, 2);
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_is_repeated_and_carried_out_once() {
    wirehub_common::contract! {
        contract Bank = "bank";
        /// Withdraws an amount, and returns the rest.
        call Withdraw = "bank.withdraw": fn(u32) -> u32;
    }
    let left = Arc::new(AtomicU32::new(100));
    let may_answer = Arc::new(Semaphore::new(0));
    let hub = {
        let (left, may_answer) = (Arc::clone(&left), Arc::clone(&may_answer));
        // Nothing is remembered of an anonymous client.
        let users = Hub::builder().authenticate(async |_| Ok(Authenticated::user("ann")));
        users.contract::<Bank>().call(Withdraw, move |_, amount| {
            let left = left.fetch_sub(amount, Ordering::SeqCst).saturating_sub(amount);
            let may_answer = Arc::clone(&may_answer);
            async move {
                let _permit = may_answer.acquire().await;
                Ok(left)
            }
        })
    };
    let server = Server::start(hub.build(), "127.0.0.1:0").await;
    let proxy = server.proxy().await;
    let client = wirehub_client::client(proxy.address(), Config::default());
    soon(client.connect()).await.unwrap();
    // The connection is lost while the call is running, and again when it is answered.
    let calling = {
        let client = client.clone().with_timeout(Duration::from_secs(60));
        tokio::spawn(async move { client.call::<Withdraw>(&30).await })
    };
    soon(async {
        while left.load(Ordering::SeqCst) == 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut states = client.state_changes();
    proxy.mute(true);
    proxy.cut();
    while next(&mut states).await.state != ClientState::Reconnecting {}
    may_answer.add_permits(1);
    proxy.mute(false);
    assert_eq!(soon(calling).await.unwrap().unwrap(), 70);
    assert_eq!(left.load(Ordering::SeqCst), 70, "once");
    assert_eq!(soon(client.call::<Withdraw>(&30)).await.unwrap(), 40, "another call is another one");
}

#[tokio::test]
async fn a_gap_where_no_history_is_kept_is_another_one_than_where_it_is_lost() {
    let server = Server::start(wirehub_tests::open_hub().build(), "127.0.0.1:0").await;
    let proxy = server.proxy().await;
    let bob = wirehub_client::client(proxy.address(), Config::default());
    let mut heard = bob.subscribe(&ChatRoom::new("lobby").unwrap()).unwrap();
    soon(bob.connect()).await.unwrap();
    soon(heard.ready()).await.unwrap();
    proxy.cut();
    assert_eq!(gap(&mut heard).await, Gap::NoHistory);
}

#[tokio::test]
async fn a_client_that_was_away_for_too_long_is_notified_of_the_gap() {
    let server = server(5).await;
    let proxy = server.proxy().await;
    let bob = wirehub_client::client(proxy.address(), Config::default());
    let ann = server.client().await;
    let room = ChatRoom::new("lobby").unwrap();
    let mut heard = bob.subscribe(&room).unwrap();
    soon(bob.connect()).await.unwrap();
    soon(heard.ready()).await.unwrap();
    proxy.hold(true);
    proxy.cut();
    soon(reached(&bob, ClientState::Reconnecting)).await;
    for number in 0..6 {
        ann.publish(&room, &line(number)).await.unwrap();
    }
    proxy.hold(false);
    assert_eq!(gap(&mut heard).await, Gap::Lost);
    for number in 1..6 {
        assert_eq!(publication(&mut heard).await.message, line(number), "the rest still comes");
    }
    ann.publish(&room, &line(6)).await.unwrap();
    assert_eq!(publication(&mut heard).await.message, line(6));
    let page = ann.history(&room, None, 100).await.unwrap();
    let texts: Vec<_> = page.publications.into_iter().map(|publication| publication.message.text).collect();
    assert_eq!(texts, ["2", "3", "4", "5", "6"]);
}

#[tokio::test]
async fn a_drained_client_has_sent_everything_before_it_closes() {
    let server = server(1000).await;
    let bob = wirehub_client::client(server.address(), Config::default());
    let room = ChatRoom::new("lobby").unwrap();
    soon(bob.connect()).await.unwrap();
    assert!(soon(bob.rtt()).await.unwrap() < Duration::from_secs(10));
    let lines: Vec<_> = (0..100).map(line).collect();
    let publishing = futures_util::future::join_all(lines.iter().map(|line| bob.publish(&room, line)));
    let drained = async { bob.drain(Duration::from_secs(20)).await };
    let (published, drained) = soon(async { tokio::join!(publishing, drained) }).await;
    assert!(published.iter().all(Result::is_ok) && drained.is_ok(), "{drained:?}");
    assert_eq!(bob.state(), ClientState::Closed);
    let lobby = ChannelName::new("chat:lobby").unwrap();
    let page = server.hub.history(&lobby, None, 1, true).await.unwrap().unwrap();
    assert_eq!(page.position.offset, 100);
}

#[tokio::test]
async fn a_stream_of_responses_goes_from_handler_to_caller() {
    wirehub_common::contract! {
        contract Clock = "clock";
        /// Counts up to the number.
        stream Count = "clock.count": fn(u32) -> u32;
    }
    let hub = Hub::builder()
        .contract::<Clock>()
        .call_stream(Count, async |_, to| Ok(futures_util::stream::iter((1..=to).map(Ok))));
    let server = Server::start(hub.build(), "127.0.0.1:0").await;
    let client = server.client().await;
    let counted: Vec<u32> =
        soon(client.call_stream::<Count>(&1000).unwrap().map(Result::unwrap).collect()).await;
    assert!(counted.into_iter().eq(1..=1000));
}
