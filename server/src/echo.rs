//! `/echo`: every message goes back as it came.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use wirehub_common::Limits;
use wirehub_common::code::CloseCode;

use crate::Hub;
use crate::hub::connections::Phase;
use crate::session::farewell::{self, CLOSE_TIMEOUT};
use crate::socket::{Fault, Incoming, Socket};

/// Echoes until the connection or the hub ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(hub: &Hub, mut socket: Socket<S>) {
    let end = tokio::select! {
        end = poll_fn(|cx| poll_echo(&mut socket, cx)) => end,
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

/// Reads what has arrived, up to a batch, then writes it all, then reads on: a client that does not read is not
/// read from.
fn poll_echo<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>, cx: &mut Context<'_>) -> Poll<End> {
    loop {
        while !socket.is_writing() && socket.queued_bytes() < Limits::BATCH_BYTES {
            match socket.poll_receive(cx) {
                Poll::Ready(Ok(Incoming::Message(kind, data))) if data.is_empty() => socket.queue_empty(kind),
                Poll::Ready(Ok(Incoming::Message(kind, data))) => socket.queue(kind, |take| take(data)),
                Poll::Ready(Ok(Incoming::Control)) => {}
                Poll::Ready(Ok(Incoming::Close)) => return Poll::Ready(End::Closed),
                Poll::Ready(Err(fault)) => return Poll::Ready(End::Fault(fault)),
                Poll::Pending => break,
            }
        }
        let had_queued = socket.queued_bytes() > 0;
        match socket.poll_flush(cx) {
            // There may be more to read than the batch that was written.
            Poll::Ready(Ok(())) if had_queued => {}
            Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(fault)) => return Poll::Ready(End::Fault(fault)),
        }
    }
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
