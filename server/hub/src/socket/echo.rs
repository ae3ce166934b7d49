//! The echo of messages, without a buffer of the connection.

use std::cell::OnceCell;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{FoundItem, Frames, MessagePayload};
use super::gather::Gather;
use super::incoming::{Received, space};
use super::outgoing::{Header, PONG, control};
use super::{Fault, Socket};

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Sends every message back until the peer closes. The answer to the close goes out with the next flush. Nothing is read
    /// while something can't be written. Sets `has_echoed` if there was a message.
    pub(crate) fn poll_echo(
        &mut self,
        cx: &mut Context<'_>,
        has_echoed: &mut bool,
    ) -> Poll<Result<(), Fault>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if let Some(received) = self.reader.next_unseen()? {
                *has_echoed |= matches!(received, Received::Message(..));
                if let Some(payload) = self.echo(received) {
                    return self.end_of_echo(&payload);
                }
                continue;
            }
            let mut space = space();
            let mut space = ReadBuf::uninit(&mut space);
            let mut bytes =
                ready!(self.reader.poll_read(&mut self.stream, &mut self.is_alive, cx, &mut space))?;
            let collected = OnceCell::new();
            let mut gather = Gather::new();
            let end = echo_all(self.reader.frames(), &mut bytes, &collected, &mut gather, has_echoed);
            self.reader.keep(bytes);
            let written = self.outgoing.poll_write_through(&gather, &mut self.stream, cx);
            if let Some(payload) = end? {
                return self.end_of_echo(payload);
            }
            ready!(written).map_err(|_| Fault::Gone)?;
        }
    }

    /// Queues a ping. If something waits to be written already, that is a sign of life too.
    pub(crate) fn queue_ping(&mut self) {
        if self.outgoing.bytes() == 0 {
            self.outgoing.queue_ping();
        }
    }

    /// Queues a message that was read earlier. Returns the content of a close.
    fn echo(&mut self, received: Received) -> Option<bytes::Bytes> {
        match received {
            Received::Message(kind, data) if data.is_empty() => self.outgoing.queue_empty(kind),
            Received::Message(kind, data) => self.outgoing.queue(kind, |take| take(data)),
            Received::Ping(payload) => self.outgoing.queue_pong(&payload),
            Received::Pong => {}
            Received::Close(payload) => return Some(payload),
        }
        None
    }

    fn end_of_echo(&mut self, payload: &[u8]) -> Poll<Result<(), Fault>> {
        self.closed_by_peer = true;
        self.queue_close(payload);
        Poll::Ready(Ok(()))
    }
}

/// Gathers the answers to every complete message. Returns the content of a close; nothing behind it is read.
fn echo_all<'a>(
    frames: &mut Frames,
    bytes: &mut &'a mut [u8],
    collected: &'a OnceCell<Vec<u8>>,
    gather: &mut Gather<'a>,
    has_echoed: &mut bool,
) -> Result<Option<&'a [u8]>, Fault> {
    while let Some(found) = frames.next(bytes)? {
        *has_echoed |= matches!(found, FoundItem::Message(..));
        match found {
            FoundItem::Message(kind, MessagePayload::InPlace(data)) => {
                gather.push_copy(Header::new(kind, data.len()).as_slice());
                gather.push(data);
            }
            FoundItem::Message(kind, MessagePayload::Collected(data)) => {
                gather.push_copy(Header::new(kind, data.len()).as_slice());
                match collected.set(data) {
                    Ok(()) => gather.push(collected.get().map_or(&[], Vec::as_slice)),
                    // The first message began in an earlier read. This one came in several frames, all of them in this read.
                    Err(data) => gather.push_copy(&data),
                }
            }
            FoundItem::Ping(payload) => gather.push_copy(&control(PONG, payload)),
            FoundItem::Pong => {}
            FoundItem::Close(payload) => return Ok(Some(payload)),
        }
    }
    Ok(None)
}
