//! The events of sessions.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use wirehub_common::frame::{Cancel, Command, Connect, Request};
use wirehub_server::auth::Authenticated;
use wirehub_server::webhooks::{EventKind, Webhooks};

use super::{SECRET, client, webhook};
use crate::backend::{Backend, ReceivedRequest};
use crate::support::{CODECS, Client, Server, open_hub, subscribe, unsubscribe, until};

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
        until(|| server.hub.local_sessions() == 1).await;
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
    until(|| server.hub.local_sessions() == 0).await;
    hub.shutdown(Duration::from_millis(100)).await;
}
