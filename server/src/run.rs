//! The accept loop: from a listener to HTTP connections, and to a clean stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(feature = "tls")]
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::http::client_address::Peer;
use crate::http::unstalled::Unstalled;
use crate::listener::Accepted;
use crate::{Hub, Listener};

/// How long a stop may take: see [`run`].
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How many connections are open at once, of all kinds; more wait in the system's queue until others end.
pub const MAX_CONNECTIONS: usize = 100_000;

/// Serves `app`, into which the hub's [router](Hub::router) is merged, until `shutdown` is ready. Then stops: takes
/// no more connections, tells each session when to come back, flushes its queue and closes it, all within
/// [`STOP_DEADLINE`]; what is left then is dropped.
pub async fn run(listener: Listener, hub: Hub, app: Router, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (permit, stream) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            // Those that ended are let go of.
            Some(_) = connections.join_next() => continue,
            next = next_connection(&listener, &slots) => next,
        };
        let service = |peer| Service {
            app: app.clone(),
            peer,
            permit,
            handshake_timeout: hub.live().handshake_timeout,
            stopping: stopping.clone(),
        };
        match stream {
            Accepted::Tcp(stream, peer) => connections.spawn(service(Peer::tcp(peer)).serve(stream)),
            #[cfg(feature = "tls")]
            Accepted::Tls(stream, peer, tls) => {
                connections.spawn(service(Peer::tcp(peer)).serve_encrypted(stream, tls))
            }
            #[cfg(unix)]
            Accepted::Unix(stream) => connections.spawn(service(Peer::Unix).serve(stream)),
        };
    }
    tracing::info!("stopping");
    drop((listener, stop, stopping));
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::join!(hub.shutdown(STOP_DEADLINE), tokio::time::timeout(STOP_DEADLINE, ended));
}

/// A place among [`MAX_CONNECTIONS`]. It goes with the connection when that becomes a WebSocket.
#[derive(Clone)]
pub(crate) struct Permit {
    _slot: Arc<OwnedSemaphorePermit>,
}

/// The next connection for which there is room. What goes wrong is the system's or the client's; the server goes on.
async fn next_connection(listener: &Listener, slots: &Arc<Semaphore>) -> (Permit, Accepted) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(slots).acquire_owned().await else { return std::future::pending().await };
        match listener.accept().await {
            Ok(stream) => return (Permit { _slot: Arc::new(permit) }, stream),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!("cannot accept connections, trying again: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// After an error that the next attempt would meet as well, such as no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// What one connection is served with.
struct Service {
    app: Router,
    peer: Peer,
    permit: Permit,
    handshake_timeout: Duration,
    stopping: watch::Receiver<()>,
}

impl Service {
    /// Makes the TLS handshake, and serves.
    #[cfg(feature = "tls")]
    async fn serve_encrypted(mut self, stream: TcpStream, tls: crate::Tls) {
        let handshake = tokio::time::timeout(self.handshake_timeout, tls.acceptor().accept(stream));
        let accepted = tokio::select! {
            accepted = handshake => accepted,
            _ = self.stopping.changed() => return,
        };
        match accepted {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    /// Serves the requests of one connection until it ends, is upgraded, or the server stops.
    async fn serve<S>(self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        TokioIo<Unstalled<S>>: Read + Write,
    {
        let Self { app, peer, permit, handshake_timeout, mut stopping } = self;
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            let extensions = request.extensions_mut();
            extensions.insert(permit.clone());
            extensions.insert(peer);
            let response = app.clone().oneshot(request);
            async move { Ok::<_, Infallible>(response.await.unwrap_or_else(|never| match never {})) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(handshake_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(Unstalled::new(stream)), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            // Nothing is ever sent: it fails when the sender is gone.
            _ = stopping.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!("a connection failed: {error}");
        }
    }
}

const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::net::TcpStream;

    use super::*;
    use crate::ListenAddress;

    #[tokio::test]
    async fn a_connection_beyond_the_bound_waits_for_one_to_end() {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let ListenAddress::Tcp(address) = listener.address().unwrap() else { panic!("no TCP") };
        let slots = Arc::new(Semaphore::new(1));
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let (first, _) = next_connection(&listener, &slots).await;
        // As a WebSocket holds it on when its request is long answered.
        let held = first.clone();
        drop(first);
        assert!(next_connection(&listener, &slots).now_or_never().is_none());
        drop(held);
        next_connection(&listener, &slots).await;
    }
}
