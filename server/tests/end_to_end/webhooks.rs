//! Webhooks, with a backend that the test plays.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use wirehub_common::frame::{
    Called, Cancel, Command, Connect, Publish, Push, Refresh, Reply, ReplyBody, Request, ServerFrame,
};
use wirehub_common::{Codec, Payload};
use wirehub_server::Builder;
use wirehub_server::namespace::{Access, Namespace};
use wirehub_server::webhooks::{Webhook, Webhooks};

use crate::backend::{Backend, ReceivedRequest};
use crate::support::{CODECS, Client, Received, Server, call, name, open_hub, publish, subscribe, until};

mod events;
mod slots;

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
        let members = server.hub.presence(&name("closed:a")).await.unwrap();
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
        (Some("publish"), _) if question["head"] == "a.png" => {
            (200, json!({ "head": "b.png", "bytes": question["bytes"] }))
        }
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
        ann.ok(publish("room:a", Payload::attachment("\"a.png\"", [7]))).await;
        assert_eq!(ann.publication().await.payload, Payload::attachment("\"b.png\"", [7]));
        let error = ann.request(say("rude")).await.result.unwrap_err();
        assert_eq!((error.code.number(), &*error.message), (107, "mind your words"));
        assert_eq!(ann.error(say("odd")).await, 128, "not understood is not allowed");
        let before = backend.requests().len();
        ann.ok(publish("other", Payload::json("1"))).await;
        assert_eq!(backend.requests().len(), before, "nobody asks about other channels");
    }
    let session = server.hub.session_members(None, 1).await.unwrap().items[0].session.clone();
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
