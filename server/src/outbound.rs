//! HTTP requests of the server itself: to backends and to publishers of key sets.
//!
//! HTTP/1.1 over TCP or TLS, on connections that are kept for a while, through the proxies in the environment.
//! Redirects are not followed: requests go to the configured address and to no other.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::uri::Scheme;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use self::proxies::Proxies;

mod proxies;

/// An HTTP client. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Outbound {
    client: Client<Connector<HttpConnector>, Full<Bytes>>,
    proxies: Proxies,
}

/// A response of any status.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    /// Only key sets use headers.
    #[cfg(feature = "jwt")]
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Outbound {
    pub(crate) fn new(trust: Trust) -> Self {
        Self::with_proxies(trust, Proxies::of_environment())
    }

    fn with_proxies(trust: Trust, proxies: Proxies) -> Self {
        let connector = Connector::new(HttpConnector::new(), trust, proxies.clone());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        Self { client, proxies }
    }

    /// Sends a request and reads up to `limit` bytes of the response body. Dropping the future ends the request and
    /// closes its connection. The caller sets the time limit.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &BackendUrl,
        headers: HeaderMap,
        body: Bytes,
        limit: usize,
    ) -> Result<Response, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.0.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        // A tunnel has the credentials in its own request.
        if !url.is_https()
            && let Some(proxy) = self.proxies.of(&url.0)
            && let Some(authorization) = proxy.basic_auth()
        {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        let response = self.client.request(request).await.map_err(|error| Fault::of(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Fault::Answer(format!("its answer is larger than {limit} bytes"))
            } else {
                Fault::Broken(words(&*error))
            }
        })?;
        Ok(Response {
            status: head.status,
            #[cfg(feature = "jwt")]
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

/// The reason for a missing response. The text is for the log.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request was not sent.
    Unsent(String),
    /// The request may have been processed.
    Broken(String),
    /// The response is unusable.
    Answer(String),
}

impl Fault {
    fn of(error: &ClientError) -> Self {
        if error.is_connect() { Self::Unsent(words(error)) } else { Self::Broken(words(error)) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(why) => write!(f, "it cannot be reached: {why}"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Answer(why) => f.write_str(why),
        }
    }
}

/// The innermost error, which has the most useful message.
fn words(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if innermost.is::<Elapsed>() { TOO_LATE.into() } else { innermost.to_string() }
}

/// The URL of a backend or of a key set: `https://` or `http://` with a host. Displayed without its query, which may
/// contain a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendUrl(Uri);

impl BackendUrl {
    /// Returns whether others on the network can read and change the traffic.
    pub fn is_exposed(&self) -> bool {
        !self.is_https() && !self.0.host().is_some_and(is_on_this_machine)
    }

    fn is_https(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }
}

/// Returns whether a host name means this machine (RFC 6761, section 6.3).
fn is_on_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_name = bare.eq_ignore_ascii_case("localhost") || bare.to_ascii_lowercase().ends_with(".localhost");
    is_name || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

impl FromStr for BackendUrl {
    type Err = BackendUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| BackendUrlError)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        // A user and a password in the URL would not be sent.
        let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if is_http && has_host && is_plain { Ok(Self(uri)) } else { Err(BackendUrlError) }
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}{}", self.0.scheme_str().unwrap_or_default(), self.0.path())
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not a valid [`BackendUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendUrlError;

impl fmt::Display for BackendUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid URL: write it as https://backend.example/path, without a user")
    }
}

impl StdError for BackendUrlError {}

/// Which certificate authorities to trust.
#[derive(Debug, Clone, Default)]
pub(crate) enum Trust {
    /// The authorities of the operating system.
    #[default]
    System,
    /// The application's own authorities.
    Only(Arc<ClientConfig>),
}

impl Trust {
    /// Trusts the authorities in a PEM text.
    pub(crate) fn only(pem: &[u8]) -> Result<Self, CertificateError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let mut roots = RootCertStore::empty();
        for certificate in certificates.map_err(|_| CertificateError)? {
            roots.add(certificate).map_err(|_| CertificateError)?;
        }
        if roots.is_empty() {
            return Err(CertificateError);
        }
        config(roots).map(|config| Self::Only(Arc::new(config))).map_err(|_| CertificateError)
    }

    async fn config(&self) -> io::Result<Arc<ClientConfig>> {
        // Read once: there are hundreds of files.
        static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        match (self, SYSTEM.get()) {
            (Self::Only(config), _) => Ok(Arc::clone(config)),
            (Self::System, Some(config)) => Ok(Arc::clone(config)),
            (Self::System, None) => {
                let config = spawn_blocking(system_config).await.map_err(io::Error::other)??;
                Ok(Arc::clone(SYSTEM.get_or_init(|| Arc::new(config))))
            }
        }
    }
}

fn system_config() -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // Old systems contain some unreadable certificates. They are not needed.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let words =
            "this system has no root certificates: install some (on Debian the package ca-certificates)";
        return Err(io::Error::other(words));
    }
    config(roots).map_err(io::Error::other)
}

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A text without certificates of authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateError;

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "there is no certificate of an authority in it: in PEM, one begins with -----BEGIN CERTIFICATE-----",
        )
    }
}

impl StdError for CertificateError {}

/// Opens connections through proxies and with TLS, on top of a TCP connector. That connector tries the addresses of
/// both families (RFC 8305), and a slow address does not use up the time of the others.
#[derive(Clone)]
struct Connector<T> {
    tcp: T,
    trust: Trust,
    proxies: Proxies,
}

impl<R> Connector<HttpConnector<R>> {
    fn new(mut tcp: HttpConnector<R>, trust: Trust, proxies: Proxies) -> Self {
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, trust, proxies }
    }
}

impl<T> Service<Uri> for Connector<T>
where
    T: Service<Uri, Response = TokioIo<TcpStream>> + Clone + Send + 'static,
    T::Error: Into<Box<dyn StdError + Send + Sync>>,
    T::Future: Send,
{
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Stream>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_ready(cx).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // The ready connector is used, and a clone takes its place.
        let another = self.tcp.clone();
        let tcp = std::mem::replace(&mut self.tcp, another);
        let (trust, proxy) = (self.trust.clone(), self.proxies.of(&uri));
        let connecting = async move {
            match timeout(CONNECT_TIMEOUT, connect(tcp, &uri, proxy, &trust)).await {
                Ok(connected) => connected.map(TokioIo::new),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, TOO_LATE)),
            }
        };
        connecting.boxed()
    }
}

async fn connect<T>(mut tcp: T, uri: &Uri, proxy: Option<Intercept>, trust: &Trust) -> io::Result<Stream>
where
    T: Service<Uri, Response = TokioIo<TcpStream>>,
    T::Error: Into<Box<dyn StdError + Send + Sync>>,
    T::Future: Send + 'static,
{
    let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
    let stream = match proxy {
        None => tcp.call(uri.clone()).await.map_err(io::Error::other)?,
        Some(proxy) if is_tls => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let refused = |error| io::Error::other(format!("the proxy {}: {}", proxy.uri(), words(&error)));
            tunnel.call(uri.clone()).await.map_err(refused)?
        }
        Some(proxy) => {
            let refused = |error: T::Error| {
                io::Error::other(format!("the proxy {}: {}", proxy.uri(), words(&*error.into())))
            };
            let stream = tcp.call(proxy.uri().clone()).await.map_err(refused)?;
            return Ok(Stream::Proxied(stream.into_inner()));
        }
    };
    let stream = stream.into_inner();
    if !is_tls {
        return Ok(Stream::Plain(stream));
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(trust.config().await?);
    Ok(Stream::Tls(Box::new(connector.connect(name, stream).await?)))
}

/// The connection below a request.
enum Stream {
    Plain(TcpStream),
    /// To a proxy, whose requests have the whole URL.
    Proxied(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(matches!(self, Self::Proxied(_)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Proxied(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Proxied(stream) => Pin::new(stream).poll_write(cx, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Proxied(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) | Self::Proxied(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The time limit for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TOO_LATE: &str = "the connection was not established in time";

/// Servers close idle connections too, Node.js after 5 s. A request must not run into that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The most idle connections per host.
const MAX_IDLE: usize = 64;

const MAX_HEAD_BYTES: usize = 64 * 1024;

const USER_AGENT: &str = concat!("wirehub/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
