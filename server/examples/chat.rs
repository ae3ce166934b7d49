//! A chat server: a hub with a contract, hooks and a call, among the routes of an axum application.
#![allow(missing_docs, unreachable_pub, reason = "a program in one file")]

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use wirehub_common::contract::Schema;
use wirehub_server::auth::Authenticated;
use wirehub_server::call::CallError;
use wirehub_server::common::code::ErrorCode;
use wirehub_server::{Hub, STOP_DEADLINE, router, shutdown_signal};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Line {
    pub nick: String,
    pub text: String,
}

// The contract between clients and the server. Both compile it.
wirehub_common::contract! {
    pub contract Chat = "chat";
    /// A chat room.
    channel Room { room } = "chat:{room}": Line;
    /// Greets a room and returns the number of connected sessions.
    call Greet = "chat.greet": fn(Line) -> u32;
}

pub(crate) fn hub() -> Result<Hub, Box<dyn std::error::Error>> {
    Ok(Hub::builder()
        .contract::<Chat>()
        // Authenticates the client. A real application looks the token up or verifies it with `jwt`.
        .authenticate(async |credentials| match &*credentials.token {
            "" => Ok(Authenticated::anonymous()),
            name => Ok(Authenticated::user(name)),
        })
        // Authorizes subscriptions. Without a hook, namespaces and tokens decide.
        .authorize_subscribe("chat:staff".parse()?, async |who, _room| match who.user() {
            "" => Err(CallError::from_code(ErrorCode::PERMISSION_DENIED).with_message("sign in first")),
            _ => Ok(()),
        })
        .call(Greet, async |context, line| {
            let lobby = Room::new("lobby").map_err(CallError::internal)?;
            context.hub().publish(&lobby, &line).map_err(CallError::internal)?;
            Ok(u32::try_from(context.hub().local_sessions()).unwrap_or(u32::MAX))
        })
        .build())
}

/// The application's own routes, and the hub's `/ws`, `/health` and `/ready`.
pub(crate) fn app(hub: &Hub) -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/announce", post(announce))
        .with_state(hub.clone())
        .merge(router(hub))
}

/// Publishes from an HTTP handler. A message of another type would not compile.
async fn announce(State(hub): State<Hub>, text: String) -> StatusCode {
    let Ok(lobby) = Room::new("lobby") else { return StatusCode::INTERNAL_SERVER_ERROR };
    match hub.publish(&lobby, &Line { nick: "server".into(), text }) {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = hub()?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    let stop = {
        let hub = hub.clone();
        async move {
            shutdown_signal().await;
            // Clients are notified when to reconnect, and their queues are flushed.
            hub.shutdown(STOP_DEADLINE).await;
        }
    };
    Ok(serve(listener, app(&hub)).with_graceful_shutdown(stop).await?)
}
