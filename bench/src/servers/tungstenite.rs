//! tokio-tungstenite as in its examples: one task for each connection, a channel between them, one `send` for each
//! message.

use anyhow::{Context, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::wire::Role;

/// How many messages a subscriber may be behind.
const BACKLOG: usize = 1024;

pub(super) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        super::announce(listener.local_addr()?)?;
        let (sender, _) = broadcast::channel(BACKLOG);
        loop {
            let (stream, _) = listener.accept().await.context("cannot accept")?;
            stream.set_nodelay(true)?;
            let sender = sender.clone();
            // An error is the end of the load's connection.
            tokio::spawn(async move { converse(stream, sender).await });
        }
    })
}

async fn converse(stream: TcpStream, sender: broadcast::Sender<Message>) -> Result<(), Error> {
    let mut role = None;
    #[allow(clippy::result_large_err, reason = "the type is tungstenite's")]
    let read_role = |request: &Request, response: Response| {
        role = Role::from_path(request.uri().path());
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, read_role).await?;
    match role {
        Some(Role::Subscriber) => forward(socket, sender.subscribe()).await,
        Some(Role::Publisher) => {
            while let Some(message) = socket.next().await {
                // Without subscribers the message is dropped.
                let _ = sender.send(message?);
            }
            Ok(())
        }
        Some(Role::Echo | Role::Visitor) => {
            while let Some(message) = socket.next().await {
                socket.send(message?).await?;
            }
            Ok(())
        }
        None => Ok(()),
    }
}

async fn forward(
    mut socket: WebSocketStream<TcpStream>,
    mut messages: broadcast::Receiver<Message>,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) => socket.send(message).await?,
                // The load counts the messages and notices the loss.
                Err(_) => return Ok(()),
            },
            received = socket.next() => match received {
                Some(received) => drop(received?),
                None => return Ok(()),
            },
        }
    }
}
