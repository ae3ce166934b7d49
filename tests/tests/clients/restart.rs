//! Servers stop and start while clients are connected.

use std::time::Duration;

use axum::Router;
use wirehub_client::common::code::{CloseCode, ErrorCode};
use wirehub_client::{Client, ClientState, Config, Gap};
use wirehub_common::Limits;
use wirehub_common::contract::Schema;
use wirehub_demo_contract::{ChatMessage, ChatRoom, Demo, Echo, EchoRequest};
use wirehub_server::{Hub, router};
use wirehub_tests::{Server, gap, next, publication, soon};

/// The demo's hub with a short window of reconnects.
fn hub() -> Hub {
    let limits = Limits { reconnect_window: Duration::from_millis(200), ..Limits::default() };
    wirehub_demo::builder().limits(limits).build()
}

async fn connected_again(client: &Client) {
    let mut changes = client.state_changes();
    while client.state() != ClientState::Connected {
        next(&mut changes).await;
    }
}

#[tokio::test]
async fn clients_come_back_to_a_server_that_restarts_and_are_subscribed_again() {
    let server = Server::start(hub(), "127.0.0.1:0").await;
    let listen = server.listen_address();
    let (ann, bob) = (server.client().await, server.client().await);
    let room = ChatRoom::new("durable").unwrap();
    let mut heard = bob.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();

    let mut changes = bob.state_changes();
    server.stop().await;
    let change = next(&mut changes).await;
    assert_eq!((change.state, change.code), (ClientState::Reconnecting, Some(CloseCode::SHUTDOWN)));
    assert!(change.retry_in.is_some_and(|delay| delay <= Duration::from_millis(200)), "{change:?}");

    // Published while there is no server: it is sent when there is one again.
    let said = tokio::spawn({
        let (bob, room) = (bob.clone(), room.clone());
        async move {
            let message = ChatMessage { nick: "bob".into(), text: "queued".into() };
            bob.with_timeout(Duration::from_secs(60)).publish(&room, &message).await
        }
    });
    let server = Server::start(hub(), &listen).await;
    soon(connected_again(&ann)).await;
    soon(said).await.unwrap().unwrap();
    assert_eq!(gap(&mut heard).await, Gap::Lost, "the new server knows nothing of the old one's messages");
    assert_eq!(publication(&mut heard).await.message.text, "queued");
    ann.publish(&room, &ChatMessage { nick: "ann".into(), text: "live".into() }).await.unwrap();
    assert_eq!(publication(&mut heard).await.message.text, "live");
    assert_eq!(server.hub.local_sessions(), 2);
}

#[tokio::test]
async fn a_call_that_was_under_way_when_the_server_stopped_ends_with_an_error_at_the_next_one() {
    struct Never;
    impl wirehub_common::contract::Call for Never {
        type Request = EchoRequest;
        type Response = EchoRequest;
        const NAME: &'static str = "never";
    }
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let limits = Limits { reconnect_window: Duration::from_millis(200), ..Limits::default() };
    let never = Hub::builder()
        .limits(limits)
        .call(Never, move |_, _| {
            let begun = begun.clone();
            async move {
                begun.send(()).await.map_err(wirehub_server::call::CallError::internal)?;
                std::future::pending().await
            }
        })
        .build();
    let server = Server::start(never, "127.0.0.1:0").await;
    let listen = server.listen_address();
    let client = server.client().await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call::<Never>(&EchoRequest { text: String::new() }).await }
    });
    soon(begins.recv()).await.unwrap();
    server.stop().await;
    // The new server does not know it.
    let _successor = Server::start(hub(), &listen).await;
    let error = soon(call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::CONNECTION_LOST);
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_client_of_an_older_contract_gets_the_names_of_different_items_and_continues() {
    #[derive(Debug, serde::Serialize, serde::Deserialize, Schema)]
    struct OldMessage {
        text: String,
    }
    wirehub_common::contract! {
        contract Old = "demo";
        channel OldRoom { room } = "chat:{room}": OldMessage;
        call OldEcho = "demo.echo": fn(EchoRequest) -> wirehub_demo_contract::EchoResponse;
    }
    let server = Server::demo().await;
    let config = Config::new().contract::<Old>();
    let client = wirehub_client::client(server.address(), config);
    let mut errors = client.errors();
    soon(client.connect()).await.unwrap();
    let error = next(&mut errors).await;
    assert_eq!(error.code(), ErrorCode::CONTRACT_MISMATCH);
    let message = error.message();
    assert!(message.contains("chat:{room}") && message.contains("demo.rooms"), "{message}");
    assert!(!message.contains("demo.echo"), "equal items are not named: {message}");
    let echo = soon(client.call::<OldEcho>(&EchoRequest { text: "same".into() })).await.unwrap();
    assert_eq!(echo.text, "same");
    let error =
        client.publish(&OldRoom::new("a").unwrap(), &OldMessage { text: "x".into() }).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PAYLOAD_MISMATCH);

    let config = Config::new().contract::<Demo>();
    let same = wirehub_client::client(server.address(), config);
    let mut errors = same.errors();
    soon(same.connect()).await.unwrap();
    same.close(CloseCode::NORMAL, "");
    assert!(
        soon(futures_util::StreamExt::next(&mut errors)).await.is_none(),
        "no error for the same contract"
    );
}

#[tokio::test]
async fn a_hub_serves_within_an_application_of_ones_own() {
    let hub = hub();
    let app = Router::new().route("/own", axum::routing::get(|| async { "own" })).merge(router(&hub));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let address = wirehub_client::Address::parse(&format!("ws://{address}/ws")).unwrap();
    let client = wirehub_client::client(address, Config::default());
    soon(client.connect()).await.unwrap();
    let echo = soon(client.call::<Echo>(&EchoRequest { text: "hi".into() })).await.unwrap();
    assert_eq!(echo.text, "hi");
    serving.abort();
}
