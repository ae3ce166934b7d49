//! The number of concurrent requests, and the shares of sessions and users in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use wirehub_common::Payload;
use wirehub_common::frame::{Command, Refresh, Reply, ReplyBody, Request, ServerFrame};

use super::{client, hub, token, webhook};
use crate::backend::{Backend, ReceivedRequest};
use crate::support::{CODECS, Client, Received, Server, call, subscribe, until};

/// A gate in a backend. Each request that is held back needs a permit.
struct Gate {
    permits: Semaphore,
    /// The requests that were held back so far.
    held: AtomicUsize,
    /// The requests behind the gate at this moment.
    now: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Gate {
    /// A backend with this gate. `decide` returns whether a request is held back, and its answer.
    async fn in_backend(decide: fn(&Value) -> (bool, Value)) -> (Arc<Self>, Backend) {
        let counter = || AtomicUsize::new(0);
        let gate = Arc::new(Self {
            permits: Semaphore::new(0),
            held: counter(),
            now: counter(),
            most_at_once: counter(),
        });
        let of_backend = Arc::clone(&gate);
        let backend = Backend::start(move |asked: ReceivedRequest| {
            let gate = Arc::clone(&of_backend);
            async move {
                let (is_held, answer) = decide(&asked.json());
                if is_held {
                    gate.pass().await;
                }
                Json(answer)
            }
        });
        (gate, backend.await)
    }

    async fn pass(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        self.held.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn concurrent_requests_are_limited() {
    let (gate, backend) = Gate::in_backend(|question| match question["event"].as_str() {
        Some("connect") => (false, json!({ "user": question["token"] })),
        _ => (true, json!({})),
    })
    .await;
    let server = Server::start(hub(&webhook(&backend).concurrency(3)).build()).await;
    let mut clients = Vec::new();
    for user in ["ann", "bob", "cid", "dan"] {
        let mut client = client(&server, CODECS[0], user).await;
        client.send((1..=20).map(|id| Command { id, request: subscribe(&format!("room:{id}"), 1) })).await;
        clients.push(client);
    }
    until(|| gate.held() == 3).await;
    gate.permits.add_permits(80);
    for client in &mut clients {
        for _ in 0..20 {
            assert!(matches!(
                client.next().await,
                Received::Frame(ServerFrame::Reply(Reply { result: Ok(_), .. }))
            ));
        }
    }
    assert_eq!(gate.most_at_once.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn sessions_with_many_requests_to_a_slow_backend_block_no_others() {
    let (gate, backend) = Gate::in_backend(|question| match question["event"].as_str() {
        Some("connect") => (false, json!({ "user": question["token"] })),
        _ => (question["user"] != "bob", json!({})),
    })
    .await;
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
        until(|| gate.held() == of_each_kind * 2).await;
        bob.subscribe(&format!("room:{sessions}")).await;
        assert!(matches!(bob.ok(call("billing.pay", Payload::json("1"))).await, ReplyBody::Called(_)));
    }
    assert_eq!(gate.held(), 8);
}

#[tokio::test]
async fn new_tokens_leave_room_for_connecting_clients() {
    let (gate, backend) =
        Gate::in_backend(|question| (question["token"] == "slow", json!({ "user": "ann" }))).await;
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
    until(|| gate.held() == 1).await;
    // They are not awaited.
    for _ in 0..8 {
        client(&server, CODECS[1], "ann").await;
    }
    assert_eq!(gate.held(), 1, "one slot in four");
    gate.permits.add_permits(12);
    for ann in &mut clients {
        for _ in 0..10 {
            assert!(matches!(ann.next().await, Received::Frame(ServerFrame::Reply(_))));
        }
    }
    assert_eq!(gate.held(), 12, "two of each session, the first and the newest");
}
