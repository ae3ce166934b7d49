//! The end of a connection: the last frames and the closing handshake, within a deadline.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use wirehub_common::Limits;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::{Disconnect, Push, ServerFrame};

use super::SessionEnd;
use super::mailbox::{Ending, TakenBatch};
use crate::Hub;
use crate::hub::connections::Phase;
use crate::hub::sessions::Peer;
use crate::socket::{Fault, Incoming, Kind, Socket};

/// The time for a client to receive the rest and to answer the close.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Closes the connection according to the end of its session.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    end: SessionEnd,
    peer: &Peer,
    hub: &Hub,
    socket: &mut Socket<S>,
) {
    let closing = async {
        match end {
            SessionEnd::Ending(ending) => {
                flush_all(&ending, peer, socket).await?;
                close(ending.code, &ending.reason, socket).await
            }
            SessionEnd::Violation(code, reason) => fail(code, &reason, socket).await,
            SessionEnd::Closed => poll_fn(|cx| socket.poll_flush(cx)).await,
            SessionEnd::Gone | SessionEnd::Aborted => Ok(()),
        }
    };
    tokio::select! {
        biased;
        // The socket is dropped next in any case.
        _ = tokio::time::timeout(CLOSE_TIMEOUT, closing) => {}
        () = hub.connections().reached(Phase::Stopped) => {}
    }
}

/// Closes, and waits for the answer.
pub(crate) async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    code: CloseCode,
    reason: &str,
    socket: &mut Socket<S>,
) -> Result<(), Fault> {
    socket.close(code, reason);
    poll_fn(|cx| socket.poll_flush(cx)).await?;
    while poll_fn(|cx| socket.poll_receive(cx)).await? != Incoming::Close {}
    Ok(())
}

/// Closes the connection to a client that broke the WebSocket protocol. Its answer to the close can't be read.
pub(crate) async fn fail<S: AsyncRead + AsyncWrite + Unpin>(
    code: CloseCode,
    reason: &str,
    socket: &mut Socket<S>,
) -> Result<(), Fault> {
    socket.close(code, reason);
    poll_fn(|cx| socket.poll_flush(cx)).await?;
    poll_fn(|cx| socket.poll_linger(cx)).await;
    Ok(())
}

async fn flush_all<S: AsyncRead + AsyncWrite + Unpin>(
    ending: &Ending,
    peer: &Peer,
    socket: &mut Socket<S>,
) -> Result<(), Fault> {
    let kind = Kind::from(peer.codec);
    loop {
        poll_fn(|cx| socket.poll_flush(cx)).await?;
        let taken = socket.queue(kind, |take| peer.mailbox.take_batch(peer.codec, Limits::BATCH_BYTES, take));
        // Gaps are not reported any more: the client recovers when it comes back.
        if taken == TakenBatch::Empty {
            break;
        }
    }
    if let Some(retry_after) = ending.disconnect_push {
        let disconnect = Disconnect { code: ending.code, reason: ending.reason.clone().into(), retry_after };
        let frame = peer.codec.encode_frame(&ServerFrame::Push(Push::Disconnect(disconnect)));
        socket.queue(kind, |take| take(frame));
    }
    Ok(())
}
