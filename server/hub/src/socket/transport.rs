//! The stream below a connection, detached from HTTP.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::accept::Detach;

/// The stream of a connection. [Detached](Detach) streams keep no memory of HTTP.
#[non_exhaustive]
pub enum Transport {
    /// TCP, the most common stream, in the least memory.
    Tcp(TcpStream),
    /// Every other stream.
    Boxed(Box<dyn Stream>),
}

/// A stream for a [`Transport`].
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Transport {
    /// A TCP connection. Bounds the bytes that the kernel buffers before it sends them.
    pub fn tcp(stream: TcpStream) -> Self {
        bound_unsent(&stream);
        Self::Tcp(stream)
    }

    /// Another stream. If it is based on TCP, call [`bound_unsent`](Self::bound_unsent) for the TCP stream.
    pub fn boxed(stream: impl Stream + 'static) -> Self {
        Self::Boxed(Box::new(stream))
    }

    /// Bounds the bytes of a connection that the kernel buffers before it sends them.
    pub fn bound_unsent(stream: &TcpStream) {
        bound_unsent(stream);
    }

    /// The stream below an upgraded connection, and the bytes that HTTP had read behind the request.
    pub(crate) fn from_upgraded(upgraded: Upgraded, detach: Option<Detach>) -> (Self, Bytes) {
        let detached = match detach {
            Some(detach) => detach(upgraded),
            None => Err(upgraded),
        };
        let upgraded = match detached {
            Ok(detached) => return detached,
            Err(upgraded) => upgraded,
        };
        // The types of `axum::serve`.
        let upgraded = match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => return (Self::tcp(parts.io.into_inner()), parts.read_buf),
            Err(upgraded) => upgraded,
        };
        #[cfg(unix)]
        let upgraded = match auto::upgrade::downcast::<TokioIo<UnixStream>>(upgraded) {
            Ok(parts) => return (Self::boxed(parts.io.into_inner()), parts.read_buf),
            Err(upgraded) => upgraded,
        };
        (Self::boxed(TokioIo::new(upgraded)), Bytes::new())
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Boxed(stream) => Pin::new(&mut **stream),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Transport::Tcp",
            Self::Boxed(_) => "Transport::Boxed",
        })
    }
}

/// The bytes that the kernel buffers before it sends them. By default it buffers megabytes, and urgent frames would wait behind
/// them. A session's own queue is sorted by urgency.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 16 * 1024;

/// Bounds the kernel's buffer, if the platform supports it. Bytes on their way, without acknowledgement, do not count.
fn bound_unsent(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!("a connection keeps the system's bound of unsent bytes: {error}");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::{StatusCode, header};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\nearly";

    /// An application that takes over every connection, with the bytes behind the request.
    fn app(taken: mpsc::Sender<(Transport, Bytes)>) -> Router {
        Router::new().route(
            "/",
            get(async move |mut request: Request| {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let taken_over = Transport::from_upgraded(upgrade.await.unwrap(), None);
                    taken.send(taken_over).await.unwrap();
                });
                (
                    StatusCode::SWITCHING_PROTOCOLS,
                    [(header::CONNECTION, "upgrade"), (header::UPGRADE, "test")],
                )
            }),
        )
    }

    #[cfg(target_os = "linux")]
    fn unsent_bytes(transport: &Transport) -> u32 {
        let Transport::Tcp(stream) = transport else { panic!("no bare TCP") };
        socket2::SockRef::from(stream).tcp_notsent_lowat().unwrap()
    }

    async fn converse(
        mut client: impl AsyncRead + AsyncWrite + Unpin,
        taken: (Transport, Bytes),
    ) -> Transport {
        let (mut transport, leftover) = taken;
        assert_eq!(leftover, "early");
        transport.write_all(b"END").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"END") {
            answer.push(client.read_u8().await.unwrap());
        }
        transport
    }

    #[tokio::test]
    async fn axums_own_server_gives_the_bare_tcp_stream_back() {
        let (send, mut taken) = mpsc::channel(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, app(send)).await });
        client.write_all(REQUEST).await.unwrap();
        let transport = converse(client, taken.recv().await.unwrap()).await;
        assert!(matches!(transport, Transport::Tcp(_)));
        #[cfg(target_os = "linux")]
        assert_eq!(unsent_bytes(&transport), UNSENT_BYTES);
    }

    #[test]
    fn other_streams_take_no_room_of_their_own() {
        assert_eq!(size_of::<Transport>(), size_of::<TcpStream>());
    }
}
