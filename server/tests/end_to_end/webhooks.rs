//! Webhooks, with a backend that the test plays.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use wirehub_common::frame::{
    Called, Cancel, Command, Connect, Publish, Push, Refresh, Reply, ReplyBody, Request, ServerFrame,
};
use wirehub_common::{Codec, Payload};
use wirehub_server::Builder;
use wirehub_server::auth::Authenticated;
use wirehub_server::namespace::{Access, Namespace};
use wirehub_server::webhooks::{EventKind, Webhook, Webhooks};

use crate::backend::{Backend, ReceivedRequest};
use crate::support::{
    CODECS, Client, Received, Server, call, name, open_hub, publish, subscribe, unsubscribe, until,
};

const SECRET: &[u8] = b"at least 32 bytes that nobody else knows";

fn webhook(backend: &Backend) -> Webhook {
    Webhook::new(format!("{}/hook", backend.url).parse().unwrap()).retries(0)
}

/// A hub that asks the backend about everything in `room`, and forwards the calls of `billing`.
fn hub(webhook: &Webhook) -> Builder {
    let webhooks = Webhooks::new(SECRET).unwrap();
    open_hub()
        .authenticate(webhooks.connect(webhook.clone()))
        .authorize_subscribe("room:*".parse().unwrap(), webhooks.subscribe(webhook.clone()))
        .authorize_publish("room:*".parse().unwrap(), webhooks.publish(webhook.clone()))
        .call_any("billing.*".parse().unwrap(), webhooks.call(webhook.clone()))
}

/// A backend that takes the token for the user name, and answers every other request with `decide`.
async fn backend(decide: impl Fn(&Value) -> (u16, Value) + Clone + Send + Sync + 'static) -> Backend {
    Backend::start(move |asked| {
        let question = asked.json();
        let (status, body) = match question.get("event").and_then(Value::as_str) {
            Some("connect") => (200, json!({ "user": question.get("token") })),
            _ => decide(&question),
        };
        std::future::ready((StatusCode::from_u16(status).unwrap(), Json(body)))
    })
    .await
}

fn token(token: &str) -> Connect {
    Connect { token: token.into(), client: "app".into(), version: "7".into(), ..Connect::default() }
}

async fn client(server: &Server, codec: Codec, user: &str) -> Client {
    let mut client = Client::open(server, codec).await;
    assert_eq!(client.connected(token(user)).await.user, user);
    client
}

