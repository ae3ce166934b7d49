//! The address of a server: TCP or a Unix socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[cfg(feature = "tls")]
use crate::Tls;
use crate::{Error, ErrorKind};

/// An address to listen on: `127.0.0.1:8080`, `[::1]:8080`, or `unix:PATH`. Port 0 means any free port.
///
/// ```
/// use wirehub_server::ListenAddress;
///
/// let address: ListenAddress = "127.0.0.1:8080".parse()?;
/// assert!(address.is_local());
/// assert!(!"0.0.0.0:8080".parse::<ListenAddress>()?.is_local());
/// # Ok::<(), wirehub_server::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Returns whether only programs on this machine can reach the address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("") => Err(Error::new(ErrorKind::Usage, "the path after unix: is missing: write it, as in unix:/run/wirehub.sock")),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                Error::new(
                    ErrorKind::Usage,
                    format!("{text:?} is not an address: write it as 127.0.0.1:8080, [::1]:8080 or unix:/run/wirehub.sock"),
                )
            }),
        }
    }
}

/// The format of the command line.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A listening socket: see [`run`](crate::run).
#[derive(Debug)]
pub enum Listener {
    /// On a TCP address.
    Tcp(TcpListener),
    /// On a TCP address, encrypted.
    #[cfg(feature = "tls")]
    Tls(TcpListener, Tls),
    /// On a Unix socket. Its file is removed with the listener.
    #[cfg(unix)]
    Unix(UnixSocket),
}

impl Listener {
    /// Listens on an address. The file of a Unix socket is accessible for this user and group only. A file that a dead
    /// server has left behind is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::AddressInUse`], or [`ErrorKind::Listen`] for every other refusal of the system.
    pub async fn bind(address: &ListenAddress) -> Result<Self, Error> {
        match address {
            ListenAddress::Tcp(tcp) => {
                let bound = TcpListener::bind(tcp).await;
                // Accepted connections inherit these options where the system allows it. That saves five system calls
                // per connection.
                bound
                    .inspect(|listener| tune(&SockRef::from(listener)))
                    .map(Self::Tcp)
                    .map_err(|error| cannot_listen(address, error))
            }
            #[cfg(unix)]
            ListenAddress::Unix(path) => {
                let bound = UnixSocket::bind(path.clone()).await;
                bound.map(Self::Unix).map_err(|error| cannot_listen(address, error))
            }
            #[cfg(not(unix))]
            ListenAddress::Unix(_) => {
                Err(Error::new(ErrorKind::Usage, "this system has no Unix sockets: listen on TCP"))
            }
        }
    }

    /// Adds TLS: clients then connect by `wss://` and `https://` only. A Unix socket is unchanged.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => Self::Tls(listener, tls),
            #[cfg(unix)]
            Self::Unix(socket) => Self::Unix(socket),
        }
    }

    /// The address it listens on, with the real port.
    ///
    /// # Errors
    /// [`ErrorKind::System`]: the system does not report the address.
    pub fn address(&self) -> Result<ListenAddress, Error> {
        match self {
            Self::Tcp(listener) => local_address(listener),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => local_address(listener),
            #[cfg(unix)]
            Self::Unix(socket) => Ok(ListenAddress::Unix(socket.file.path.clone())),
        }
    }

    /// Accepts the next connection.
    pub(crate) async fn accept(&self) -> io::Result<IncomingConnection> {
        match self {
            Self::Tcp(listener) => {
                accept_tuned(listener).await.map(|(stream, peer)| IncomingConnection::Tcp(stream, peer))
            }
            #[cfg(feature = "tls")]
            Self::Tls(listener, tls) => accept_tuned(listener)
                .await
                .map(|(stream, peer)| IncomingConnection::Tls(stream, peer, tls.clone())),
            #[cfg(unix)]
            Self::Unix(socket) => {
                socket.listener.accept().await.map(|(stream, _)| IncomingConnection::Unix(stream))
            }
        }
    }
}

/// An accepted connection.
pub(crate) enum IncomingConnection {
    Tcp(TcpStream, SocketAddr),
    /// The TLS handshake is still to come.
    #[cfg(feature = "tls")]
    Tls(TcpStream, SocketAddr, Tls),
    #[cfg(unix)]
    Unix(UnixStream),
}

fn local_address(listener: &TcpListener) -> Result<ListenAddress, Error> {
    listener.local_addr().map(ListenAddress::Tcp).map_err(|error| {
        Error::with_source(ErrorKind::System, "the system does not report the address of the listener", error)
    })
}

async fn accept_tuned(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    if cfg!(not(any(target_os = "linux", target_os = "android"))) {
        tune(&SockRef::from(&stream));
    }
    Ok((stream, peer))
}

/// Without Nagle's delay: every write is complete, so there is nothing to wait for. Keep-alive probes detect a client
/// that has vanished, also on a connection on which nothing is sent.
fn tune(socket: &SockRef<'_>) {
    const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
    const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    if let Err(error) = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive)) {
        tracing::debug!("connections keep the system's default options: {error}");
    }
}

/// A listening Unix socket.
#[cfg(unix)]
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[cfg(unix)]
impl UnixSocket {
    async fn bind(path: PathBuf) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;

        let listener = match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(&path).await => {
                std::fs::remove_file(&path)?;
                UnixListener::bind(&path)
            }
            bound => bound,
        }?;
        let file = SocketFile::new(path)?;
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(0o660))?;
        Ok(Self { listener, file })
    }
}

/// Returns whether a path is a socket without a listener.
#[cfg(unix)]
async fn is_stale(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;

    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(path)
            .await
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The file of a socket that this process created. Removed at the end, unless another file has replaced it.
#[cfg(unix)]
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

#[cfg(unix)]
impl SocketFile {
    fn new(path: PathBuf) -> io::Result<Self> {
        let identity = Self::identity(&path)?;
        Ok(Self { path, identity })
    }

    fn identity(path: &std::path::Path) -> io::Result<(u64, u64)> {
        use std::os::unix::fs::MetadataExt as _;

        std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!("the socket file {} cannot be removed: {error}", self.path.display());
        }
    }
}

fn cannot_listen(address: &ListenAddress, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => Error::new(
            ErrorKind::AddressInUse,
            format!("another program listens on {address}: stop it, or choose another address with --listen"),
        ),
        io::ErrorKind::PermissionDenied => Error::with_source(
            ErrorKind::Listen,
            format!("this user may not listen on {address}: choose a port above 1023 or another path"),
            error,
        ),
        _ => Error::with_source(
            ErrorKind::Listen,
            format!(
                "cannot listen on {address}: choose an address of this machine, or a path in a directory that exists"
            ),
            error,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_read() {
        for text in ["127.0.0.1:8080", "[::1]:0", "0.0.0.0:80", "unix:/run/wirehub.sock", "unix:relative"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for bad in
            ["", "8080", "localhost:8080", "127.0.0.1", "127.0.0.1:99999", "unix:", "http://127.0.0.1:80"]
        {
            assert_eq!(bad.parse::<ListenAddress>().unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        let is_local = |text: &str| text.parse::<ListenAddress>().unwrap().is_local();
        for local in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/s"] {
            assert!(is_local(local), "{local}");
        }
        for open in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(!is_local(open), "{open}");
        }
    }

    #[tokio::test]
    async fn connections_send_at_once_and_are_probed() {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let ListenAddress::Tcp(address) = listener.address().unwrap() else { panic!("no TCP") };
        let _client = TcpStream::connect(address).await.unwrap();
        let IncomingConnection::Tcp(stream, _) = listener.accept().await.unwrap() else { panic!("no TCP") };
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }
}
