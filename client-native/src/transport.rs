//! Opening a WebSocket.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use wirehub_common::code::CloseCode;
use wirehub_common::{Limits, SUBPROTOCOL_PROTOBUF};

use crate::address::Target;
use crate::{Address, tls};

/// The bytes below a WebSocket.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(crate) type Socket = WebSocketStream<Box<dyn Io>>;

/// The largest message that is read. A server sends far less at once: [`Limits::BATCH_BYTES`].
const MESSAGE_BYTES: usize = 16 * Limits::BATCH_BYTES;

/// How many bytes the operating system accepts beyond those in flight. It would accept megabytes, and urgent messages
/// would wait behind them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 16 * 1024;

/// Opens a WebSocket; also returns the subprotocol that the server chose.
pub(crate) async fn open(address: Address) -> Result<(Socket, String), Failure> {
    let stream = dial(&address).await?;
    let mut request = address.uri.into_client_request()?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL_PROTOBUF));
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let (socket, response) = client_async_with_config(request, stream, Some(config)).await?;
    let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    Ok((socket, chosen.unwrap_or_default().into()))
}

/// Connects, up to the point at which a WebSocket handshake begins.
pub(crate) async fn dial(address: &Address) -> Result<Box<dyn Io>, Failure> {
    Ok(match &address.target {
        Target::Tcp { host, port, tls } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            #[cfg(any(target_os = "linux", target_os = "android"))]
            socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
            match tls {
                Some(name) => Box::new(tls::handshake(stream, name, &address.trust).await?),
                None => Box::new(stream),
            }
        }
        #[cfg(unix)]
        Target::Unix(file) => Box::new(UnixStream::connect(file).await?),
    })
}

/// The reason for which there is no WebSocket, as a close code and reason.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { code: CloseCode::ABNORMAL, reason: error.to_string() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Http(response) => {
                let status = response.status();
                let body = response.body().as_deref().unwrap_or_default();
                let reason = format!("{status}: {}", String::from_utf8_lossy(body).trim());
                // A server that is busy, or being replaced behind its proxy, may be available later. One with any other
                // answer (a wrong path, a refused origin, no WebSocket at all) will repeat that answer.
                let later = status.is_server_error()
                    || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                let code = if later { CloseCode::ABNORMAL } else { CloseCode::NOT_WIREHUB };
                Self { code, reason }
            }
            Error::Protocol(
                tungstenite::error::ProtocolError::SecWebSocketSubProtocolError(_)
                | tungstenite::error::ProtocolError::MissingConnectionUpgradeHeader
                | tungstenite::error::ProtocolError::MissingUpgradeWebSocketHeader
                | tungstenite::error::ProtocolError::SecWebSocketAcceptKeyMismatch,
            ) => Self { code: CloseCode::NOT_WIREHUB, reason: error.to_string() },
            Error::Capacity(_) => Self { code: CloseCode::TOO_LARGE, reason: error.to_string() },
            other => Self { code: CloseCode::ABNORMAL, reason: other.to_string() },
        }
    }
}
