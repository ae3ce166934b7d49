//! `/echo`: every message goes back as it came.

use std::future::poll_fn;

use tokio::io::{AsyncRead, AsyncWrite};
use wirehub_common::code::CloseCode;

use crate::Hub;
use crate::hub::connections::Phase;
use crate::session::farewell::{self, CLOSE_TIMEOUT};
use crate::socket::{Fault, Socket};

/// Echoes until the connection or the hub ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(hub: &Hub, mut socket: Socket<S>) {
    let end = tokio::select! {
        end = poll_fn(|cx| socket.poll_echo(cx)) => end.map_or_else(End::Fault, |()| End::Closed),
        () = hub.connections().reached(Phase::Stopping) => End::Stopping,
    };
    let parting = async {
        match end {
            End::Closed => poll_fn(|cx| socket.poll_flush(cx)).await,
            End::Stopping => {
                let code = CloseCode::GOING_AWAY;
                farewell::close(code, code.message(), &mut socket).await
            }
            End::Fault(Fault::Violation(code, reason)) => farewell::fail(code, &reason, &mut socket).await,
            End::Fault(Fault::Gone) => Ok(()),
        }
    };
    tokio::select! {
        // However it ended: the socket is dropped next.
        _ = tokio::time::timeout(CLOSE_TIMEOUT, parting) => {}
        () = hub.connections().reached(Phase::Stopped) => {}
    }
}

enum End {
    /// The client closed.
    Closed,
    Stopping,
    Fault(Fault),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    // Time is paused: the clock goes on only when nothing else can.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_not_read_from() {
        let (server, client) = tokio::io::duplex(10_000);
        tokio::spawn(async move {
            let socket = Socket::new(server, &Bytes::new(), 1 << 20);
            serve(&Hub::builder().build(), socket).await;
        });
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let message = Message::Binary(vec![7; 1000].into());
        let mut sent = 0_usize;
        while tokio::time::timeout(Duration::from_secs(1), client.send(message.clone())).await.is_ok() {
            sent += 1;
        }
        // What fits into the pipe both ways, and one batch.
        assert!((20..100).contains(&sent), "{sent}");
        for _ in 0..sent {
            assert_eq!(client.next().await.unwrap().unwrap(), message);
        }
    }
}
