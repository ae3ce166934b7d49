//! The accept loop: from a listener to HTTP connections, and to a clean stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::accept::{
    Admission, BadHost, Detach, PeerAddress, Slot, Slots, Transport, asks_for_websocket, check_host,
    is_refused_handshake,
};
use crate::listener::IncomingConnection;
use crate::observe::{Phase, RefusalReason};
use crate::stall_timeout::StallTimeout;
#[cfg(feature = "tls")]
use crate::tls::TlsStream;
use crate::{Hub, Listener};

/// The time limit of a stop, after the [delay](crate::Builder::drain_delay): see [`run`].
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Serves `app`, which contains the hub's [router](crate::router), until `shutdown` is ready. Then it stops with
/// [`Hub::shutdown`] and [`STOP_DEADLINE`]: each session is notified when to reconnect, its queue is flushed and the
/// connection closed. Meanwhile requests are answered as before, except `/ready` and handshakes, which get status 503.
/// Requests that are in flight at the end may finish within the deadline. Then every remaining connection is dropped
/// and the listener closed.
///
/// Run it in a task of its own. A thread that blocks on it in a runtime of several threads hands every connection over
/// to another thread, which costs more than accepting it there.
pub async fn run(listener: Listener, hub: Hub, app: Router, shutdown: impl Future<Output = ()>) {
    let mut server = Server::new(listener, hub.clone(), app);
    server.serve_until(shutdown).await;
    tracing::info!("stopping");
    let begun = Instant::now();
    let longest = hub.drain_delay().saturating_add(STOP_DEADLINE);
    server.serve_until(hub.shutdown(STOP_DEADLINE)).await;
    let in_flight = async {
        let mut earlier = server.end_connections();
        // New requests during this wait are answered too, and do not delay the end.
        server.serve_until(all_ended(&mut earlier)).await;
        all_ended(&mut server.close()).await;
    };
    if tokio::time::timeout(longest.saturating_sub(begun.elapsed()), in_flight).await.is_err() {
        tracing::debug!("the deadline has passed: requests in flight are dropped");
    }
}

