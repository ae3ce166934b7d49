//! Presence, joins and leaves.

use std::time::Duration;

use serde_json::json;
use wirehub_common::Payload;
use wirehub_common::frame::{
    Connect, Member, Movement, Presence, PresenceList, Push, ReplyBody, Request, ServerFrame, Subscribe,
};
use wirehub_server::Builder;
use wirehub_server::auth::Authenticated;
use wirehub_server::namespace::{Access, Namespace};
use wirehub_server::observe::PresenceCounts;

use crate::support::{CODECS, Client, Received, Server, name, open_hub, unsubscribe, until};

const ROOM: &str = "room:1";

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A hub that takes every token for a user name.
fn hub(grace: Duration) -> Builder {
    open_hub()
        .authenticate(async |credentials| {
            let user = Authenticated::user(credentials.token.clone());
            let info = json!({ "name": credentials.token.to_uppercase() });
            Ok(if credentials.token.is_empty() { user } else { user.with_info(&info).unwrap() })
        })
        .namespace("room", Namespace::default().presence(Access::Everybody).join_leave(grace))
}

/// A session of a user that is in the room.
async fn enter(server: &Server, codec: wirehub_common::Codec, user: &str) -> (Client, String) {
    let mut client = Client::open(server, codec).await;
    let subscriptions = vec![Subscribe { channel: name(ROOM), number: 1, position: None, history: 0 }];
    let connect = Connect { token: user.into(), subscriptions, ..Connect::default() };
    let session = client.connected(connect).await.session;
    (client, session)
}

async fn movement(client: &mut Client) -> (&'static str, Member) {
    let (what, Movement { channel, member }) = match client.next().await {
        Received::Frame(ServerFrame::Push(Push::Join(movement))) => ("join", movement),
        Received::Frame(ServerFrame::Push(Push::Leave(movement))) => ("leave", movement),
        other => panic!("{other:?}"),
    };
    assert_eq!(channel, name(ROOM));
    (what, member)
}

async fn presence(client: &mut Client, counts_only: bool) -> PresenceList {
    match client
        .ok(Request::Presence(Presence { channel: name(ROOM), counts_only, after: String::new() }))
        .await
    {
        ReplyBody::Presence(list) => list,
        other => panic!("{other:?}"),
    }
}

/// A publication that arrives after everything before it.
async fn nothing_before_a_message(server: &Server, client: &mut Client) {
    drop(server.hub.publish_raw(&name(ROOM), Payload::json("1")).unwrap());
    client.publication().await;
}

