//! The accept loop: from a listener to HTTP connections, and to a clean stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
#[cfg(feature = "tls")]
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::http::client_address::{Peer, charged_address, household};
use crate::http::handshake::{Noted, asks_for_websocket};
use crate::http::host::{BadHost, check_host};
use crate::http::refusals::Reason;
use crate::http::unstalled::Unstalled;
use crate::hub::addresses::Charged;
use crate::hub::connections::Phase;
use crate::listener::Accepted;
use crate::{Hub, Listener};

/// How long a stop may take, beside the [delay](crate::Builder::drain_delay) before it: see [`run`].
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How many connections are open at once, of all kinds, unless [`Builder::max_connections`](crate::Builder::max_connections)
/// says otherwise; more wait in the system's queue until others end.
pub const MAX_CONNECTIONS: usize = 100_000;

/// Serves `app`, into which the hub's [router](Hub::router) is merged, until `shutdown` is ready. Then stops by
/// [`Hub::shutdown`], with [`STOP_DEADLINE`]: tells each session when to come back, flushes its queue and closes it. Meanwhile
/// requests are answered as before, `/ready` and handshakes with the HTTP status 503; those that are in flight in the end may
/// end within the deadline. What is left then is dropped, and nobody listens any more.
///
/// Best in a task of its own. Where a runtime of several threads is blocked on it, each connection is taken by the thread that
/// waits for it and handed to another, which is dearer than taking it.
pub async fn run(listener: Listener, hub: Hub, app: Router, shutdown: impl Future<Output = ()>) {
    let mut server = Server::new(listener, hub.clone(), app);
    server.serve_until(shutdown).await;
    tracing::info!("stopping");
    let begun = Instant::now();
    let longest = hub.live().drain_delay.saturating_add(STOP_DEADLINE);
    server.serve_until(hub.shutdown(STOP_DEADLINE)).await;
    let in_flight = async {
        let mut earlier = server.let_end();
        // Whoever asks while they are waited for is answered too, and can't put off the end.
        server.serve_until(all_ended(&mut earlier)).await;
        all_ended(&mut server.close()).await;
    };
    if tokio::time::timeout(longest.saturating_sub(begun.elapsed()), in_flight).await.is_err() {
        tracing::debug!("the deadline has passed: requests that were in flight are dropped");
    }
}

async fn all_ended(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// What takes connections and serves them.
struct Server {
    listener: Listener,
    hub: Hub,
    app: Router,
    slots: Arc<Semaphore>,
    connections: JoinSet<()>,
    /// When it is gone `connections` end: see [`Self::let_end`].
    last_request: watch::Sender<()>,
}

impl Server {
    fn new(listener: Listener, hub: Hub, app: Router) -> Self {
        let most = hub.live().max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            listener,
            hub,
            app,
            slots: Arc::new(Semaphore::new(most)),
            connections: JoinSet::new(),
            last_request: watch::Sender::new(()),
        }
    }

    async fn serve_until<T>(&mut self, end: impl Future<Output = T>) -> T {
        let mut end = pin!(end);
        loop {
            let (permit, accepted) = tokio::select! {
                biased;
                end = &mut end => return end,
                // Those that ended are let go of.
                Some(_) = self.connections.join_next() => continue,
                next = next_connection(&self.listener, &self.slots) => next,
            };
            self.serve(permit, accepted);
        }
    }

    fn serve(&mut self, permit: Permit, accepted: Accepted) {
        let peer = match &accepted {
            Accepted::Tcp(_, peer) => Peer::tcp(*peer),
            #[cfg(feature = "tls")]
            Accepted::Tls(_, peer, _) => Peer::tcp(*peer),
            #[cfg(unix)]
            Accepted::Unix(_) => Peer::Unix,
        };
        let live = self.hub.live();
        let accepted_of = charged_address(peer, &live.proxies)
            .map(|address| self.hub.addresses().accept(address, live.addresses).map_err(|_| address))
            .transpose();
        let (charged, is_spare) = match accepted_of {
            Ok(charged) => charged.flatten().unzip(),
            Err(address) => return self.refuse(address),
        };
        let patience = if is_spare == Some(true) { SPARE_PATIENCE } else { Duration::MAX };
        let service = Service {
            hub: self.hub.clone(),
            app: self.app.clone(),
            peer,
            place: SharedPlace::new(permit, charged.map(Box::new)),
            handshake_timeout: live.handshake_timeout.min(patience),
            last_request: self.last_request.subscribe(),
        };
        match accepted {
            Accepted::Tcp(stream, _) => self.connections.spawn(service.serve(stream)),
            #[cfg(feature = "tls")]
            Accepted::Tls(stream, _, tls) => self.connections.spawn(service.serve_encrypted(stream, tls)),
            #[cfg(unix)]
            Accepted::Unix(stream) => self.connections.spawn(service.serve(stream)),
        };
    }

    /// Closes a connection at once: there are too many from its address even for an answer.
    fn refuse(&self, address: IpAddr) {
        let refusals = self.hub.counters().refusals();
        refusals.count(Reason::Limit);
        let address = household(address).to_string();
        refusals.tell(
            &address,
            format_args!("{address} has more connections than it may have: the next ones are closed at once"),
        );
    }

    /// Has the connections end: at once where they wait for a request, or else with the answer to the one that is in flight.
    fn let_end(&mut self) -> JoinSet<()> {
        self.last_request = watch::Sender::new(());
        std::mem::take(&mut self.connections)
    }

    /// Listens no more.
    fn close(self) -> JoinSet<()> {
        self.connections
    }
}

