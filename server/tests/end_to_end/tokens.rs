//! Authentication, expiry and rights.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use wirehub_common::Payload;
use wirehub_common::frame::{
    Connect, History as Read, Presence, Push, Refresh, Refreshed, ReplyBody, Request, ServerFrame, Subscribe,
};
use wirehub_server::Builder;
use wirehub_server::auth::{Authenticated, Refusal, Rights};
use wirehub_server::namespace::{Access, History, Namespace};

use crate::support::{CODECS, Client, Received, Server, name, open_hub, publish, subscribe};

/// Tokens are `user`, `user/ttl in milliseconds` or `user/ttl/pattern`, and some special words.
fn hub() -> Builder {
    open_hub().authenticate(async |credentials| {
        let mut parts = credentials.token.split('/');
        let user = match parts.next().unwrap_or_default() {
            "" => return Err(Refusal::invalid()),
            "old" => return Err(Refusal::expired()),
            "down" => return Err(Refusal::unavailable("the test says so")),
            user => user,
        };
        let mut identity = Authenticated::user(user);
        if let Some(ttl) = parts.next().filter(|ttl| !ttl.is_empty()) {
            identity = identity.expires_in(Duration::from_millis(ttl.parse().unwrap()));
        }
        if let Some(pattern) = parts.next() {
            let patterns = vec![pattern.parse().unwrap()];
            let rights =
                Rights { subscribe: patterns.clone(), publish: patterns.clone(), presence: patterns };
            identity = identity.with_rights(rights);
        }
        Ok(identity)
    })
}

fn connect(token: &str) -> Connect {
    Connect { token: token.into(), ..Connect::default() }
}

fn json() -> Payload {
    Payload::json("1")
}

async fn refresh(client: &mut Client, token: &str) -> Result<Duration, u16> {
    match client.request(Request::Refresh(Refresh { token: token.into() })).await.result {
        Ok(ReplyBody::Refreshed(Refreshed { token_ttl })) => Ok(token_ttl),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code.number()),
    }
}

#[tokio::test]
async fn the_hook_authenticates_clients() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut ann = Client::open(&server, codec).await;
        let connected = ann.connected(connect("ann/60000")).await;
        assert_eq!((&*connected.user, connected.token_ttl), ("ann", Duration::from_secs(60)));
        ann.subscribe("a").await;
        ann.ok(publish("a", json())).await;
        assert_eq!(ann.publication().await.publisher.unwrap().user, "ann");
        let mut bob = Client::open(&server, codec).await;
        assert_eq!(bob.connected(connect("bob")).await.token_ttl, Duration::ZERO);
    }
}

#[tokio::test]
async fn a_refused_client_gets_the_reason_and_can_try_again() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        for (token, code) in [("", 101), ("old", 109), ("down", 128)] {
            let error = client.request(Request::Connect(connect(token))).await.result.unwrap_err();
            assert_eq!((error.code.number(), error.temporary), (code, code != 101));
            assert!(!error.message.contains("the test"), "what went wrong is for the log: {error:?}");
        }
        assert_eq!(server.hub.local_sessions(), 0);
        assert_eq!(client.connected(connect("ann")).await.user, "ann");
        drop(client);

        let mut client = Client::open(&server, codec).await;
        client.request(Request::Connect(connect(""))).await.result.unwrap_err();
        client.send([wirehub_common::frame::Command { id: 9, request: subscribe("a", 1) }]).await;
        assert_eq!(client.closed().await.0, 3503, "without a session nothing else is answered");
    }
}

#[tokio::test]
async fn a_token_is_refreshed_in_the_live_connection_and_only_for_its_user() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        client.connected(connect("ann/60000")).await;
        assert_eq!(refresh(&mut client, "ann/120000").await, Ok(Duration::from_secs(120)));
        assert_eq!(refresh(&mut client, "ann").await, Ok(Duration::ZERO));
        assert_eq!(refresh(&mut client, "bob").await, Err(101));
        assert_eq!(refresh(&mut client, "old").await, Err(109));
        client.ok(publish("a", json())).await;
    }
    let server = Server::start(open_hub().build()).await;
    let mut client = Client::connect(&server, CODECS[0]).await;
    assert_eq!(refresh(&mut client, "any").await, Err(108), "there is nobody who knows tokens");
}

