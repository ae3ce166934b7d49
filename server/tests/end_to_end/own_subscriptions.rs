//! Subscriptions that the server creates and ends by itself.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    Connect, ErrorInfo, Position, Push, Refresh, ReplyBody, Request, ServerFrame, Subscribe, Subscribed,
};
use wirehub_common::{Codec, Payload};
use wirehub_server::auth::Authenticated;
use wirehub_server::namespace::{Access, History, Namespace};
use wirehub_server::{Builder, SessionId};

use crate::support::{CODECS, Client, Received, Server, name, open_hub, subscribe, unsubscribe, until};

/// A token lists channels, separated by spaces. Their namespace allows nobody to subscribe.
fn hub() -> Builder {
    let namespace = Namespace::default().subscribe(Access::TokenOnly);
    open_hub()
        .authenticate(async |credentials| {
            let channels = credentials.token.split_whitespace().map(name).collect();
            Ok(Authenticated::user("ann").with_channels(channels))
        })
        .namespace("news", namespace.clone().history(History::new(100, Duration::from_secs(60))))
        .default_namespace(namespace)
}

fn connect(channels: &str) -> Connect {
    Connect { token: channels.into(), ..Connect::default() }
}

async fn subscribed(client: &mut Client) -> Subscribed {
    match client.next().await {
        Received::Frame(ServerFrame::Push(Push::Subscribed(subscribed))) => subscribed,
        other => panic!("{other:?}"),
    }
}

async fn unsubscribed(client: &mut Client) -> (String, u32, u16) {
    match client.next().await {
        Received::Frame(ServerFrame::Push(Push::Unsubscribed(ended))) => {
            (ended.channel.to_string(), ended.number, ended.error.code.number())
        }
        other => panic!("{other:?}"),
    }
}

fn publish(server: &Server, channel: &str, text: &'static str) {
    drop(server.hub.publish_raw(&name(channel), Payload::json(text)).unwrap());
}

#[tokio::test]
async fn a_session_is_subscribed_to_the_channels_of_its_token() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        client.connected(connect("a news:x")).await;
        let first = subscribed(&mut client).await;
        assert_eq!((first.channel, first.number, first.position), (name("a"), 0, None));
        let second = subscribed(&mut client).await;
        assert_eq!((second.channel, second.number), (name("news:x"), 0));
        assert!(second.position.is_some());
        publish(&server, "news:x", "1");
        assert_eq!(client.publication().await.channel, name("news:x"));
        assert_eq!(client.error(subscribe("other", 1)).await, 103);
        drop(client);
        until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn the_client_takes_such_a_subscription_over_and_recovers_it() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        client.connected(connect("news:x")).await;
        let Position { offset, epoch } = subscribed(&mut client).await.position.unwrap();
        drop(client);
        until(|| server.hub.local_sessions() == 0).await;
        publish(&server, "news:x", r#""missed""#);

        let mut client = Client::open(&server, codec).await;
        let position = Some(Position { offset, epoch });
        let subscriptions = vec![Subscribe { channel: name("news:x"), number: 7, position, history: 0 }];
        let connected = client.connected(Connect { subscriptions, ..connect("news:x") }).await;
        let recovered = connected.subscriptions[0].result.as_ref().unwrap();
        assert!(recovered.complete);
        assert!(recovered.recovering > 0);
        let mut last = None;
        for _ in 0..recovered.recovering {
            last = Some(client.publication().await.payload);
        }
        assert_eq!(last, Some(Payload::json(r#""missed""#)));
        // Not created a second time.
        publish(&server, "news:x", "2");
        assert_eq!(client.publication().await.payload, Payload::json("2"));
        drop(client);
        until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn any_number_of_the_client_replaces_or_ends_such_a_subscription() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        for channel in ["a", "news:x"] {
            let mut client = Client::open(&server, codec).await;
            client.connected(connect(channel)).await;
            subscribed(&mut client).await;
            client.subscribe(channel).await;
            publish(&server, channel, "1");
            assert_eq!(client.publication().await.payload, Payload::json("1"));
            assert!(matches!(client.ok(unsubscribe(channel, 1)).await, ReplyBody::Unsubscribed(_)));
            assert_eq!(server.hub.local_subscribers(&name(channel)), 0);
            drop(client);
            until(|| server.hub.local_sessions() == 0).await;
        }
    }
}

#[tokio::test]
async fn a_new_token_changes_the_channels_of_the_session() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        client.connected(connect("a b")).await;
        subscribed(&mut client).await;
        subscribed(&mut client).await;
        client.ok(Request::Refresh(Refresh { token: "b c".into() })).await;
        assert_eq!(unsubscribed(&mut client).await, ("a".into(), 0, 103));
        assert_eq!(subscribed(&mut client).await.channel, name("c"));
        assert_eq!(server.hub.local_subscribers(&name("b")), 1);
        drop(client);
        until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn subscriptions_of_the_application_stay_when_the_token_changes() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        for channel in ["a", "news:x"] {
            let mut client = Client::open(&server, codec).await;
            let session: SessionId = client.connected(connect("b")).await.session.parse().unwrap();
            assert_eq!(subscribed(&mut client).await.channel, name("b"));
            assert!(server.hub.subscribe_session(session, &name(channel)).await.unwrap());
            assert_eq!(subscribed(&mut client).await.channel, name(channel));
            client.ok(Request::Refresh(Refresh { token: "c".into() })).await;
            assert_eq!(unsubscribed(&mut client).await, ("b".into(), 0, 103));
            assert_eq!(subscribed(&mut client).await.channel, name("c"));
            assert_eq!(server.hub.local_subscribers(&name(channel)), 1);
            drop(client);
            until(|| server.hub.local_sessions() == 0).await;
        }
    }
}

