//! `wirehub connect`: a plain WebSocket client, for any server.

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri, header};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use wirehub_client::Address;
use wirehub_server::config::parse_time;
use wirehub_server::serve::Signals;

use super::client::{Failure, parse_address};
use super::input::Lines;
use super::output::{is_unread, line, shown};
use super::{note, report_error, runtime};

/// The options of a plain connection.
#[derive(Debug, Clone, clap::Args)]
pub struct PlainOptions {
    /// The server: ws://127.0.0.1:8080/echo, wss://… or unix:FILE.
    #[arg(value_name = "URL", value_parser = parse_address)]
    url: Address,

    /// Use this path in place of the one in the URL. Default for unix:FILE: /ws.
    #[arg(long, value_name = "PATH")]
    path: Option<PathAndQuery>,

    /// Offer this subprotocol. Repeatable, most preferred first. The server has to select one.
    #[arg(long = "subprotocol", value_name = "NAME", value_parser = parse_subprotocol)]
    subprotocols: Vec<String>,

    /// Send this header in the handshake. Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// Send this origin, as the browser of a page does.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<HeaderValue>,

    /// Send binary messages. Each line of input is one, in base64.
    #[arg(long)]
    binary: bool,

    /// Write JSON, one object per line, with the kind of event in `event`.
    #[arg(long)]
    json: bool,

    /// Answer empty messages with empty ones, and do not print them. A client of Wirehub's /ws thereby stays connected.
    #[arg(long)]
    pong: bool,

    /// Also print the handshake, pings and the end.
    #[arg(long, short)]
    verbose: bool,

    /// The time limit for opening the WebSocket.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    timeout: Duration,

    /// How long to stay after the end of the input, before closing the WebSocket.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_time)]
    stay: Duration,

    /// The time limit for the server's answer to the close.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time)]
    close_timeout: Duration,

    /// Trust the certificate authorities in this PEM file, in place of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The end of `wirehub connect --help`.
pub(super) const NOTES: &str = "\
Each line of input is sent as a message, and each received message is printed as a line: text as it is, bytes in
base64. Ctrl-C and the end of the input close the WebSocket with 1000; a second Ctrl-C ends the program at once.

Examples:
  wirehub connect ws://127.0.0.1:8080/echo                                 send messages to yourself
  wirehub connect --pong ws://127.0.0.1:8080/ws                            use Wirehub by hand; begin with {\"id\":1,\"connect\":{}}
  wirehub connect --origin https://evil.example ws://127.0.0.1:8080/ws     test the access of other pages
  wirehub connect --header 'Authorization: Bearer X' wss://app.example/live
  echo '{\"id\":1,\"connect\":{}}' | wirehub connect --json --stay 1s ws://127.0.0.1:8080/ws | jq .data

Status:
  0  closed normally: by this side, or by the server with 1000, 1001 or no code
  1  no WebSocket was opened, or the input could not be sent
  2  the command line is wrong
  3  the server closed with another code
  4  the connection was lost, or the close was not answered in time";

type Socket<S> = WebSocketStream<S>;

/// The end of a conversation.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed { code: u16, reason: String },
    Lost(String),
    Unanswered,
}

/// Signals between the two directions.
#[derive(Default)]
struct Notifications {
    /// Send an empty message.
    pong: Notify,
    /// The output has no reader any more.
    stop: Notify,
}

impl PlainOptions {
    /// Runs the command and returns the exit status.
    pub fn run(self) -> ExitCode {
        match runtime().and_then(|runtime| runtime.block_on(self.carry_out())) {
            Ok(end) => {
                if let Some(words) = end.complaint() {
                    report_error(&words);
                }
                ExitCode::from(end.status())
            }
            Err(error) => {
                report_error(&error);
                ExitCode::FAILURE
            }
        }
    }

    async fn carry_out(self) -> Result<End, Failure> {
        let mut signals = Signals::new()?;
        let opening = timeout(self.timeout, self.open());
        let socket = tokio::select! {
            opened = opening => opened.map_err(|_| {
                format!("no WebSocket within {:?}: check the address, or allow more time with --timeout", self.timeout)
            })??,
            () = signals.next() => return Err("interrupted before the WebSocket was open".into()),
        };
        let mut complaint = None;
        let end = self.converse(socket, &mut signals, &mut complaint).await;
        match self.print_end(&end) {
            Err(error) if !is_unread(&error) => return Err(error.into()),
            _ => {}
        }
        complaint.map_or(Ok(end), Err)
    }