#[tokio::test]
async fn an_expired_token_ends_its_session_after_a_reminder_and_a_grace() {
    let server = Server::start(hub().token_grace(Duration::from_millis(50)).build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        client.connected(connect("ann/50")).await;
        assert!(matches!(client.next().await, Received::Frame(ServerFrame::Push(Push::RefreshDue))));
        assert_eq!(client.closed().await.0, 3005);

        let mut client = Client::open(&server, codec).await;
        client.connected(connect("ann/50")).await;
        assert!(matches!(client.next().await, Received::Frame(ServerFrame::Push(Push::RefreshDue))));
        assert_eq!(refresh(&mut client, "ann").await, Ok(Duration::ZERO));
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            client.ok(publish("a", json())).await;
        }
    }
}

#[tokio::test]
async fn namespaces_define_access_and_rights_extend_it() {
    let history = History::new(10, Duration::from_secs(60));
    let closed = Namespace::default()
        .subscribe(Access::TokenOnly)
        .publish(Access::TokenOnly)
        .presence(Access::TokenOnly)
        .history(history);
    let news = Namespace::default().publish(Access::TokenOnly).presence(Access::Everybody);
    let members = Namespace::default().subscribe(Access::Users).publish(Access::Users);
    let hub = open_hub()
        .namespace("closed", closed)
        .namespace("news", news)
        .namespace("members", members)
        .authenticate(async |credentials| {
            let rights = match &*credentials.token {
                "" => return Ok(Authenticated::anonymous()),
                "plain" => Rights::default(),
                pattern => {
                    let patterns = vec![pattern.parse().map_err(|_| Refusal::invalid())?];
                    Rights { subscribe: patterns.clone(), publish: patterns.clone(), presence: patterns }
                }
            };
            Ok(Authenticated::user("ann").with_rights(rights))
        });
    let server = Server::start(hub.build()).await;
    // For each token and channel: subscribe, publish, presence, history; 0 for yes.
    let cases = [
        ("", "closed:a", [103, 103, 103, 103]),
        ("", "news:a", [0, 103, 0, 108]),
        ("", "members:a", [103, 103, 108, 103]),
        ("plain", "members:a", [0, 0, 108, 108]),
        ("plain", "closed:a", [103, 103, 103, 103]),
        ("closed:*", "closed:a", [0, 0, 0, 0]),
        ("closed:b", "closed:a", [103, 103, 103, 103]),
        ("*", "closed:a", [0, 0, 0, 0]),
        ("plain", "@ann", [0, 103, 108, 0]),
        ("plain", "@bob", [103, 103, 108, 103]),
        ("", "@ann", [103, 103, 108, 103]),
        ("*", "@bob", [103, 103, 108, 103]),
        ("*", "@all", [103, 103, 108, 103]),
    ];
    for (codec, (token, channel, expected)) in CODECS.into_iter().cycle().zip(cases) {
        let mut client = Client::open(&server, codec).await;
        client.connected(connect(token)).await;
        let requests = [
            subscribe(channel, 1),
            publish(channel, json()),
            Request::Presence(Presence { channel: name(channel), counts_only: false, after: String::new() }),
            Request::History(Read { channel: name(channel), since: None, limit: 1, reverse: false }),
        ];
        let mut codes = Vec::new();
        for request in requests {
            let result = client.request(request).await.result;
            codes.push(result.map_or_else(|error| error.code.number(), |_| 0));
        }
        assert_eq!(codes, expected, "{token} in {channel}");
    }
}