#[tokio::test]
async fn others_are_notified_of_the_first_session_of_a_user_and_the_last() {
    let server = Server::start(hub(Duration::from_millis(1)).build()).await;
    for codec in CODECS {
        let (mut ann, _) = enter(&server, codec, "ann").await;
        let (first, first_session) = enter(&server, codec, "bob").await;
        let bob = |session: &str| Member {
            session: session.into(),
            user: "bob".into(),
            info: r#"{"name":"BOB"}"#.into(),
        };
        assert_eq!(movement(&mut ann).await, ("join", bob(&first_session)));
        let (mut second, second_session) = enter(&server, codec, "bob").await;
        drop(first);
        until(|| server.hub.local_subscribers(&name(ROOM)) == 2).await;
        nothing_before_a_message(&server, &mut ann).await;
        second.ok(unsubscribe(ROOM, 1)).await;
        assert_eq!(movement(&mut ann).await, ("leave", bob(&second_session)));
        drop((ann, second));
        until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn a_user_who_returns_in_time_has_not_left() {
    let server = Server::start(hub(LONG).build()).await;
    for codec in CODECS {
        let (mut ann, _) = enter(&server, codec, "ann").await;
        let (bob, session) = enter(&server, codec, "bob").await;
        assert_eq!(movement(&mut ann).await.0, "join");
        drop(bob);
        until(|| server.hub.local_subscribers(&name(ROOM)) == 1).await;
        let list = presence(&mut ann, false).await;
        assert_eq!((list.sessions, list.users), (2, 2));
        assert!(list.members.iter().any(|member| member.session == session), "{list:?}");
        let (_bob, session) = enter(&server, codec, "bob").await;
        nothing_before_a_message(&server, &mut ann).await;
        let list = presence(&mut ann, false).await;
        assert_eq!((list.sessions, list.users), (2, 2));
        assert!(list.members.iter().any(|member| member.session == session), "{list:?}");
        drop((ann, _bob));
        until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn anonymous_sessions_count_one_by_one() {
    let server = Server::start(hub(LONG).build()).await;
    for codec in CODECS {
        let (mut ann, _) = enter(&server, codec, "ann").await;
        let mut anonymous = Vec::new();
        for _ in 0..2 {
            let (client, session) = enter(&server, codec, "").await;
            let member = Member { session, ..Member::default() };
            assert_eq!(movement(&mut ann).await, ("join", member.clone()));
            anonymous.push((client, member));
        }
        let list = presence(&mut ann, true).await;
        assert_eq!(list, PresenceList { members: Vec::new(), sessions: 3, users: 3, more: false });
        let counts = server.hub.presence_counts(&name(ROOM)).await.unwrap();
        assert_eq!(counts, PresenceCounts { sessions: 3, users: 3 });
        for (client, member) in anonymous {
            drop(client);
            assert_eq!(movement(&mut ann).await, ("leave", member));
        }
        drop(ann);
        until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn only_sessions_with_access_to_presence_are_notified() {
    let namespace = Namespace::default().presence(Access::Users).join_leave(Duration::ZERO);
    let server = Server::start(hub(LONG).namespace("room", namespace).build()).await;
    for codec in CODECS {
        let (mut nobody, _) = enter(&server, codec, "").await;
        let (mut ann, _) = enter(&server, codec, "ann").await;
        let (bob, _) = enter(&server, codec, "bob").await;
        assert_eq!(movement(&mut ann).await.0, "join");
        drop(bob);
        assert_eq!(movement(&mut ann).await.0, "leave");
        nothing_before_a_message(&server, &mut nobody).await;
        drop((nobody, ann));
        until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn a_long_list_has_pages() {
    // Their info does not fit into one answer.
    let hub = open_hub()
        .authenticate(async |credentials| {
            let user = Authenticated::user(credentials.token.clone());
            Ok(user.with_info(&json!({ "about": "x".repeat(4000) })).unwrap())
        })
        .namespace("room", Namespace::default().presence(Access::Everybody));
    let server = Server::start(hub.build()).await;
    let mut here = Vec::new();
    for number in 0..300 {
        here.push(enter(&server, CODECS[number % 2], &format!("user {number}")).await);
    }
    for reader in 0..2 {
        let (mut sessions, mut pages, mut after) = (Vec::new(), 0, String::new());
        let (client, _) = &mut here[reader];
        loop {
            let request = Presence { channel: name(ROOM), counts_only: false, after };
            let ReplyBody::Presence(list) = client.ok(Request::Presence(request)).await else { panic!() };
            assert_eq!((list.sessions, list.users), (300, 300));
            sessions.extend(list.members.into_iter().map(|member| member.session));
            pages += 1;
            if !list.more {
                break;
            }
            after = sessions.last().unwrap().clone();
        }
        assert!(pages > 1, "{pages}");
        sessions.sort();
        let mut all: Vec<_> = here.iter().map(|(_, session)| session.clone()).collect();
        all.sort();
        assert_eq!(sessions, all);
        let (client, _) = &mut here[reader];
        let request = Presence { channel: name(ROOM), counts_only: false, after: "no session".into() };
        assert_eq!(client.error(Request::Presence(request)).await, 107);
    }
}

#[tokio::test]
async fn constant_joins_and_leaves_disconnect_no_reader() {
    let hub = hub(Duration::ZERO).commands_per_second(0).queue_bytes(64 * 1024);
    let server = Server::start(hub.build()).await;
    // They read nothing.
    let mut readers = Vec::new();
    for number in 0..10 {
        readers.push(enter(&server, CODECS[number % 2], &format!("reader {number}")).await);
    }
    let (mut restless, _) = enter(&server, CODECS[0], "").await;
    restless.ok(unsubscribe(ROOM, 1)).await;
    for batch in 0..50_u32 {
        let numbers = (batch * 200..(batch + 1) * 200).map(|number| number + 2);
        let commands: Vec<_> = numbers
            .flat_map(|number| [crate::support::subscribe(ROOM, number), unsubscribe(ROOM, number)])
            .map(|request| wirehub_common::frame::Command { id: 0, request })
            .collect();
        restless.send(commands).await;
        restless.ok(crate::support::publish("elsewhere", Payload::json("1"))).await;
    }
    for (reader, _) in &mut readers {
        let list = presence(reader, true).await;
        assert_eq!(list.sessions, 10);
    }
}

#[tokio::test]
async fn nobody_is_notified_without_the_setting_of_the_namespace() {
    let server =
        Server::start(hub(LONG).namespace("room", Namespace::default().presence(Access::Everybody)).build())
            .await;
    let (mut ann, _) = enter(&server, CODECS[0], "ann").await;
    let (_bob, _) = enter(&server, CODECS[1], "bob").await;
    nothing_before_a_message(&server, &mut ann).await;
    assert_eq!(presence(&mut ann, false).await.members.len(), 2);
}
