//! An application that authorizes each action, slowly, and is unavailable for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use wirehub_client::Config;
use wirehub_client::common::code::ErrorCode;
use wirehub_common::Limits;
use wirehub_demo_contract::{ChatMessage, ChatRoom, Demo};
use wirehub_server::auth::{Authenticated, Refusal};
use wirehub_server::call::CallError;
use wirehub_server::namespace::{History, Namespace};
use wirehub_server::{Builder, Hub};
use wirehub_tests::{Server, publication, soon};

/// A hub whose rooms keep history, and whose clients reconnect quickly.
fn hub() -> Builder {
    let limits = Limits { reconnect_window: Duration::from_millis(50), ..Limits::default() };
    let history = History::new(1000, Duration::from_secs(3600));
    Hub::builder().contract::<Demo>().limits(limits).namespace("chat", Namespace::default().history(history))
}

fn line(number: usize) -> ChatMessage {
    ChatMessage { nick: "ann".into(), text: number.to_string() }
}

#[tokio::test]
async fn messages_that_are_decided_on_come_once_and_in_order_though_connections_break() {
    // Smaller numbers are allowed; the rest waits.
    let (allow, allowed) = watch::channel(0);
    let hub = hub().authorize_publish("chat:*".parse().unwrap(), move |_, request| {
        let mut allowed = allowed.clone();
        async move {
            let message: ChatMessage =
                serde_json::from_slice(&request.payload.data).map_err(CallError::internal)?;
            let number: usize = message.text.parse().map_err(CallError::internal)?;
            allowed.wait_for(|allowed| number < *allowed).await.map_err(CallError::internal)?;
            // Decisions take more than one turn.
            tokio::task::yield_now().await;
            Ok(request.payload)
        }
    });
    let server = Server::start(hub.build(), "127.0.0.1:0").await;
    let proxy = server.proxy().await;
    let bob = wirehub_client::client(proxy.address(), Config::default());
    let bob = bob.with_timeout(Duration::from_secs(60));
    let ann = server.client().await;
    let room = ChatRoom::new("lobby").unwrap();
    let mut heard = ann.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();
    soon(bob.connect()).await.unwrap();

    // More than a session queues.
    let lines: Vec<_> = (0..200).map(line).collect();
    let mut publishing = Box::pin(join_all(lines.iter().map(|line| bob.publish(&room, line))));
    for expected in 0..50 {
        allow.send_replace(expected + 1);
        let publication = tokio::select! {
            publication = publication(&mut heard) => publication,
            _ = &mut publishing => panic!("not all have been decided on"),
        };
        assert_eq!(publication.message, line(expected));
        if expected % 20 == 10 {
            proxy.cut();
        }
    }
    allow.send_replace(1000);
    let positions = soon(publishing).await;
    for (offset, position) in (1..).zip(positions) {
        assert_eq!(position.unwrap().unwrap().offset, offset);
    }
    for expected in 50..200 {
        assert_eq!(publication(&mut heard).await.message, line(expected));
    }
    ann.publish(&room, &line(200)).await.unwrap();
    assert_eq!(publication(&mut heard).await.message, line(200), "none of them comes a second time");
}

#[tokio::test]
async fn a_client_outlasts_an_application_that_can_not_be_asked() {
    let (is_there, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let hub = {
        let (is_there, asked) = (Arc::clone(&is_there), Arc::clone(&asked));
        let for_rooms = (Arc::clone(&is_there), Arc::clone(&asked));
        hub()
            .authenticate(move |_| {
                asked.fetch_add(1, Ordering::SeqCst);
                let is_there = is_there.load(Ordering::SeqCst);
                async move {
                    if is_there { Ok(Authenticated::user("ann")) } else { Err(Refusal::unavailable("the test says so")) }
                }
            })
            .authorize_subscribe("chat:*".parse().unwrap(), move |_, _| {
                // It comes back after the first question.
                let was_there = for_rooms.0.swap(true, Ordering::SeqCst);
                for_rooms.1.fetch_add(1, Ordering::SeqCst);
                async move {
                    was_there.then_some(()).ok_or_else(|| CallError::from_code(ErrorCode::UNAVAILABLE))
                }
            })
    };
    let server = Server::start(hub.build(), "127.0.0.1:0").await;
    let client = wirehub_client::client(server.address(), Config::default());
    let coming_back = async {
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        is_there.store(true, Ordering::SeqCst);
    };
    let (connected, ()) = soon(async { tokio::join!(client.connect(), coming_back) }).await;
    connected.unwrap();
    assert_eq!(client.user(), "ann");

    is_there.store(false, Ordering::SeqCst);
    asked.store(0, Ordering::SeqCst);
    let room = ChatRoom::new("lobby").unwrap();
    let mut heard = client.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    server.hub.publish(&room, &line(1)).unwrap();
    assert_eq!(publication(&mut heard).await.message, line(1));
}