#[tokio::test]
async fn the_backend_decides_about_identity_and_rights() {
    let backend = Backend::start(async |asked: ReceivedRequest| match asked.json()["token"].as_str() {
        Some("full") => Json(json!({
            "user": "ann", "expires_in": 60, "subscribe": ["closed:*"], "publish": ["closed:a"],
            "channels": ["mine"], "info": { "name": "Ann" },
        }))
        .into_response(),
        Some("anybody") => Json(json!({ "user": "" })).into_response(),
        Some("busy") => {
            let busy = json!({ "error": { "code": 1001, "message": "full house", "temporary": true } });
            (StatusCode::CONFLICT, Json(busy)).into_response()
        }
        Some("typo") => Json(json!({ "user": "ann", "expire_in": 60 })).into_response(),
        Some("broken") => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => StatusCode::UNAUTHORIZED.into_response(),
    })
    .await;
    let closed = Namespace::default().subscribe(Access::TokenOnly).publish(Access::TokenOnly);
    let server = Server::start(hub(&webhook(&backend)).namespace("closed", closed).build()).await;
    for codec in CODECS {
        let mut ann = Client::open(&server, codec).await;
        let connected = ann.connected(token("full")).await;
        assert_eq!((&*connected.user, connected.token_ttl), ("ann", Duration::from_secs(60)));
        let Received::Frame(ServerFrame::Push(Push::Subscribed(own))) = ann.next().await else { panic!() };
        assert_eq!(own.channel, name("mine"));
        ann.subscribe("closed:a").await;
        ann.ok(publish("closed:a", Payload::json("1"))).await;
        assert_eq!(&*ann.publication().await.publisher.unwrap().user, "ann");
        let members = server.hub.presence(&name("closed:a"));
        assert_eq!(members.iter().map(|member| &*member.info).collect::<Vec<_>>(), [r#"{"name":"Ann"}"#]);
        assert_eq!(ann.error(publish("closed:b", Payload::json("1"))).await, 103);
        ann.ok(Request::Refresh(Refresh { token: "full".into() })).await;
        assert_eq!(ann.error(Request::Refresh(Refresh { token: "anybody".into() })).await, 101);

        let mut client = Client::open(&server, codec).await;
        for (shown, code, temporary) in
            [("busy", 1001, true), ("nobody", 101, false), ("typo", 128, true), ("broken", 128, true)]
        {
            let error = client.request(Request::Connect(token(shown))).await.result.unwrap_err();
            assert_eq!((error.code.number(), error.temporary), (code, temporary), "{shown}");
        }
        assert_eq!(client.connected(token("anybody")).await.user, "");
    }
    let asked = &backend.requests()[0];
    assert_eq!(
        asked.json(),
        json!({ "id": asked.header("wirehub-request-id"), "event": "connect", "token": "full", "client": "app", "version": "7",
            "address": "127.0.0.1" })
    );
    assert_eq!((&*asked.path, asked.header("content-type")), ("/hook", "application/json"));
    assert!(backend.requests().iter().all(|asked| asked.is_signed(SECRET) && !asked.is_signed(b"another")));
}

#[tokio::test]
async fn the_backend_decides_about_subscriptions_and_messages() {
    let backend = backend(|question| match (question["event"].as_str(), question["channel"].as_str()) {
        (Some("subscribe"), Some("room:closed")) => (403, Value::Null),
        (Some("publish"), _) if question["data"] == "rude" => {
            (200, json!({ "error": { "code": "BAD_REQUEST", "message": "mind your words" } }))
        }
        (Some("publish"), _) if question["data"] == "loud" => (200, json!({ "data": "quiet" })),
        (Some("publish"), _) if question["data"] == "odd" => (200, json!({ "text": "quiet" })),
        (Some("publish"), _) if question["data"] == "bytes" => (200, json!({ "bytes": "AAE=" })),
        _ => (200, json!({})),
    })
    .await;
    let server = Server::start(hub(&webhook(&backend)).build()).await;
    for codec in CODECS {
        let mut ann = client(&server, codec, "ann").await;
        assert_eq!(ann.error(subscribe("room:closed", 1)).await, 103);
        ann.subscribe("room:a").await;
        let say = |text: &str| publish("room:a", Payload::json(json!(text).to_string()));
        ann.ok(say("hi")).await;
        assert_eq!(ann.publication().await.payload, Payload::json(r#""hi""#));
        ann.ok(say("loud")).await;
        assert_eq!(ann.publication().await.payload, Payload::json(r#""quiet""#));
        ann.ok(say("bytes")).await;
        assert_eq!(ann.publication().await.payload, Payload::bytes(vec![0, 1]));
        let error = ann.request(say("rude")).await.result.unwrap_err();
        assert_eq!((error.code.number(), &*error.message), (107, "mind your words"));
        assert_eq!(ann.error(say("odd")).await, 128, "not understood is not allowed");
        let before = backend.requests().len();
        ann.ok(publish("other", Payload::json("1"))).await;
        assert_eq!(backend.requests().len(), before, "nobody asks about other channels");
    }
    let session = server.hub.session_members()[0].session.clone();
    let keyed = Publish { channel: name("room:a"), payload: Payload::bytes("\u{0}"), key: "once".into() };
    let mut ann = client(&server, CODECS[0], "ann").await;
    ann.ok(Request::Publish(keyed)).await;
    let asked = backend.requests().pop().unwrap().json();
    assert_eq!(asked["session"].as_str().map(str::len), Some(session.len()));
    assert_eq!(
        [&asked["event"], &asked["user"], &asked["channel"], &asked["key"], &asked["bytes"]],
        ["publish", "ann", "room:a", "once", "AA=="]
    );
}

#[tokio::test]
async fn calls_are_forwarded_and_answered() {
    let backend = backend(|question| match question["call"].as_str() {
        Some("billing.echo") => (200, json!({ "data": question["data"] })),
        Some("billing.nothing") => (204, json!({})),
        Some("billing.refuse") => (422, json!({ "error": { "code": 1002, "message": "no money" } })),
        Some("billing.fail") => (500, json!({ "data": 1 })),
        other => (404, json!({ "detail": other })),
    })
    .await;
    let server = Server::start(hub(&webhook(&backend).retries(3)).build()).await;
    for codec in CODECS {
        let mut ann = client(&server, codec, "ann").await;
        let payload = Payload::json(r#"{"sum":12345678901234567890}"#);
        let called = |payload| ReplyBody::Called(Called { payload, more: false });
        assert_eq!(ann.ok(call("billing.echo", payload.clone())).await, called(payload.clone()));
        assert_eq!(ann.ok(call("billing.nothing", payload.clone())).await, called(Payload::default()));
        let error = ann.request(call("billing.refuse", payload.clone())).await.result.unwrap_err();
        assert_eq!((error.code.number(), &*error.message, error.temporary), (1002, "no money", false));
        assert_eq!(ann.error(call("billing.other", payload.clone())).await, 128);
        assert_eq!(ann.error(call("else", payload.clone())).await, 104);
        let before = backend.requests().len();
        assert_eq!(ann.error(call("billing.fail", payload)).await, 128);
        assert_eq!(
            backend.requests().len(),
            before + 1,
            "a call that may have been carried out is not repeated"
        );
    }
}

#[tokio::test]
async fn a_repeated_request_has_the_same_id() {
    let left = Arc::new(AtomicUsize::new(2));
    let backend = {
        let left = Arc::clone(&left);
        backend(move |_| {
            let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            (if fails.is_ok() { 503 } else { 200 }, json!({}))
        })
        .await
    };
    let server = Server::start(hub(&webhook(&backend).retries(2)).build()).await;
    let mut ann = client(&server, CODECS[0], "ann").await;
    ann.subscribe("room:a").await;
    let asked = backend.requests();
    let ids: Vec<_> = asked[1..].iter().map(|asked| asked.header("wirehub-request-id")).collect();
    assert_eq!((ids.len(), ids[0], ids[1]), (3, ids[1], ids[2]));
    assert!(asked.iter().all(|asked| asked.is_signed(SECRET)));

    left.store(3, Ordering::SeqCst);
    assert_eq!(ann.error(subscribe("room:b", 1)).await, 128, "not for ever");
    assert_eq!(backend.requests().len(), asked.len() + 3);
    // A call to a dead port did not arrive, so it is repeated too, and fails in the end.
    drop(backend);
    assert_eq!(ann.error(subscribe("room:b", 1)).await, 128);
}

#[tokio::test]
async fn a_backend_that_hangs_or_sends_too_much_fails_only_its_request() {
    let backend = Backend::start(async |asked: ReceivedRequest| match asked.json()["channel"].as_str() {
        None => Json(json!({ "user": "ann" })).into_response(),
        Some("room:huge") => " ".repeat(5_000_000).into_response(),
        Some("room:page") => "<html>".into_response(),
        Some("room:elsewhere") => axum::response::Redirect::temporary("/other").into_response(),
        _ => pending::<Response>().await,
    })
    .await;
    let webhook = webhook(&backend).timeout(Duration::from_millis(300));
    let server = Server::start(hub(&webhook).build()).await;
    for codec in CODECS {
        let mut ann = client(&server, codec, "ann").await;
        let mut bob = client(&server, codec, "ann").await;
        ann.send([
            Command { id: 50, request: subscribe("room:hangs", 1) },
            Command { id: 51, request: publish("room:hangs", Payload::json("1")) },
        ])
        .await;
        // Neither the session itself nor others wait for it.
        ann.subscribe("other").await;
        bob.ok(publish("other", Payload::json("1"))).await;
        assert_eq!(ann.publication().await.channel, name("other"));
        for _ in 0..2 {
            let Received::Frame(ServerFrame::Reply(Reply { id, result })) = ann.next().await else {
                panic!()
            };
            let error = result.unwrap_err();
            assert!([50, 51].contains(&id) && error.code.number() == 128 && error.temporary, "{error:?}");
        }
        for channel in ["room:huge", "room:page", "room:elsewhere"] {
            assert_eq!(bob.error(subscribe(channel, 1)).await, 128, "{channel}");
        }
    }
    assert!(backend.requests().iter().all(|asked| asked.path == "/hook"), "a redirect is not followed");
}

#[tokio::test]
async fn a_cancelled_call_is_dropped_at_the_backend_too() {
    struct Dropped(Arc<AtomicUsize>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let (begun, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let backend = {
        let (begun, dropped) = (Arc::clone(&begun), Arc::clone(&dropped));
        Backend::start(move |asked: ReceivedRequest| {
            let (begun, dropped) = (Arc::clone(&begun), Arc::clone(&dropped));
            async move {
                if asked.json()["event"] == "connect" {
                    return Json(json!({ "user": "ann" }));
                }
                let _dropped = Dropped(dropped);
                begun.fetch_add(1, Ordering::SeqCst);
                pending().await
            }
        })
        .await
    };
    let server = Server::start(hub(&webhook(&backend).timeout(Duration::from_secs(60))).build()).await;
    let mut ann = client(&server, CODECS[0], "ann").await;
    ann.send([Command { id: 50, request: call("billing.slow", Payload::json("1")) }]).await;
    until(|| begun.load(Ordering::SeqCst) == 1).await;
    ann.ok(Request::Cancel(Cancel { command: 50 })).await;
    until(|| dropped.load(Ordering::SeqCst) == 1).await;

    ann.send([
        Command { id: 51, request: call("billing.slow", Payload::json("1")) },
        Command { id: 52, request: subscribe("room:a", 1) },
    ])
    .await;
    until(|| begun.load(Ordering::SeqCst) == 3).await;
    drop(ann);
    until(|| dropped.load(Ordering::SeqCst) == 3).await;
}

#[tokio::test]
async fn concurrent_requests_are_limited() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let backend = {
        let (now, most, gate) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&gate));
        Backend::start(move |asked: ReceivedRequest| {
            let (now, most, gate) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&gate));
            async move {
                let question = asked.json();
                if question["event"] == "connect" {
                    return Json(json!({ "user": question["token"] }));
                }
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                now.fetch_sub(1, Ordering::SeqCst);
                Json(json!({}))
            }
        })
        .await
    };
    let server = Server::start(hub(&webhook(&backend).concurrency(3)).build()).await;
    let mut clients = Vec::new();
    for user in ["ann", "bob", "cid", "dan"] {
        let mut client = client(&server, CODECS[0], user).await;
        client.send((1..=20).map(|id| Command { id, request: subscribe(&format!("room:{id}"), 1) })).await;
        clients.push(client);
    }
    until(|| now.load(Ordering::SeqCst) == 3).await;
    gate.add_permits(80);
    for client in &mut clients {
        for _ in 0..20 {
            assert!(matches!(
                client.next().await,
                Received::Frame(ServerFrame::Reply(Reply { result: Ok(_), .. }))
            ));
        }
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn sessions_with_many_requests_to_a_slow_backend_block_no_others() {
    let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let backend = {
        let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
        Backend::start(move |asked: ReceivedRequest| {
            let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
            async move {
                let question = asked.json();
                if question["event"] == "connect" {
                    return Json(json!({ "user": question["token"] }));
                }
                if question["user"] != "bob" {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                }
                Json(json!({}))
            }
        })
        .await
    };
    let webhook = webhook(&backend).concurrency(8).timeout(Duration::from_secs(60));
    let server = Server::start(hub(&webhook).build()).await;
    let mut bob = client(&server, CODECS[0], "bob").await;
    let mut busy = Vec::new();
    // One session has a quarter of the slots, and the sessions of a user, or the anonymous ones of an address, have half.
    for (sessions, of_each_kind) in [(1, 2), (3, 4)] {
        while busy.len() < sessions {
            let mut ann = client(&server, CODECS[1], "ann").await;
            let asked = (1..=20).flat_map(|id| {
                let (room, id) = (format!("room:{id}"), id * 2);
                let call = Command { id: id + 1, request: call("billing.pay", Payload::json("1")) };
                [Command { id, request: subscribe(&room, 1) }, call]
            });
            ann.send(asked).await;
            busy.push(ann);
        }
        until(|| waiting.load(Ordering::SeqCst) == of_each_kind * 2).await;
        bob.subscribe(&format!("room:{sessions}")).await;
        assert!(matches!(bob.ok(call("billing.pay", Payload::json("1"))).await, ReplyBody::Called(_)));
    }
    assert_eq!(waiting.load(Ordering::SeqCst), 8);
}

/// The events of all accepted batches, without their times and sessions.
fn told(backend: &Backend, is_taken: impl Fn(usize) -> bool) -> Vec<Value> {
    let batches = backend.requests().into_iter().enumerate().filter(|(index, _)| is_taken(*index));
    let list = |asked: ReceivedRequest| asked.json().get("events").and_then(Value::as_array).unwrap().clone();
    let events = batches.flat_map(|(_, asked)| list(asked));
    events
        .map(|mut event| {
            let fields = event.as_object_mut().unwrap();
            assert!(fields.remove("time").unwrap().as_u64().unwrap() > 1_600_000_000_000);
            fields.remove("session").unwrap();
            event
        })
        .collect()
}

#[tokio::test]
async fn events_of_sessions_are_repeated_until_the_backend_accepts_them() {
    // The first two attempts fail.
    let left = Arc::new(AtomicUsize::new(2));
    let backend = {
        let left = Arc::clone(&left);
        Backend::start(move |_| {
            let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            std::future::ready(if fails.is_ok() { StatusCode::BAD_GATEWAY } else { StatusCode::NO_CONTENT })
        })
        .await
    };
    let webhooks = Webhooks::new(SECRET).unwrap();
    let hub = open_hub()
        .authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
        .observe(webhooks.events(webhook(&backend), &EventKind::ALL));
    let mut server = Server::start(hub.build()).await;
    let mut ann = client(&server, CODECS[0], "ann").await;
    ann.subscribe("a").await;
    ann.ok(subscribe("a", 2)).await;
    ann.ok(unsubscribe("a", 2)).await;
    assert_eq!(ann.error(subscribe("@bob", 1)).await, 103, "what does not happen is not told");
    ann.subscribe("b").await;
    let again = ann.command(Request::Connect(Connect::default()));
    ann.send([again]).await;
    assert_eq!(ann.closed().await.0, 3502);
    let mut bob = client(&server, CODECS[1], "bob").await;
    // Nothing is lost by a stop.
    server.stop();
    bob.closed().await;
    drop((ann, bob));
    server.stopped().await;

    let connected = |user| json!({ "kind": "connected", "user": user, "client": "app", "version": "7" });
    let of_ann = |kind, channel| json!({ "kind": kind, "user": "ann", "channel": channel });
    assert_eq!(
        told(&backend, |attempt| attempt >= 2),
        [
            connected("ann"),
            of_ann("subscribed", "a"),
            of_ann("unsubscribed", "a"),
            of_ann("subscribed", "b"),
            json!({ "kind": "disconnected", "user": "ann", "code": 3502 }),
            connected("bob"),
            json!({ "kind": "disconnected", "user": "bob", "code": 3000 }),
        ]
    );
    let asked = backend.requests();
    let batch = asked[0].json();
    assert_eq!((&batch["event"], &batch["lost"]), (&json!("events"), &json!(0)));
    let same = |field: &str| asked[..3].iter().all(|asked| asked.json()[field] == batch[field]);
    assert!(same("id") && same("events") && same("server"));
    assert!(asked.iter().all(|asked| asked.is_signed(SECRET)));
}

#[tokio::test]
async fn a_client_that_keeps_subscribing_displaces_no_connected_and_disconnected_events() {
    // Nothing is accepted before the gate opens.
    let gate = Arc::new(Semaphore::new(0));
    let backend = {
        let gate = Arc::clone(&gate);
        Backend::start(move |_| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.unwrap();
                StatusCode::NO_CONTENT
            }
        })
        .await
    };
    let webhooks = Webhooks::new(SECRET).unwrap();
    let webhook = webhook(&backend).timeout(Duration::from_secs(60));
    let hub = open_hub()
        .commands_per_second(0)
        .authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
        .observe(webhooks.events(webhook, &EventKind::ALL));
    let mut server = Server::start(hub.build()).await;
    let mut busy = client(&server, CODECS[0], "busy").await;
    let channel = "x".repeat(250);
    // 10 MB of events: more than the queue holds.
    for round in 0..150 {
        busy.send((1..=100).flat_map(|step| {
            let number = round * 100 + step;
            [
                Command { id: 0, request: subscribe(&channel, number) },
                Command { id: 0, request: unsubscribe(&channel, number) },
            ]
        }))
        .await;
        busy.ok(Request::Cancel(Cancel { command: 0 })).await;
    }
    for number in 0..20 {
        drop(client(&server, CODECS[1], &format!("user{number}")).await);
        until(|| server.hub.sessions() == 1).await;
    }
    gate.add_permits(1);
    server.stop();
    busy.closed().await;
    server.stopped().await;
    let events = told(&backend, |_| true);
    for number in 0..20 {
        let user = json!(format!("user{number}"));
        let kinds: Vec<_> =
            events.iter().filter(|event| event["user"] == user).map(|event| &event["kind"]).collect();
        assert_eq!(kinds, ["connected", "disconnected"], "{user}");
    }
    let lost: u64 = backend.requests().iter().map(|asked| asked.json()["lost"].as_u64().unwrap()).sum();
    assert!(lost > 10_000, "{lost}: what had no room is told as lost");
}

#[tokio::test]
async fn new_tokens_leave_room_for_connecting_clients() {
    let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let backend = {
        let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
        Backend::start(move |asked: ReceivedRequest| {
            let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
            async move {
                let user = asked.json()["token"].clone();
                if user == "slow" {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                }
                Json(json!({ "user": "ann" }))
            }
        })
        .await
    };
    let webhook = webhook(&backend).concurrency(4).timeout(Duration::from_secs(60));
    let server = Server::start(hub(&webhook).build()).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut ann = Client::open(&server, CODECS[0]).await;
        ann.connected(token("ann")).await;
        let refresh = || Request::Refresh(Refresh { token: "slow".into() });
        ann.send((10..20).map(|id| Command { id, request: refresh() })).await;
        clients.push(ann);
    }
    until(|| waiting.load(Ordering::SeqCst) == 1).await;
    // They are not awaited.
    for _ in 0..8 {
        client(&server, CODECS[1], "ann").await;
    }
    assert_eq!(waiting.load(Ordering::SeqCst), 1, "one slot in four");
    gate.add_permits(12);
    for ann in &mut clients {
        for _ in 0..10 {
            assert!(matches!(ann.next().await, Received::Frame(ServerFrame::Reply(_))));
        }
    }
    assert_eq!(waiting.load(Ordering::SeqCst), 12, "two of each session, the first and the newest");
}

#[tokio::test]
async fn only_configured_kinds_are_sent_and_a_stop_does_not_wait_for_ever() {
    let backend = Backend::start(async |_| pending::<Response>().await).await;
    let webhooks = Webhooks::new(SECRET).unwrap();
    let kinds = [EventKind::Connected];
    let hub = open_hub().observe(webhooks.events(webhook(&backend), &kinds)).build();
    let server = Server::start(hub.clone()).await;
    let mut client = Client::connect(&server, CODECS[0]).await;
    client.subscribe("a").await;
    until(|| !backend.requests().is_empty()).await;
    assert_eq!(
        told(&backend, |_| true),
        [json!({ "kind": "connected", "user": "", "client": "", "version": "" })]
    );
    drop(client);
    until(|| server.hub.sessions() == 0).await;
    hub.shutdown(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn backends_are_verified_over_tls() {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    // The server's own listener serves as a backend.
    let tls = wirehub_server::Tls::from_files(&certificate, &key).unwrap();
    let listener =
        wirehub_server::Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap().with_tls(tls);
    let wirehub_server::ListenAddress::Tcp(address) = listener.address().unwrap() else { panic!() };
    let app = axum::Router::new().fallback(async || Json(json!({ "user": "ann" })));
    let serving = tokio::spawn(wirehub_server::run(listener, open_hub().build(), app, pending()));

    let at =
        |host: &str| Webhook::new(format!("https://{host}:{}/", address.port()).parse().unwrap()).retries(0);
    let trusting =
        || Webhooks::new(SECRET).unwrap().with_root_certificates(pair.cert.pem().as_bytes()).unwrap();
    for (webhooks, host, is_believed) in [
        (trusting(), "localhost", true),
        (trusting(), "127.0.0.1", false),
        (Webhooks::new(SECRET).unwrap(), "localhost", false),
    ] {
        let hub = open_hub().authenticate(webhooks.connect(at(host))).build();
        let server = Server::start(hub).await;
        let mut client = Client::open(&server, CODECS[0]).await;
        match client.request(Request::Connect(token("any"))).await.result {
            Ok(ReplyBody::Connected(connected)) => assert!(is_believed && connected.user == "ann"),
            Err(error) => assert_eq!((is_believed, error.code.number()), (false, 128)),
            other => panic!("{other:?}"),
        }
    }
    serving.abort();
}