async fn all_ended(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// Accepts connections and serves them.
struct Server {
    listener: Listener,
    hub: Hub,
    app: Router,
    slots: Slots,
    connections: JoinSet<()>,
    /// Dropping it ends `connections`: see [`Self::end_connections`].
    last_request: watch::Sender<()>,
}

impl Server {
    fn new(listener: Listener, hub: Hub, app: Router) -> Self {
        let slots = hub.slots();
        Self { listener, hub, app, slots, connections: JoinSet::new(), last_request: watch::Sender::new(()) }
    }

    async fn serve_until<T>(&mut self, end: impl Future<Output = T>) -> T {
        let mut end = pin!(end);
        loop {
            let (slot, accepted) = tokio::select! {
                biased;
                end = &mut end => return end,
                // Ended connections are removed.
                Some(_) = self.connections.join_next() => continue,
                next = next_connection(&self.listener, &self.slots) => next,
            };
            self.serve(slot, accepted);
        }
    }

    fn serve(&mut self, slot: Slot, accepted: IncomingConnection) {
        let (peer, detach): (_, Detach) = match &accepted {
            IncomingConnection::Tcp(_, peer) => (PeerAddress::from(*peer), detach_tcp),
            #[cfg(feature = "tls")]
            IncomingConnection::Tls(_, peer, _) => (PeerAddress::from(*peer), detach_tls),
            #[cfg(unix)]
            IncomingConnection::Unix(_) => (PeerAddress::Unix, detach_unix),
        };
        let Some(admission) = self.hub.admit(peer, slot, detach) else { return };
        let service = Service {
            hub: self.hub.clone(),
            app: self.app.clone(),
            admission,
            last_request: self.last_request.subscribe(),
        };
        match accepted {
            IncomingConnection::Tcp(stream, _) => self.connections.spawn(service.serve(stream)),
            #[cfg(feature = "tls")]
            IncomingConnection::Tls(stream, _, tls) => {
                self.connections.spawn(service.serve_encrypted(stream, tls))
            }
            #[cfg(unix)]
            IncomingConnection::Unix(stream) => self.connections.spawn(service.serve(stream)),
        };
    }

    /// Ends the connections: an idle one at once, any other after its present response.
    fn end_connections(&mut self) -> JoinSet<()> {
        self.last_request = watch::Sender::new(());
        std::mem::take(&mut self.connections)
    }

    /// Closes the listener.
    fn close(self) -> JoinSet<()> {
        self.connections
    }
}

/// Accepts the next connection once there is room for it. Errors concern the system or one client; the server
/// continues.
async fn next_connection(listener: &Listener, slots: &Slots) -> (Slot, IncomingConnection) {
    loop {
        let slot = slots.free().await;
        match listener.accept().await {
            Ok(stream) => return (slot, stream),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!("cannot accept connections, trying again: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The pause after an error that an immediate retry would meet again, such as exhausted file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Serves one connection.
struct Service {
    hub: Hub,
    app: Router,
    admission: Admission,
    /// Carries no value: waiting fails when the sender is dropped.
    last_request: watch::Receiver<()>,
}

impl Service {
    /// Makes the TLS handshake, and serves.
    #[cfg(feature = "tls")]
    async fn serve_encrypted(mut self, stream: TcpStream, tls: crate::Tls) {
        let handshake = tokio::time::timeout(self.admission.request_timeout(), tls.accept(stream));
        let accepted = tokio::select! {
            accepted = handshake => accepted,
            _ = self.last_request.changed() => return,
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
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        TokioIo<StallTimeout<S>>: Read + Write,
    {
        let Self { hub, app, admission, mut last_request } = self;
        let request_timeout = admission.request_timeout();
        let has_request = AtomicBool::new(false);
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            has_request.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(admission.clone());
            let wanted = websocket_path(&request);
            let response = check_host(request.version(), request.headers())
                .map(|()| app.clone().oneshot(request))
                .map_err(BadHost::into_response);
            let hub = hub.clone();
            async move {
                let mut response = match response {
                    Ok(response) => response.await.unwrap_or_else(|never| match never {}),
                    Err(refused) => refused,
                };
                if let Some(path) = wanted {
                    note_wrong_path(&hub, &path, &response);
                }
                let status = response.status();
                if status.is_client_error() || status.is_server_error() {
                    // An error may be temporary, and caches would keep some errors (RFC 9110, section 15.1).
                    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(NO_STORE);
                }
                if hub.phase() != Phase::Running {
                    // The client then sends its next request to another server.
                    response.headers_mut().entry(header::CONNECTION).or_insert(CLOSE);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(request_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(StallTimeout::new(stream)), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            _ = last_request.changed() => {
                if !has_request.load(Ordering::Relaxed) {
                    // The request may be incomplete: it is not waited for.
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!("a connection failed: {error}");
        }
    }
}

fn detach_tcp(upgraded: Upgraded) -> Result<(Transport, Bytes), Upgraded> {
    detach::<TcpStream>(upgraded).map(|(stream, leftover)| (Transport::tcp(stream), leftover))
}

#[cfg(unix)]
fn detach_unix(upgraded: Upgraded) -> Result<(Transport, Bytes), Upgraded> {
    detach::<UnixStream>(upgraded).map(|(stream, leftover)| (Transport::boxed(stream), leftover))
}

#[cfg(feature = "tls")]
fn detach_tls(upgraded: Upgraded) -> Result<(Transport, Bytes), Upgraded> {
    detach::<TlsStream<TcpStream>>(upgraded).map(|(stream, leftover)| {
        Transport::bound_unsent(stream.io());
        (Transport::boxed(stream), leftover)
    })
}

/// Takes the stream out of HTTP, with the bytes that were read after the handshake.
fn detach<S>(upgraded: Upgraded) -> Result<(S, Bytes), Upgraded>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let parts = upgraded.downcast::<TokioIo<StallTimeout<S>>>()?;
    Ok((parts.io.into_inner().into_inner(), parts.read_buf))
}

/// The path of a WebSocket handshake. Without the query, which may contain a token.
fn websocket_path(request: &hyper::Request<Incoming>) -> Option<String> {
    let is_wanted = request.method() == Method::GET && asks_for_websocket(request.headers());
    is_wanted.then(|| request.uri().path().chars().take(MAX_SHOWN_PATH).collect())
}

/// Notes a handshake at a wrong path: a browser hides the reason of a failure from its page.
fn note_wrong_path(hub: &Hub, path: &str, response: &Response) {
    let status = response.status();
    let is_none = status.is_success() || status.is_redirection() || status == StatusCode::NOT_FOUND;
    if is_none && !is_refused_handshake(response) {
        let words = format_args!(
            "a client requests a WebSocket at {path:?}, a path without one: clients connect to /ws"
        );
        hub.note_refusal(RefusalReason::Path, path, words);
    }
}

/// The most characters of a path in the log.
const MAX_SHOWN_PATH: usize = 100;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use axum::routing::get;
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;

    use super::*;
    use crate::ListenAddress;

    #[tokio::test]
    async fn a_connection_beyond_the_bound_waits_for_one_to_end() {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let ListenAddress::Tcp(address) = listener.address().unwrap() else { panic!("no TCP") };
        let slots = Hub::builder().max_connections(1).build().slots();
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let (first, _) = next_connection(&listener, &slots).await;
        assert!(next_connection(&listener, &slots).now_or_never().is_none());
        drop(first);
        next_connection(&listener, &slots).await;
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\nearly";

    /// An application that detaches every connection, with the bytes after the request.
    fn app(detach: Detach, taken: mpsc::Sender<(Transport, Bytes)>) -> Router {
        Router::new().route(
            "/",
            get(async move |mut request: Request| {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let detached = detach(upgrade.await.unwrap()).unwrap();
                    taken.send(detached).await.unwrap();
                });
                (
                    StatusCode::SWITCHING_PROTOCOLS,
                    [(header::CONNECTION, "upgrade"), (header::UPGRADE, "test")],
                )
            }),
        )
    }

    async fn converse(mut client: impl AsyncRead + AsyncWrite + Unpin, taken: (Transport, Bytes)) {
        let (mut transport, leftover) = taken;
        assert_eq!(leftover, "early");
        transport.write_all(b"END").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"END") {
            answer.push(client.read_u8().await.unwrap());
        }
    }

    #[tokio::test]
    async fn our_listeners_give_the_bare_streams_back() {
        let directory = tempfile::tempdir().unwrap();
        let unix = format!("unix:{}", directory.path().join("s").display());
        for (address, detach) in [("127.0.0.1:0", detach_tcp as Detach), (&unix, detach_unix)] {
            let (send, mut taken) = mpsc::channel(1);
            let listener = Listener::bind(&address.parse().unwrap()).await.unwrap();
            let address = listener.address().unwrap();
            tokio::spawn(run(listener, Hub::builder().build(), app(detach, send), std::future::pending()));
            match address {
                ListenAddress::Tcp(address) => {
                    let mut client = TcpStream::connect(address).await.unwrap();
                    client.write_all(REQUEST).await.unwrap();
                    converse(client, taken.recv().await.unwrap()).await;
                }
                ListenAddress::Unix(path) => {
                    let mut client = UnixStream::connect(path).await.unwrap();
                    client.write_all(REQUEST).await.unwrap();
                    converse(client, taken.recv().await.unwrap()).await;
                }
            }
        }
    }
}