#[tokio::test]
async fn a_new_token_with_fewer_rights_ends_disallowed_subscriptions() {
    let closed = Namespace::default().subscribe(Access::TokenOnly);
    let server = Server::start(hub().namespace("closed", closed).build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        client.connected(connect("ann//closed:*")).await;
        for channel in ["closed:a", "open:a"] {
            client.subscribe(channel).await;
        }
        refresh(&mut client, "ann").await.unwrap();
        match client.next().await {
            Received::Frame(ServerFrame::Push(Push::Unsubscribed(ended))) => {
                assert_eq!((ended.channel, ended.number), (name("closed:a"), 1));
                assert_eq!(ended.error.code.number(), 103);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(server.hub.local_subscribers(&name("closed:a")), 0);
        assert_eq!(server.hub.local_subscribers(&name("open:a")), 1);
        drop(client);
    }
}

#[tokio::test]
async fn presence_has_session_and_user() {
    let server =
        Server::start(hub().namespace("room", Namespace::default().presence(Access::Everybody)).build())
            .await;
    for codec in CODECS {
        let mut clients = Vec::new();
        for user in ["ann", "bob", "bob"] {
            let mut client = Client::open(&server, codec).await;
            let subscriptions =
                vec![Subscribe { channel: name("room:1"), number: 1, position: None, history: 0 }];
            let session = client.connected(Connect { subscriptions, ..connect(user) }).await.session;
            clients.push((client, session, user));
        }
        let answer = clients[0]
            .0
            .ok(Request::Presence(Presence {
                channel: name("room:1"),
                counts_only: false,
                after: String::new(),
            }))
            .await;
        let ReplyBody::Presence(list) = answer else { panic!("{answer:?}") };
        let mut members: Vec<_> =
            list.members.into_iter().map(|member| (member.session, member.user)).collect();
        members.sort();
        let mut expected: Vec<_> =
            clients.iter().map(|(_, session, user)| (session.clone(), String::from(*user))).collect();
        expected.sort();
        assert_eq!(members, expected);
        drop(clients);
        crate::support::until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn the_sessions_of_a_user_are_limited() {
    let server = Server::start(hub().sessions_per_user(2).build()).await;
    for codec in CODECS {
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut client = Client::open(&server, codec).await;
            client.connected(connect("ann")).await;
            clients.push(client);
        }
        let mut third = Client::open(&server, codec).await;
        let error = third.request(Request::Connect(connect("ann"))).await.result.unwrap_err();
        assert_eq!((error.code.number(), error.temporary), (106, true));
        Client::open(&server, codec).await.connected(connect("bob")).await;
        // Over the same connection, as soon as there is room.
        drop(clients.pop());
        crate::support::until(|| {
            let sessions = server.hub.connected_sessions(None, 10).now_or_never().unwrap().unwrap();
            sessions.items.iter().filter(|session| session.member.user == "ann").count() == 1
        })
        .await;
        third.connected(connect("ann")).await;
        drop((clients, third));
        crate::support::until(|| server.hub.local_sessions() == 0).await;
    }
}

#[tokio::test]
async fn a_token_gets_into_no_log() {
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::start(hub().build()).await;
    let mut client = Client::open(&server, CODECS[1]).await;
    client.connected(connect("swordfish/60000")).await;
    refresh(&mut client, "swordfish/70000").await.unwrap();
    client.request(Request::Refresh(Refresh { token: "down/swordfish".into() })).await.result.unwrap_err();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("authentication failed"), "{text}");
    assert!(!text.contains("swordfish/"), "{text}");
}

#[tokio::test]
async fn a_session_that_ends_during_its_hook_drops_the_hook() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (asked, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let hub = {
        let (asked, dropped) = (Arc::clone(&asked), Arc::clone(&dropped));
        open_hub().authenticate(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            let guard = Dropped(Arc::clone(&dropped));
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
    };
    let server = Server::start(hub.build()).await;
    let mut client = Client::open(&server, CODECS[0]).await;
    client.send([wirehub_common::frame::Command { id: 1, request: Request::Connect(connect("ann")) }]).await;
    crate::support::until(|| asked.load(Ordering::SeqCst) == 1).await;
    drop(client);
    crate::support::until(|| dropped.load(Ordering::SeqCst) == 1).await;
}
