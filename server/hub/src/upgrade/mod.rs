//! The WebSocket endpoints: from an HTTP request to a session.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use axum::routing::get;
use futures_util::FutureExt as _;
use futures_util::future::OptionFuture;
use wirehub_common::{Limits, negotiate};

use self::handshake::{Handshake, HandshakeRefusal};
use crate::hub::SessionId;
use crate::hub::sessions::Peer;
use crate::session::mailbox::Mailbox;
use crate::{Hub, echo, session};

pub(crate) mod client_address;
pub(crate) mod handshake;
pub(crate) mod host;
pub(crate) mod origin;

impl Hub {
    /// The route `/ws` alone, for Wirehub clients. `wirehub_server::router` adds `/health` and `/ready`.
    pub fn websocket(&self) -> Router {
        Router::new().route("/ws", get(wirehub)).with_state(self.clone())
    }

    /// The route `/echo`, which returns every WebSocket message to its sender. It is for tools and tests; merge it into a
    /// router if you need it. Origins, addresses, sizes and times are limited as for `/ws`.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::Hub;
    ///
    /// let hub = Hub::builder().build();
    /// let app = hub.websocket().merge(hub.echo());
    /// # let _ = app;
    /// ```
    pub fn echo(&self) -> Router {
        Router::new().route("/echo", get(plain_echo)).with_state(self.clone())
    }
}

async fn wirehub(State(hub): State<Hub>, mut request: Request) -> Result<Response, HandshakeRefusal> {
    let handshake = Handshake::read(&mut request, &hub)?;
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    // A name outside ASCII is unknown here in any case.
    let (codec, protocol) = negotiate(offered.iter().map(|value| value.to_str().unwrap_or("?")))
        .map_err(|error| HandshakeRefusal::Subprotocol(error).recorded(&request, &hub))?;
    let id =
        SessionId::random().map_err(|error| HandshakeRefusal::Entropy(error).recorded(&request, &hub))?;
    let response = handshake.response(protocol);
    let mailbox = Mailbox::new(hub.live().queue_bytes);
    let peer = Arc::new(Peer::new(id, codec, handshake.address(), mailbox));
    // Only a hook reads the headers. A client may take its time before `connect`, so they are dropped otherwise.
    let has_hook = hub.live().authenticator.is_some();
    let headers = has_hook.then(|| Box::new(std::mem::take(request.headers_mut())));
    let opening = handshake.finish(Limits::DEFAULT.batch_bytes);
    // The session replaces the handshake in the task, which has no room for both.
    tokio::spawn(opening.then(|opened| {
        let opened = opened.map(|(socket, held)| session::serve(hub, peer, headers, socket, held));
        OptionFuture::from(opened)
    }));
    Ok(response)
}

async fn plain_echo(State(hub): State<Hub>, mut request: Request) -> Result<Response, HandshakeRefusal> {
    let handshake = Handshake::read(&mut request, &hub)?;
    let response = handshake.response(None);
    tokio::spawn(async move {
        let limit = hub.live().limits.message_bytes;
        if let Some((socket, held)) = handshake.finish(limit).await {
            echo::serve(&hub, socket).await;
            drop(held);
        }
    });
    Ok(response)
}
