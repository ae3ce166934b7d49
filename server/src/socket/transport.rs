//! The stream below a connection, taken back from HTTP.

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

use crate::http::unstalled::Unstalled;
#[cfg(feature = "tls")]
use crate::tls::TlsStream;

/// A connection's stream. Of the kinds that are known here nothing of HTTP stays behind.
pub(crate) enum Transport {
    Tcp(TcpStream),
    /// In a box: so what tells them apart takes no room of its own.
    #[cfg(unix)]
    Unix(Box<UnixStream>),
    /// In a box: it is large.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
    /// Some other listener's.
    Other(Box<TokioIo<Upgraded>>),
}

impl Transport {
    /// The stream below an upgraded connection, and what HTTP had read too much.
    pub(crate) fn from_upgraded(upgraded: Upgraded) -> (Self, Bytes) {
        let upgraded = match bare::<TcpStream>(upgraded) {
            Ok((stream, leftover)) => {
                bound_unsent(&stream);
                return (Self::Tcp(stream), leftover);
            }
            Err(upgraded) => upgraded,
        };
        #[cfg(unix)]
        let upgraded = match bare::<UnixStream>(upgraded) {
            Ok((stream, leftover)) => return (Self::Unix(Box::new(stream)), leftover),
            Err(upgraded) => upgraded,
        };
        #[cfg(feature = "tls")]
        let upgraded = match bare::<TlsStream<TcpStream>>(upgraded) {
            Ok((stream, leftover)) => {
                bound_unsent(stream.io());
                return (Self::Tls(Box::new(stream)), leftover);
            }
            Err(upgraded) => upgraded,
        };
        (Self::Other(Box::new(TokioIo::new(upgraded))), Bytes::new())
    }

    /// The stream, for what is the same with all kinds.
    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn AsyncStream> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream),
            Self::Other(stream) => Pin::new(stream),
        }
    }
}

/// How much the kernel takes that it can't send yet. By itself it takes megabytes, in which what must not wait would
/// stand behind what came before; a session's own queue is sorted by how urgent it is.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 16 * 1024;

/// Bounds what the kernel takes, where it can be told to. What is on its way and not acknowledged does not count.
fn bound_unsent(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!("a connection keeps the system's bound of unsent bytes: {error}");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

trait AsyncStream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncStream for S {}

/// Takes a stream out of our own listener's HTTP, or out of `axum::serve`'s, which wraps it otherwise.
fn bare<S>(upgraded: Upgraded) -> Result<(S, Bytes), Upgraded>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let upgraded = match upgraded.downcast::<TokioIo<Unstalled<S>>>() {
        Ok(parts) => return Ok((parts.io.into_inner().into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    auto::upgrade::downcast::<TokioIo<S>>(upgraded).map(|parts| (parts.io.into_inner(), parts.read_buf))
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
    use crate::{Hub, ListenAddress, Listener, run};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\nearly";

    /// An application that takes every connection over, with what came behind the request.
    fn app(taken: mpsc::Sender<(Transport, Bytes)>) -> Router {
        Router::new().route(
            "/",
            get(async move |mut request: Request| {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let taken_over = Transport::from_upgraded(upgrade.await.unwrap());
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

    #[tokio::test]
    async fn our_listeners_give_the_bare_streams_back() {
        let directory = tempfile::tempdir().unwrap();
        let unix = format!("unix:{}", directory.path().join("s").display());
        for address in ["127.0.0.1:0", &unix] {
            let (send, mut taken) = mpsc::channel(1);
            let listener = Listener::bind(&address.parse().unwrap()).await.unwrap();
            let address = listener.address().unwrap();
            tokio::spawn(run(listener, Hub::builder().build(), app(send), std::future::pending()));
            match address {
                ListenAddress::Tcp(address) => {
                    let mut client = TcpStream::connect(address).await.unwrap();
                    client.write_all(REQUEST).await.unwrap();
                    let transport = converse(client, taken.recv().await.unwrap()).await;
                    assert!(matches!(transport, Transport::Tcp(_)));
                }
                ListenAddress::Unix(path) => {
                    let mut client = UnixStream::connect(path).await.unwrap();
                    client.write_all(REQUEST).await.unwrap();
                    let transport = converse(client, taken.recv().await.unwrap()).await;
                    assert!(matches!(transport, Transport::Unix(_)));
                }
            }
        }
    }
}
