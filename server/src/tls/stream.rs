//! The server's end of an encrypted connection, which has no buffer while nothing is on its way.
//!
//! rustls' own connection, and with it tokio-rustls' stream, holds on to the 4 KiB that it reads into, which is most of what
//! an idle connection costs. This one is built on rustls' *unbuffered* connection, which does the same in memory that it is
//! lent: it reads to the stack, and what is left there between two calls is kept only while there is some.

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
    /// What has come and can't be taken yet: less than a record, or records with less than a message of TLS' own. Nothing
    /// else stays in it, so that `tls` finds nothing new where it is asked about writing.
    incoming: Box<[u8]>,
    /// Decrypted and not read yet.
    plain: BytesMut,
    /// Encrypted and not written yet.
    outgoing: BytesMut,
    receiving: Receiving,
    /// Whether the last has been written that there will be.
    is_closing: bool,
}

/// Whether more is to come from the other end.
enum Receiving {
    Open,
    /// It said that nothing will.
    Closed,
    /// It did what it must not, or said that we did.
    Failed(Box<rustls::Error>),
}

/// How much is read at once, and the most that waits for its end: a record has at most 18 KiB.
const READ_BYTES: usize = 32 * 1024;

/// How much is encrypted before it is written: so much may wait for a slow reader beside what the system takes.
const WRITE_BYTES: usize = 32 * 1024;

/// What a record has at most of data, and of what surrounds that.
const RECORD_BYTES: usize = 16 * 1024;
const RECORD_OVERHEAD: usize = 32;

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Makes the handshake.
    ///
    /// # Errors
    /// What the connection below says, [`io::ErrorKind::InvalidData`] with rustls' words where the client is not understood
    /// or does not understand us, and [`io::ErrorKind::UnexpectedEof`] where it goes away.
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
            // Also while something is to be written: the client may read no more before it is heard. Data that comes right
            // behind the handshake waits.
            ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Reads once, and takes in what came.
    fn poll_receive(&mut self, cx: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        space.put_slice(&self.incoming);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut space))?;
        if space.filled().len() == self.incoming.len() {
            let words = "the other end is gone without an end of TLS: its last words may be missing";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, words)));
        }
        let bytes = space.filled_mut();
        let taken = self.take_in(bytes, read);
        let rest = bytes.get(taken..).unwrap_or_default();
        if self.is_receiving() && rest.len() == READ_BYTES {
            self.fail(rustls::Error::General("a message of the handshake is too large".into()));
        }
        self.incoming = if self.is_receiving() { rest.into() } else { Box::default() };
        if matches!(self.receiving, Receiving::Failed(_)) {
            // An alert that says why. It is no matter if it can't be said.
            let _ = self.poll_drain(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes all that can be taken, and says how much that is. Data goes to `read`, and what has no room there waits.
    fn take_in(&mut self, bytes: &mut [u8], read: &mut ReadBuf<'_>) -> usize {
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

    /// Goes no further, and has what rustls has to say to that go out.
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

    /// Encrypts data behind what is to be written. Without data it is the end.
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
                // Neither is there, for what had come was taken in.
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

    /// Writes what was encrypted before; then encrypts more, by `data`, and writes of it what can be written.
    fn poll_write_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.check_failed()?;
        if self.is_closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_drain(cx))?;
        let data = data.get(..WRITE_BYTES).unwrap_or(data);
        if !data.is_empty() {
            self.encrypt(data)?;
            // What the connection does not take yet goes with the next call.
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
        // Before it is copied for nothing.
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

    /// Says that nothing follows, and ends this direction below. The other one stays open.
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

/// Adds a message of TLS' own to what is to be written.
fn encode(mut message: EncodeTlsData<'_, rustls::server::ServerConnectionData>, outgoing: &mut BytesMut) {
    // It can't fail but for the space.
    let _ = append(outgoing, 0, |space| {
        message.encode(space).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => Some(size.required_size),
            EncodeError::AlreadyEncoded => None,
        })
    });
}

/// Has `put` write behind `outgoing`, in so much space as it is `expected` to take, or else says that it takes.
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
                return Err(io::Error::other("the keys of this connection may encrypt no more"));
            }
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
