//! The server's end of an encrypted connection, which has no buffer while it is idle.
//!
//! rustls' own connection, and with it tokio-rustls' stream, keeps its read buffer of 4 KiB. That is most of the memory
//! of an idle connection. This stream uses rustls' *unbuffered* connection, which works in memory that the caller
//! lends: it reads to the stack, and keeps leftover bytes only while there are some.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An encrypted connection, after its handshake.
pub(crate) struct TlsStream<S> {
    io: S,
    tls: UnbufferedServerConnection,
    /// Received bytes that cannot be processed yet: less than a record, or records with less than a whole TLS message.
    /// Everything else is processed at once, so that `tls` finds nothing new when it is asked to write.
    incoming: Box<[u8]>,
    /// Decrypted and not read yet.
    plain: BytesMut,
    /// Encrypted and not written yet.
    outgoing: BytesMut,
    receiving: Receiving,
    /// True if the final alert has been encrypted.
    is_closing: bool,
}

/// The state of the other end's direction.
enum Receiving {
    Open,
    /// The other end has closed its direction.
    Closed,
    /// The other end violated the protocol, or reported a violation.
    Failed(Box<rustls::Error>),
}

/// The bytes of one read, and the largest incomplete record: records have at most 18 KiB.
const READ_BYTES: usize = 32 * 1024;

/// The bytes that are encrypted before they are written. A slow reader has at most these waiting, beside the system's
/// buffer.
const WRITE_BYTES: usize = 32 * 1024;

