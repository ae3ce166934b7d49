//! Tokens that expire under a client that stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wirehub_client::common::code::ErrorCode;
use wirehub_client::{ClientState, Config, Gap};
use wirehub_demo_contract::{ChatMessage, ChatRoom, Demo};
use wirehub_server::Hub;
use wirehub_server::auth::{Authenticated, Refusal};
use wirehub_tests::{Server, next, publication, soon};

/// Tokens are numbers: their lifetimes in milliseconds.
fn hub() -> Hub {
    Hub::builder()
        .contract::<Demo>()
        .token_grace(Duration::ZERO)
        .authenticate(async |credentials| {
            let ttl = credentials.token.parse().map_err(|_| Refusal::invalid())?;
            Ok(Authenticated::user("ann").expires_in(Duration::from_millis(ttl)))
        })
        .build()
}

fn line(number: usize) -> ChatMessage {
    ChatMessage { nick: "ann".into(), text: number.to_string() }
}

#[tokio::test]
async fn a_provider_is_asked_before_the_token_expires_and_the_connection_stays() {
    let server = Server::start(hub(), "127.0.0.1:0").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let client = {
        let asked = Arc::clone(&asked);
        wirehub_client::client_with_tokens(server.address(), Config::default(), move || {
            asked.fetch_add(1, Ordering::SeqCst);
            async { Ok("1500".into()) }
        })
    };
    soon(client.connect()).await.unwrap();
    assert_eq!(client.user(), "ann");
    let session = client.session();
    let room = ChatRoom::new("lobby").unwrap();
    let mut heard = client.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();
    // Longer than the lifetime of a token, twice.
    let mut said = 0;
    while asked.load(Ordering::SeqCst) < 4 {
        client.publish(&room, &line(said)).await.unwrap();
        assert_eq!(publication(&mut heard).await.message, line(said));
        said += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.session(), session, "it is the first connection still");
}

#[tokio::test]
async fn a_client_whose_token_can_not_be_renewed_ends_with_the_reason() {
    let server = Server::start(hub(), "127.0.0.1:0").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let client = {
        let asked = Arc::clone(&asked);
        wirehub_client::client_with_tokens(server.address(), Config::default(), move || {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if first { Ok("1500".into()) } else { Err(wirehub_client::Error::signed_out()) } }
        })
    };
    soon(client.connect()).await.unwrap();
    let mut changes = client.state_changes();
    while client.state() != ClientState::Closed {
        next(&mut changes).await;
    }
    let error = soon(client.connect()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_refused_token_ends_the_client_with_the_servers_words() {
    let server = Server::start(hub(), "127.0.0.1:0").await;
    let client = wirehub_client::client(server.address(), Config::new().token("x"));
    let error = soon(client.connect()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_client_with_tokens_set_by_hand_survives_their_expiry_and_a_change_of_user() {
    let hub = Hub::builder().contract::<Demo>().authenticate(async |credentials| match &*credentials.token {
        "expired" => Err(Refusal::expired()),
        "" => Err(Refusal::invalid()),
        user => Ok(Authenticated::user(user)),
    });
    let server = Server::start(hub.build(), "127.0.0.1:0").await;
    let config = Config::new().token("expired");
    let client = wirehub_client::client(server.address(), config);
    let room = ChatRoom::new("lobby").unwrap();
    let mut heard = client.subscribe(&room).unwrap();
    let error = soon(client.connect()).await.unwrap_err();
    assert_eq!((error.code(), client.needs_token()), (ErrorCode::TOKEN_EXPIRED, true));

    client.set_token("ann").unwrap();
    soon(client.connect()).await.unwrap();
    soon(heard.ready()).await.unwrap();
    assert_eq!((client.user().as_str(), client.needs_token()), ("ann", false));

    // Another user signs in on the same page.
    let mut changes = client.state_changes();
    client.set_token("bob").unwrap();
    while !(client.state() == ClientState::Connected && client.user() == "bob") {
        next(&mut changes).await;
    }
    client.publish(&room, &line(1)).await.unwrap();
    while let Some(gap) = next(&mut heard).await.unwrap().gap() {
        assert_eq!(gap, Gap::NoHistory);
    }

    // A token that belongs to no user ends the client.
    client.set_token("").unwrap();
    while client.state() != ClientState::Closed {
        next(&mut changes).await;
    }
    assert_eq!(soon(client.connect()).await.unwrap_err().code(), ErrorCode::UNAUTHORIZED);
}