/// How long a connection beyond its address's bound may take for its request: it is there to be told so, not to stay.
const SPARE_PATIENCE: Duration = Duration::from_secs(1);

/// A place among those that there may be.
pub(crate) struct Permit(Arc<Semaphore>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// The place of an HTTP connection, and what its address is charged with: it hands them on when it becomes a WebSocket.
#[derive(Clone)]
pub(crate) struct SharedPlace(Arc<Mutex<Option<Place>>>);

type Place = (Permit, Option<Box<Charged>>);

impl SharedPlace {
    fn new(permit: Permit, charged: Option<Box<Charged>>) -> Self {
        Self(Arc::new(Mutex::new(Some((permit, charged)))))
    }

    pub(crate) fn is_charged(&self) -> bool {
        matches!(&*self.0.lock(), Some((_, Some(_))))
    }

    pub(crate) fn take(&self) -> Option<Place> {
        self.0.lock().take()
    }
}

/// The next connection for which there is room. What goes wrong is the system's or the client's; the server goes on.
async fn next_connection(listener: &Listener, slots: &Arc<Semaphore>) -> (Permit, Accepted) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = slots.acquire().await else { return std::future::pending().await };
        match listener.accept().await {
            Ok(stream) => {
                // Given back by `Permit`, which takes less room.
                permit.forget();
                return (Permit(Arc::clone(slots)), stream);
            }
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
    hub: Hub,
    app: Router,
    peer: Peer,
    place: SharedPlace,
    handshake_timeout: Duration,
    /// Nothing is ever sent: waiting for it fails when the sender is gone.
    last_request: watch::Receiver<()>,
}

impl Service {
    /// Makes the TLS handshake, and serves.
    #[cfg(feature = "tls")]
    async fn serve_encrypted(mut self, stream: TcpStream, tls: crate::Tls) {
        let handshake = tokio::time::timeout(self.handshake_timeout, tls.accept(stream));
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
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        TokioIo<Unstalled<S>>: Read + Write,
    {
        let Self { hub, app, peer, place, handshake_timeout, mut last_request } = self;
        let has_asked = AtomicBool::new(false);
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            has_asked.store(true, Ordering::Relaxed);
            let extensions = request.extensions_mut();
            extensions.insert(place.clone());
            extensions.insert(peer);
            let wanted = wanted_websocket(&request);
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
                    note_if_not_there(&hub, &path, &response);
                }
                let status = response.status();
                if status.is_client_error() || status.is_server_error() {
                    // What is wrong now may not be in a moment: some errors are kept otherwise (RFC 9110, section 15.1).
                    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(NO_STORE);
                }
                if hub.connections().phase() != Phase::Running {
                    // Whoever would ask again on this connection goes elsewhere before it ends.
                    response.headers_mut().entry(header::CONNECTION).or_insert(CLOSE);
                }
                Ok::<_, Infallible>(response)
            }
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
            _ = last_request.changed() => {
                if !has_asked.load(Ordering::Relaxed) {
                    // Half a request, perhaps: it is not waited for.
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

/// The path at which a request asks for a WebSocket. Without the query, where a token may be.
fn wanted_websocket(request: &hyper::Request<Incoming>) -> Option<String> {
    let is_wanted = request.method() == Method::GET && asks_for_websocket(request.headers());
    is_wanted.then(|| request.uri().path().chars().take(MAX_SHOWN_PATH).collect())
}

/// A browser does not tell its page why there is no WebSocket: it may have a wrong path.
fn note_if_not_there(hub: &Hub, path: &str, response: &Response) {
    let status = response.status();
    let is_none = status.is_success() || status.is_redirection() || status == StatusCode::NOT_FOUND;
    if is_none && response.extensions().get::<Noted>().is_none() {
        let refusals = hub.counters().refusals();
        refusals.count(Reason::Path);
        refusals.tell(
            path,
            format_args!(
                "a client wants a WebSocket at {path:?}, where none is served: clients connect to /ws"
            ),
        );
    }
}

/// How much of a path is shown.
const MAX_SHOWN_PATH: usize = 100;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
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
        let first = SharedPlace::new(first, None);
        let held = first.take();
        drop(first);
        assert!(next_connection(&listener, &slots).now_or_never().is_none());
        drop(held);
        next_connection(&listener, &slots).await;
    }
}