/// The most data in a record, and the size of its header and trailer.
const RECORD_BYTES: usize = 16 * 1024;
const RECORD_OVERHEAD: usize = 32;

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Makes the handshake.
    ///
    /// # Errors
    /// The errors of the connection below; [`io::ErrorKind::InvalidData`] with rustls' message if the handshake fails;
    /// [`io::ErrorKind::UnexpectedEof`] if the client goes away.
    pub(crate) async fn accept(io: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let mut stream = Self {
            io,
            tls: UnbufferedServerConnection::new(config).map_err(invalid)?,
            incoming: Box::default(),
            plain: BytesMut::new(),
            outgoing: BytesMut::new(),
            receiving: Receiving::Open,
            is_closing: false,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The connection below.
    pub(crate) fn io(&self) -> &S {
        &self.io
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.check_failed()?;
            let drained = self.poll_drain(cx)?;
            if !self.tls.is_handshaking() {
                ready!(drained);
                return Pin::new(&mut self.io).poll_flush(cx);
            }
            // Reads even while there is something to write: the client may not read before it is heard. Data right
            // after the handshake waits.
            ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Reads once, and processes the bytes.
    fn poll_receive(&mut self, cx: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        space.put_slice(&self.incoming);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut space))?;
        if space.filled().len() == self.incoming.len() {
            let words =
                "the other end closed the connection without ending TLS: its last data may be missing";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, words)));
        }
        let bytes = space.filled_mut();
        let taken = self.process(bytes, read);
        let rest = bytes.get(taken..).unwrap_or_default();
        if self.is_receiving() && rest.len() == READ_BYTES {
            self.fail(rustls::Error::General("a handshake message is too large".into()));
        }
        self.incoming = if self.is_receiving() { rest.into() } else { Box::default() };
        if matches!(self.receiving, Receiving::Failed(_)) {
            // Sends an alert with the reason. A failure to send it does not matter.
            let _ = self.poll_drain(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Processes as many bytes as possible and returns their number. Data goes to `read`; data without room there
    /// waits.
    fn process(&mut self, bytes: &mut [u8], read: &mut ReadBuf<'_>) -> usize {
        let mut taken = 0_usize;
        while self.is_receiving()
            && let Some(bytes) = bytes.get_mut(taken..)
        {
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(bytes);
            taken = taken.saturating_add(discard);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                taken = taken.saturating_add(record.discard);
                                let (now, later) =
                                    record.payload.split_at(read.remaining().min(record.payload.len()));
                                read.put_slice(now);
                                self.plain.extend_from_slice(later);
                            }
                            Err(error) => self.receiving = Receiving::Failed(Box::new(error)),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(message)) => encode(message, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(encoded)) => encoded.done(),
                Ok(ConnectionState::PeerClosed) => self.receiving = Receiving::Closed,
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => break,
                Ok(_) => self.fail(rustls::Error::General("data before the handshake".into())),
                Err(error) => self.fail(error),
            }
        }
        taken
    }

    /// Stops receiving, and encrypts rustls' alert for the error.
    fn fail(&mut self, error: rustls::Error) {
        while self.tls.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(alert)) = self.tls.process_tls_records(&mut []).state
        {
            encode(alert, &mut self.outgoing);
        }
        self.receiving = Receiving::Failed(Box::new(error));
    }

    fn is_receiving(&self) -> bool {
        matches!(self.receiving, Receiving::Open)
    }

    fn check_failed(&self) -> io::Result<()> {
        match &self.receiving {
            Receiving::Failed(error) => Err(invalid(rustls::Error::clone(error))),
            Receiving::Open | Receiving::Closed => Ok(()),
        }
    }

    /// Appends encrypted data to the outgoing bytes. Empty data means the end.
    fn encrypt(&mut self, data: &[u8]) -> io::Result<()> {
        loop {
            match self.tls.process_tls_records(&mut self.incoming).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let records = data.len().div_ceil(RECORD_BYTES).max(1);
                    let expected = data.len().saturating_add(records.saturating_mul(RECORD_OVERHEAD));
                    return append(&mut self.outgoing, expected, |space| {
                        let encrypted = match data {
                            [] => traffic.queue_close_notify(space),
                            data => traffic.encrypt(data, space),
                        };
                        encrypted.map_err(|error| match error {
                            EncryptError::InsufficientSize(size) => Some(size.required_size),
                            EncryptError::EncryptExhausted => None,
                        })
                    });
                }
                Ok(ConnectionState::EncodeTlsData(message)) => encode(message, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(encoded)) => encoded.done(),
                // Neither state is possible: received bytes have been processed.
                Ok(_) => return Err(io::ErrorKind::NotConnected.into()),
                Err(error) => return Err(invalid(error)),
            }
        }
    }

    /// Writes what is encrypted.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        self.outgoing = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Writes pending bytes; then encrypts more, with `data`, and writes as much as possible.
    fn poll_write_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.check_failed()?;
        if self.is_closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_drain(cx))?;
        let data = data.get(..WRITE_BYTES).unwrap_or(data);
        if !data.is_empty() {
            self.encrypt(data)?;
            // Bytes that the connection does not take yet are written by the next call.
            let _ = self.poll_drain(cx)?;
        }
        Poll::Ready(Ok(data.len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = read.remaining();
        while read.remaining() == room && room > 0 {
            if this.plain.is_empty() {
                this.check_failed()?;
                if !this.is_receiving() {
                    break;
                }
                ready!(this.poll_receive(cx, read))?;
            } else {
                let now = this.plain.split_to(room.min(this.plain.len()));
                read.put_slice(&now);
                if this.plain.is_empty() {
                    this.plain = BytesMut::new();
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_data(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut slices = slices.iter().filter(|slice| !slice.is_empty());
        let Some(first) = slices.next() else { return Poll::Ready(Ok(0)) };
        let Some(second) = slices.next() else { return this.poll_write_data(cx, first) };
        // Checked before the data is copied.
        ready!(this.poll_drain(cx))?;
        let mut data = Vec::new();
        for slice in [first, second].into_iter().chain(slices) {
            let room = WRITE_BYTES.saturating_sub(data.len());
            data.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        this.poll_write_data(cx, &data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    /// Sends the end of the data and closes this direction below. The other direction stays open.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_closing {
            this.is_closing = true;
            if this.check_failed().is_ok() {
                this.encrypt(&[])?;
            }
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

/// Appends a TLS message to the outgoing bytes.
fn encode(mut message: EncodeTlsData<'_, rustls::server::ServerConnectionData>, outgoing: &mut BytesMut) {
    // It can fail only for lack of space.
    let _ = append(outgoing, 0, |space| {
        message.encode(space).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => Some(size.required_size),
            EncodeError::AlreadyEncoded => None,
        })
    });
}

/// Lets `put` write after `outgoing`, in the `expected` space, or again in the space that it asks for.
fn append(
    outgoing: &mut BytesMut,
    expected: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> io::Result<()> {
    let before = outgoing.len();
    let mut space = expected;
    loop {
        outgoing.resize(before.saturating_add(space), 0);
        match put(outgoing.get_mut(before..).unwrap_or_default()) {
            Ok(added) => {
                outgoing.truncate(before.saturating_add(added));
                return Ok(());
            }
            Err(Some(required)) if required > space => space = required,
            Err(_) => {
                outgoing.truncate(before);
                return Err(io::Error::other(
                    "the keys of this connection have reached their limit: reconnect",
                ));
            }
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
