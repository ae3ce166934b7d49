//! Pushes without a request: members, subscriptions that the server makes, alarms.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use wirehub_client::common::frame::{ErrorInfo, Member};
use wirehub_client::common::{ChannelName, Payload, code::ErrorCode};
use wirehub_client::{Client, ClientState, Config, MemberChange};
use wirehub_demo_contract::{ChatMessage, ChatRoom};
use wirehub_server::alarm::{Alarm, AlarmProgress};
use wirehub_server::auth::Authenticated;
use wirehub_server::namespace::{Access, History, Namespace};
use wirehub_server::{Builder, SessionId};
use wirehub_tests::{Server, next, publication, soon};

/// A token is a user's name, followed by the channels of the user.
fn hub() -> Builder {
    wirehub_tests::open_hub()
        .authenticate(async |credentials| {
            let mut words = credentials.token.split_whitespace();
            let user = words.next().unwrap_or_default().to_owned();
            Ok(Authenticated::user(user).with_channels(words.map(channel).collect()))
        })
        .namespace(
            "chat",
            Namespace::default()
                .presence(Access::Everybody)
                .join_leave(Duration::from_secs(3600))
                .history(History::new(100, Duration::from_secs(600))),
        )
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn room() -> ChatRoom {
    ChatRoom::new("lobby").unwrap()
}

fn config(token: &str) -> Config {
    Config::new().token(token)
}

async fn connect(server: &Server, token: &str) -> Client {
    let client = wirehub_client::client(server.address(), config(token));
    soon(client.connect()).await.unwrap();
    client
}

fn line(text: &str) -> ChatMessage {
    ChatMessage { nick: "server".into(), text: text.into() }
}

fn joined(change: MemberChange) -> String {
    match change {
        MemberChange::Joined(Member { user, .. }) => user,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_member_who_reconnects_is_not_seen_to_leave() {
    let server = Server::start(hub().build(), "127.0.0.1:0").await;
    let ann = connect(&server, "ann").await;
    let mut heard = ann.subscribe(&room()).unwrap();
    soon(heard.ready()).await.unwrap();
    let mut changes = heard.member_changes();

    let proxy = server.proxy().await;
    let bob = wirehub_client::client(proxy.address(), config("bob"));
    soon(bob.connect()).await.unwrap();
    let mut of_bob = bob.subscribe(&room()).unwrap();
    soon(of_bob.ready()).await.unwrap();
    assert_eq!(joined(next(&mut changes).await), "bob");
    let mut seen_by_bob = of_bob.member_changes();
    let mut states = bob.state_changes();
    proxy.cut();
    while next(&mut states).await.state != ClientState::Connected {}
    assert_eq!(next(&mut seen_by_bob).await, MemberChange::Unknown, "others may have come and gone");

    // The next report is about another user.
    let carol = connect(&server, "carol").await;
    let mut of_carol = carol.subscribe(&room()).unwrap();
    soon(of_carol.ready()).await.unwrap();
    assert_eq!(joined(next(&mut changes).await), "carol");
    let counts = soon(ann.presence_counts(channel("chat:lobby"))).await.unwrap();
    assert_eq!((counts.sessions, counts.users), (3, 3));
}

/// The example in the documentation of [`Subscription::members`](wirehub_client::Subscription::members).
mod who_is_there {
    use wirehub_client as wirehub_client_core;

    include!("../../../client-core/docs/who_is_there.rs");

    pub(crate) async fn shown<M>(room: &Subscription<M>, show: impl FnMut(&[Member])) -> Result<(), Error> {
        watch(room, show).await
    }
}

#[tokio::test]
async fn the_list_in_the_documentation_has_each_user_once_and_each_of_those_without_a_name() {
    let namespace = Namespace::default().presence(Access::Everybody).join_leave(Duration::ZERO);
    let server = Server::start(hub().namespace("chat", namespace).build(), "127.0.0.1:0").await;
    let ann = connect(&server, "ann").await;
    let mut heard = ann.subscribe(&room()).unwrap();
    soon(heard.ready()).await.unwrap();
    let (shown, mut lists) = tokio::sync::mpsc::channel(16);
    let watching = tokio::spawn(async move {
        let show = |there: &[Member]| shown.try_send(there.len()).unwrap();
        who_is_there::shown(&heard, show).await
    });
    let mut here = Vec::new();
    assert_eq!(soon(lists.recv()).await, Some(1));
    // Two sessions of bob's are one member, two anonymous ones are two.
    for (token, count) in [("bob", Some(2)), ("bob", None), ("", Some(3)), ("", Some(4))] {
        let client = connect(&server, token).await;
        let mut subscription = client.subscribe(&room()).unwrap();
        soon(subscription.ready()).await.unwrap();
        if count.is_some() {
            assert_eq!(soon(lists.recv()).await, count);
        }
        here.push((client, subscription));
    }
    for count in [Some(3), Some(2), None, Some(1)] {
        drop(here.pop());
        if count.is_some() {
            assert_eq!(soon(lists.recv()).await, count);
        }
    }
    watching.abort();
}

#[tokio::test]
async fn a_subscription_from_the_token_recovers_missed_messages() {
    let server = Server::start(hub().build(), "127.0.0.1:0").await;
    let proxy = server.proxy().await;
    let client = wirehub_client::client(proxy.address(), config("ann chat:lobby"));
    let mut offers = client.offers();
    soon(client.connect()).await.unwrap();
    let mut offered = next(&mut offers).await;
    assert_eq!(offered.channel(), &channel("chat:lobby"));
    soon(offered.ready()).await.unwrap();
    drop(server.hub.publish(&room(), &line("1")).unwrap());
    assert_eq!(publication(&mut offered).await.offset, Some(1));

    let mut states = client.state_changes();
    proxy.hold(true);
    proxy.cut();
    while next(&mut states).await.state != ClientState::Reconnecting {}
    drop(server.hub.publish(&room(), &line("2")).unwrap());
    proxy.hold(false);
    assert_eq!(publication(&mut offered).await.offset, Some(2));

    // The application subscribes by itself as well, with its contract.
    let mut own = client.subscribe(&room()).unwrap();
    soon(own.ready()).await.unwrap();
    drop(server.hub.publish(&room(), &line("3")).unwrap());
    let third = publication(&mut own).await;
    assert_eq!((third.offset, third.message), (Some(3), line("3")));
    assert_eq!(publication(&mut offered).await.offset, Some(3));
    drop(own);
    drop(server.hub.publish(&room(), &line("4")).unwrap());
    assert_eq!(publication(&mut offered).await.offset, Some(4), "it goes on");
}

#[tokio::test]
async fn an_anonymous_client_that_has_acknowledged_an_alarm_is_known_again_after_its_reconnect() {
    let server = Server::start(hub().build(), "127.0.0.1:0").await;
    let proxy = server.proxy().await;
    let client = wirehub_client::client(proxy.address(), config(""));
    let mut alarms = client.alarms();
    soon(client.connect()).await.unwrap();
    let id = server.hub.raise(Alarm::raw(channel("alarm:fire"), Payload::json("1"))).await.unwrap();
    assert_eq!(next(&mut alarms).await.id, id);
    soon(client.acknowledge(&id)).await.unwrap();
    let before = client.session();
    for _ in 0..3 {
        let mut states = client.state_changes();
        proxy.cut();
        while next(&mut states).await.state != ClientState::Connected {}
        // Behind any message about the alarm.
        drop(soon(client.presence(channel("chat:lobby"))).await.unwrap());
        let report = server.hub.alarm(&id).unwrap();
        assert_eq!((report.sent, report.received, report.acknowledged), (0, 0, 1));
        assert_eq!(report.recipients.len(), 1);
    }
    assert_ne!(client.session(), before);
}

#[tokio::test]
async fn the_server_subscribes_and_unsubscribes_a_client() {
    let server = Server::start(hub().build(), "127.0.0.1:0").await;
    let client = wirehub_client::client(server.address(), config("ann"));
    let mut offers = client.offers();
    soon(client.connect()).await.unwrap();
    let session: SessionId = client.session().parse().unwrap();
    assert!(server.hub.subscribe_session(session, &channel("news")).await.unwrap());
    let mut news = next(&mut offers).await;
    drop(server.hub.publish_raw(&channel("news"), Payload::json("1")).unwrap());
    assert_eq!(publication(&mut news).await.message, Payload::json("1"));
    let error = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    assert!(server.hub.unsubscribe_session(session, &channel("news"), error).await.unwrap());
    assert_eq!(next(&mut news).await.unwrap_err().code(), ErrorCode::PERMISSION_DENIED);
}

#[tokio::test]
async fn a_message_to_a_user_who_is_away_for_a_moment_arrives() {
    let server = Server::start(hub().build(), "127.0.0.1:0").await;
    let proxy = server.proxy().await;
    let client = wirehub_client::client(proxy.address(), config("ann"));
    let mut messages = client.subscribe_raw(channel("@ann")).unwrap();
    soon(client.connect()).await.unwrap();
    soon(messages.ready()).await.unwrap();
    drop(server.hub.send_to_user("ann", Payload::json("1")).unwrap());
    assert_eq!(publication(&mut messages).await.message, Payload::json("1"));
    let mut states = client.state_changes();
    proxy.hold(true);
    proxy.cut();
    while next(&mut states).await.state != ClientState::Reconnecting {}
    drop(server.hub.send_to_user("ann", Payload::json("2")).unwrap());
    proxy.hold(false);
    assert_eq!(publication(&mut messages).await.message, Payload::json("2"));
}

#[tokio::test]
async fn an_alarm_is_seen_once_and_acknowledged_through_a_broken_connection() {
    let server = Server::start(hub().build(), "127.0.0.1:0").await;
    let proxy = server.proxy().await;
    let client = wirehub_client::client(proxy.address(), config("ann"));
    let mut alarms = client.alarms();
    soon(client.connect()).await.unwrap();
    let raise = async |text: &str| {
        let alarm = Alarm::new(&room(), &line(text)).unwrap().for_users(["ann"]);
        server.hub.raise(alarm).await.unwrap()
    };
    let first = raise("fire").await;
    let alarm = next(&mut alarms).await;
    assert_eq!((&alarm.id, alarm.message::<ChatRoom>().unwrap()), (&first, line("fire")));

    // It comes again with the next connection, and is not shown again.
    let mut states = client.state_changes();
    proxy.cut();
    while next(&mut states).await.state != ClientState::Connected {}
    let second = raise("flood").await;
    assert_eq!(next(&mut alarms).await.id, second);

    // The server's answer is lost; the acknowledgement is sent again.
    proxy.mute(true);
    let acknowledging = {
        let (client, first) = (client.clone(), first.clone());
        tokio::spawn(async move { client.acknowledge(&first).await })
    };
    let acknowledged =
        |id: &str| server.hub.alarm(id).unwrap().recipients[0].progress == AlarmProgress::Acknowledged;
    soon(async {
        while !acknowledged(&first) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    proxy.cut();
    proxy.mute(false);
    soon(acknowledging).await.unwrap().unwrap();

    assert!(server.hub.withdraw(&second).await.unwrap());
    let gone = next(&mut alarms).await;
    assert_eq!((gone.id, gone.withdrawn), (second.clone(), true));
    let error = soon(client.acknowledge(&second)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNKNOWN_ALARM);
}