    async fn open(&self) -> Result<Socket<impl AsyncRead + AsyncWrite + Send + Unpin + use<>>, Failure> {
        let mut address = self.url.clone();
        if let Some(path) = &self.ca {
            let pem =
                std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            address = address.with_root_certificates(&pem)?;
        }
        let request = self.request(&address)?;
        let stream = address.dial().await.map_err(|error| format!("no connection: {error}"))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES))
            .write_buffer_size(0);
        let (socket, response) =
            client_async_with_config(request, stream, Some(config)).await.map_err(|error| refusal(&error))?;
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let subprotocol = header(header::SEC_WEBSOCKET_PROTOCOL);
        if self.verbose {
            for (name, value) in response.headers() {
                note(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
            }
        }
        if self.json {
            line(json!({ "event": "open", "subprotocol": subprotocol }))?;
        } else if self.verbose {
            note("open: Ctrl-C closes");
        }
        Ok(socket)
    }

    fn request(&self, address: &Address) -> Result<Request, Failure> {
        let mut parts = address.uri().clone().into_parts();
        if let Some(path) = &self.path {
            parts.path_and_query = Some(path.clone());
        }
        let mut request = Uri::from_parts(parts)?.into_client_request()?;
        let headers = request.headers_mut();
        if !self.subprotocols.is_empty() {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, self.subprotocols.join(", ").parse()?);
        }
        if let Some(origin) = &self.origin {
            headers.insert(header::ORIGIN, origin.clone());
        }
        for (name, value) in &self.headers {
            // Host appears once; other headers may appear several times.
            if name == header::HOST {
                headers.insert(name, value.clone());
            } else {
                headers.append(name, value.clone());
            }
        }
        Ok(request)
    }

    /// Runs both directions at once, so that neither side waits for the other to read.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: Socket<S>,
        signals: &mut Signals,
        complaint: &mut Option<Failure>,
    ) -> End {
        let (mut sink, mut stream) = socket.split();
        let notify = Notifications::default();
        let leave = async {
            let line = tokio::select! {
                line = self.send_input(&mut sink, &notify) => line,
                () = signals.next() => Ok(()),
                () = notify.stop.notified() => Ok(()),
            };
            *complaint = line.err();
            let close = Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
            let unanswered = async {
                // An error also appears when the socket is read.
                let _ = sink.send(close).await;
                pending::<()>().await;
            };
            tokio::select! {
                () = unanswered => {}
                () = sleep(self.close_timeout) => {}
                () = signals.next() => {}
            }
            End::Unanswered
        };
        tokio::select! {
            end = self.listen(&mut stream, &notify) => end,
            end = leave => end,
        }
    }

    /// Sends the input, line by line, and then waits for the configured time.
    async fn send_input<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        sink: &mut SplitSink<Socket<S>, Message>,
        notify: &Notifications,
    ) -> Result<(), Failure> {
        let mut lines = Lines::of_standard_input();
        let mut number: u64 = 0;
        loop {
            let message = tokio::select! {
                line = lines.next() => match line {
                    Some(line) => {
                        number = number.saturating_add(1);
                        self.message(line?).map_err(|error| format!("line {number} of the input: {error}"))?
                    }
                    None => break,
                },
                () = notify.pong.notified() => self.empty(),
            };
            if sink.send(message).await.is_err() {
                // The error also appears when the socket is read.
                return pending().await;
            }
        }
        let stay = sleep(self.stay);
        tokio::pin!(stay);
        loop {
            tokio::select! {
                () = &mut stay => return Ok(()),
                () = notify.pong.notified() => drop(sink.send(self.empty()).await),
            }
        }
    }

    /// Prints received messages until the end.
    async fn listen<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut SplitStream<Socket<S>>,
        notify: &Notifications,
    ) -> End {
        loop {
            let message = match stream.next().await {
                Some(Ok(Message::Close(frame))) => {
                    // Further reading sends the answer and waits for the server to end the connection.
                    let hung_up = async { while let Some(Ok(_)) = stream.next().await {} };
                    let _ = timeout(self.close_timeout, hung_up).await;
                    let (code, reason) = frame
                        .map_or((NO_CODE, String::new()), |it| (it.code.into(), it.reason.as_str().into()));
                    return End::Closed { code, reason };
                }
                Some(Ok(message)) => message,
                Some(Err(error)) => return End::Lost(error.to_string()),
                None => return End::Lost("the server ended the connection".into()),
            };
            let is_empty = matches!(&message, Message::Text(_) | Message::Binary(_)) && message.is_empty();
            if self.pong && is_empty {
                notify.pong.notify_one();
                if !self.verbose {
                    continue;
                }
            }
            if self.print(&message).is_err() {
                // The output has no reader: end as with Ctrl-C.
                notify.stop.notify_one();
            }
        }
    }

    fn message(&self, line: String) -> Result<Message, Failure> {
        if !self.binary {
            return Ok(Message::text(line));
        }
        let bytes = BASE64
            .decode(line.trim())
            .map_err(|error| format!("this line is not base64 ({error}), as --binary requires: encode it"))?;
        Ok(Message::binary(bytes))
    }

    fn empty(&self) -> Message {
        if self.binary { Message::binary(Vec::new()) } else { Message::text("") }
    }

    fn print(&self, message: &Message) -> io::Result<()> {
        let (event, data) = match message {
            Message::Text(text) if self.json => ("text", Value::from(text.as_str())),
            Message::Text(text) => return line(shown(text.as_str())),
            Message::Binary(bytes) if self.json => ("binary", BASE64.encode(bytes).into()),
            Message::Binary(bytes) => return line(BASE64.encode(bytes)),
            Message::Ping(bytes) if self.verbose => ("ping", BASE64.encode(bytes).into()),
            Message::Pong(bytes) if self.verbose => ("pong", BASE64.encode(bytes).into()),
            // Not requested, or internal to the WebSocket library.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return Ok(()),
        };
        if self.json {
            return line(json!({ "event": event, "data": data }));
        }
        note(&format!("{event} {}", data.as_str().unwrap_or_default()));
        Ok(())
    }

    fn print_end(&self, end: &End) -> io::Result<()> {
        if self.json {
            return line(match end {
                End::Closed { code, reason } => json!({ "event": "close", "code": code, "reason": reason }),
                End::Lost(reason) => json!({ "event": "lost", "reason": reason }),
                End::Unanswered => json!({ "event": "lost", "reason": "the close was not answered" }),
            });
        }
        if let (true, End::Closed { code, reason }) = (self.verbose, end) {
            note(&format!("closed: {code} {reason}"));
        }
        Ok(())
    }
}