#[tokio::test]
async fn the_application_subscribes_and_unsubscribes_a_session() {
    let server = Server::start(hub().build()).await;
    let denied = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        let session: SessionId = client.connected(connect("")).await.session.parse().unwrap();
        assert!(server.hub.subscribe_session(session, &name("a")).await.unwrap());
        assert!(server.hub.subscribe_session(session, &name("a")).await.unwrap(), "that changes nothing");
        assert_eq!(subscribed(&mut client).await.channel, name("a"));
        publish(&server, "a", "1");
        client.publication().await;
        assert!(server.hub.unsubscribe_session(session, &name("a"), denied.clone()).await.unwrap());
        assert_eq!(unsubscribed(&mut client).await, ("a".into(), 0, 103));
        publish(&server, "a", "2");

        assert!(server.hub.subscribe_session(session, &name("b")).await.unwrap());
        assert_eq!(subscribed(&mut client).await.channel, name("b"), "and nothing of `a` before it");
        assert_eq!(server.hub.unsubscribe_user("ann", &name("b"), &denied).await.unwrap(), 1);
        assert_eq!(unsubscribed(&mut client).await, ("b".into(), 0, 103));

        assert_eq!(server.hub.disconnect_user("bob", CloseCode::DISCONNECTED, "").await.unwrap(), 0);
        assert_eq!(server.hub.disconnect_user("ann", CloseCode::DISCONNECTED, "bye").await.unwrap(), 1);
        assert_eq!(client.closed().await, (3506, "bye".into()));
        until(|| server.hub.local_sessions() == 0).await;
        assert!(!server.hub.subscribe_session(session, &name("a")).await.unwrap(), "it is gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_in_quick_succession_are_all_carried_out() {
    let server = Server::start(open_hub().build()).await;
    let mut client = Client::open(&server, Codec::Protobuf).await;
    let session: SessionId = client.connected(Connect::default()).await.session.parse().unwrap();
    for round in 0..400_u64 {
        let hub = server.hub.clone();
        let spin = Duration::from_micros(round * 7 % 120);
        let channels = ["a", "b"].map(|channel| name(&format!("{channel}:{round}")));
        // From another thread: nothing else wakes the session meanwhile.
        std::thread::spawn(move || {
            for channel in channels {
                let done = hub.subscribe_session(session, &channel).now_or_never();
                assert!(done.unwrap().unwrap(), "the session is here");
                let begun = Instant::now();
                while begun.elapsed() < spin {}
            }
        })
        .join()
        .unwrap();
        for channel in ["a", "b"] {
            let Push::Subscribed(subscribed) = client.push().await else { panic!("no subscription") };
            assert_eq!(subscribed.channel, name(&format!("{channel}:{round}")));
        }
        for channel in ["a", "b"] {
            let (channel, error) =
                (name(&format!("{channel}:{round}")), ErrorInfo::from_code(ErrorCode::INTERNAL));
            assert!(server.hub.unsubscribe_session(session, &channel, error).await.unwrap());
            assert!(matches!(client.push().await, Push::Unsubscribed(_)));
        }
    }
}