impl End {
    fn status(&self) -> u8 {
        match self {
            Self::Closed { code: 1000 | 1001 | NO_CODE, .. } => 0,
            Self::Closed { .. } => 3,
            Self::Lost(_) | Self::Unanswered => 4,
        }
    }

    /// The message for an abnormal end.
    fn complaint(&self) -> Option<String> {
        match self {
            Self::Closed { .. } if self.status() == 0 => None,
            Self::Closed { code, reason } => Some(format!("the server closed with {code}: {reason}")),
            Self::Lost(reason) => Some(format!("the connection was lost: {reason}")),
            Self::Unanswered => Some("the server did not answer the close".into()),
        }
    }
}

/// The reason for a failed handshake.
fn refusal(error: &SocketError) -> String {
    let SocketError::Http(response) = error else { return format!("no WebSocket: {error}") };
    let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
    format!("the server refused the handshake: {}: {}", response.status(), body.trim())
}

fn parse_subprotocol(text: &str) -> Result<String, String> {
    // HTTP tokens and header names have the same syntax.
    text.parse::<HeaderName>()
        .map(|_| text.to_owned())
        .map_err(|_| "invalid subprotocol: use letters, digits and signs such as - . _".into())
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "invalid header: write NAME: VALUE, such as 'Authorization: Bearer TOKEN'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
    let value = value.trim().parse().map_err(|_| wrong())?;
    let is_own =
        [header::CONNECTION, header::UPGRADE].contains(&name) || name.as_str().starts_with("sec-websocket-");
    if is_own {
        return Err(format!(
            "{name} is set by the handshake itself: remove it (for subprotocols use --subprotocol)"
        ));
    }
    Ok((name, value))
}

/// The code of a close without a code.
const NO_CODE: u16 = 1005;

/// The largest message.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;
