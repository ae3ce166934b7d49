//! A server on a free port, and minimal clients of tungstenite and the codec.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use wirehub_common::frame::{
    Call, Command, Connect, Connected, Part, Publication, Publish, Push, Reply, ReplyBody, Request,
    ServerFrame, Subscribe, Unsubscribe,
};
use wirehub_common::{Assembler, ChannelName, Codec, Limits, Payload};
use wirehub_server::namespace::Namespace;
use wirehub_server::{Builder, Hub, ListenAddress, Listener, Tls, router, run};

/// A builder of a hub whose channels are open to every client.
pub(crate) fn open_hub() -> Builder {
    Hub::builder().default_namespace(Namespace::open())
}

pub(crate) const CODECS: [Codec; 2] = [Codec::Protobuf, Codec::Json];

/// A running server.
pub(crate) struct Server {
    pub(crate) hub: Hub,
    pub(crate) address: ListenAddress,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(hub: Hub) -> Self {
        Self::start_at(hub, "127.0.0.1:0").await
    }

    pub(crate) async fn start_at(hub: Hub, listen: &str) -> Self {
        let app = router(&hub).merge(hub.echo());
        Self::start_app(hub, app, listen).await
    }

    pub(crate) async fn start_app(hub: Hub, app: axum::Router, listen: &str) -> Self {
        Self::start_on(Listener::bind(&listen.parse().unwrap()).await.unwrap(), hub, app)
    }

    pub(crate) async fn start_with_tls(hub: Hub, tls: Tls) -> Self {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let app = router(&hub).merge(hub.echo());
        Self::start_on(listener.with_tls(tls), hub, app)
    }

    pub(crate) fn start_on(listener: Listener, hub: Hub, app: axum::Router) -> Self {
        let address = listener.address().unwrap();
        let (stop, stopping) = oneshot::channel();
        let running = tokio::spawn(run(listener, hub.clone(), app, async {
            let _ = stopping.await;
        }));
        Self { hub, address, stop: Some(stop), running }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.host()).await.unwrap()
    }

    /// Begins a stop; [`Self::stopped`] waits for its end.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stopped(self) {
        in_time(self.running).await.unwrap();
    }
}

/// An event of a client.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Frame(ServerFrame),
    /// An empty message.
    Ping,
    /// The close code, or 1006 without one, and the reason.
    Closed(u16, String),
}

/// A WebSocket with a codec.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) socket: WebSocketStream<S>,
    codec: Codec,
    frames: VecDeque<ServerFrame>,
    parts: Assembler,
    next_id: u32,
}

impl Client {
    /// Opens a WebSocket, and sends nothing.
    pub(crate) async fn open(server: &Server, codec: Codec) -> Self {
        Client::open_on(server.tcp().await, codec).await
    }

    /// A connected session.
    pub(crate) async fn connect(server: &Server, codec: Codec) -> Self {
        let mut client = Self::open(server, codec).await;
        client.connected(Connect::default()).await;
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn open_on(stream: S, codec: Codec) -> Self {
        Self::open_with(stream, codec, &[]).await
    }

    /// With these headers in the handshake.
    pub(crate) async fn open_with(stream: S, codec: Codec, headers: &[(&'static str, &'static str)]) -> Self {
        let mut request = "ws://localhost/ws".into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let protocol = HeaderValue::from_static(codec.subprotocol());
        request.headers_mut().insert("sec-websocket-protocol", protocol.clone());
        let (socket, response) = in_time(client_async(request, stream)).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
        Self { socket, codec, frames: VecDeque::new(), parts: Assembler::new(), next_id: 1 }
    }

    /// Sends `connect` and returns its answer.
    #[track_caller]
    pub(crate) fn connected(&mut self, connect: Connect) -> impl Future<Output = Connected> {
        let test = Location::caller();
        async move {
            match self.request_at(test, Request::Connect(connect)).await.result {
                Ok(ReplyBody::Connected(connected)) => *connected,
                other => panic!("{}: {other:?}", self.at(test)),
            }
        }
    }

    /// Sends a message unchanged.
    pub(crate) async fn send_raw(&mut self, message: Message) {
        in_time(self.socket.send(message)).await.unwrap();
    }

    /// Sends commands in one message, or a single large one in parts.
    pub(crate) async fn send(&mut self, commands: impl IntoIterator<Item = Command>) {
        let batch: Vec<u8> =
            commands.into_iter().flat_map(|command| self.codec.encode_command(&command)).collect();
        if batch.len() <= Limits::BATCH_BYTES {
            return self.send_raw(self.message(batch)).await;
        }
        let whole = self.codec.undelimited(&batch.into());
        let mut left = whole.len();
        // Half of the room: in JSON, quotes take two bytes.
        for data in whole.chunks(Limits::BATCH_BYTES / 2 - 100) {
            left -= data.len();
            let part = Part { stream: 0, data: whole.slice_ref(data), left: left as u64 };
            let command = Command { id: 0, request: Request::Part(part) };
            self.send_raw(self.message(self.codec.encode_command(&command).into())).await;
        }
    }

    /// A message of the subprotocol's kind, with these bytes.
    pub(crate) fn message(&self, data: Vec<u8>) -> Message {
        if self.codec.is_text() {
            Message::Text(String::from_utf8(data).unwrap().into())
        } else {
            data.into()
        }
    }

    /// A command with the next id.
    pub(crate) fn command(&mut self, request: Request) -> Command {
        let id = self.next_id;
        self.next_id += 1;
        Command { id, request }
    }

    /// Sends a command and waits for its reply. Earlier frames are kept for [`Self::next`].
    #[track_caller]
    pub(crate) fn request(&mut self, request: Request) -> impl Future<Output = Reply> {
        self.request_at(Location::caller(), request)
    }

    async fn request_at(&mut self, test: At, request: Request) -> Reply {
        let command = self.command(request);
        let id = command.id;
        self.send([command]).await;
        let mut others = Vec::new();
        let reply = loop {
            match self.next_at(test).await {
                Received::Frame(ServerFrame::Reply(reply)) if reply.id == id => break reply,
                Received::Frame(other) => others.push(other),
                Received::Ping => {}
                other => panic!("{}: {other:?} for a reply", self.at(test)),
            }
        };
        for other in others.into_iter().rev() {
            self.frames.push_front(other);
        }
        reply
    }

    #[track_caller]
    pub(crate) fn ok(&mut self, request: Request) -> impl Future<Output = ReplyBody> {
        self.ok_at(Location::caller(), request)
    }

    async fn ok_at(&mut self, test: At, request: Request) -> ReplyBody {
        match self.request_at(test, request).await.result {
            Ok(answer) => answer,
            Err(error) => panic!("{}: {error:?}", self.at(test)),
        }
    }

    /// The error code in the answer to a command.
    #[track_caller]
    pub(crate) fn error(&mut self, request: Request) -> impl Future<Output = u16> {
        let test = Location::caller();
        async move {
            match self.request_at(test, request).await.result {
                Err(error) => error.code.number(),
                Ok(answer) => panic!("{}: {answer:?} for an error", self.at(test)),
            }
        }
    }

    #[track_caller]
    pub(crate) fn subscribe(&mut self, channel: &str) -> impl Future<Output = ()> {
        let test = Location::caller();
        async move {
            let answer = self.ok_at(test, subscribe(channel, 1)).await;
            assert!(matches!(answer, ReplyBody::Subscribed(_)), "{}: {answer:?}", self.at(test));
        }
    }

    /// The next frame, ping or close.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Received> {
        self.next_at(Location::caller())
    }

    async fn next_at(&mut self, test: At) -> Received {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Received::Frame(frame);
            }
            let Ok(received) = tokio::time::timeout(PATIENCE, self.socket.next()).await else {
                panic!("{}: nothing came for {PATIENCE:?}", self.at(test))
            };
            let data = match received {
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Binary(data))) => data,
                Some(Ok(Message::Close(Some(frame)))) => {
                    // Sends the answer.
                    let _ = self.socket.flush().await;
                    return Received::Closed(frame.code.into(), frame.reason.to_string());
                }
                None | Some(Ok(Message::Close(None)) | Err(Error::Io(_) | Error::Protocol(_))) => {
                    return Received::Closed(1006, String::new());
                }
                Some(other) => panic!("{}: {other:?}", self.at(test)),
            };
            if data.is_empty() {
                return Received::Ping;
            }
            assert!(data.len() <= Limits::BATCH_BYTES, "{} bytes in one message", data.len());
            for frame in self.codec.decode_frames(&data).map(Result::unwrap) {
                let ServerFrame::Part(part) = frame else {
                    self.frames.push_back(frame);
                    continue;
                };
                if let Some(whole) = self.parts.take(part.stream, &part.data, part.left, usize::MAX).unwrap()
                {
                    self.frames.push_back(self.codec.decode_frame(&whole).unwrap());
                }
            }
        }
    }

    /// The next reply: the id of its command, and its error code.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> impl Future<Output = (u32, Option<u16>)> {
        let test = Location::caller();
        async move {
            match self.next_at(test).await {
                Received::Frame(ServerFrame::Reply(Reply { id, result })) => {
                    (id, result.err().map(|error| error.code.number()))
                }
                other => panic!("{}: {other:?} for a reply", self.at(test)),
            }
        }
    }

    /// The next push.
    #[track_caller]
    pub(crate) fn push(&mut self) -> impl Future<Output = Push> {
        self.push_at(Location::caller())
    }

    async fn push_at(&mut self, test: At) -> Push {
        loop {
            match self.next_at(test).await {
                Received::Frame(ServerFrame::Push(push)) => break push,
                // On a busy machine a test may take longer than the ping interval.
                Received::Ping => {}
                other => panic!("{}: {other:?} for a push", self.at(test)),
            }
        }
    }

    #[track_caller]
    pub(crate) fn publication(&mut self) -> impl Future<Output = Publication> {
        let test = Location::caller();
        async move {
            match self.push_at(test).await {
                Push::Publication(publication) => publication,
                other => panic!("{}: {other:?} for a publication", self.at(test)),
            }
        }
    }

    /// The code and reason of the server's close. Earlier frames are ignored.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> impl Future<Output = (u16, String)> {
        let test = Location::caller();
        async move {
            loop {
                if let Received::Closed(code, reason) = self.next_at(test).await {
                    return (code, reason);
                }
            }
        }
    }

    /// The beginning of a failure's message: the line of the test, and the codec.
    fn at(&self, test: At) -> String {
        format!("{test} ({:?})", self.codec)
    }
}

pub(crate) fn name(channel: &str) -> ChannelName {
    ChannelName::new(channel).unwrap()
}

pub(crate) fn subscribe(channel: &str, number: u32) -> Request {
    Request::Subscribe(Subscribe { channel: name(channel), number, position: None, history: 0 })
}

pub(crate) fn unsubscribe(channel: &str, number: u32) -> Request {
    Request::Unsubscribe(Unsubscribe { channel: name(channel), number })
}

pub(crate) fn publish(channel: &str, payload: Payload) -> Request {
    Request::Publish(Publish { channel: name(channel), payload, key: String::new() })
}

pub(crate) fn call(name: &str, payload: Payload) -> Request {
    Request::Call(Call { name: name.into(), payload, key: String::new() })
}

/// Sends one HTTP request and returns the whole answer.
pub(crate) async fn http(server: &Server, request: &str) -> String {
    http_at(&server.host(), request).await
}

/// Like [`http`], for any server.
pub(crate) async fn http_at(host: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Fails instead of hanging, with the caller's line.
#[track_caller]
pub(crate) fn in_time<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    in_time_at(Location::caller(), future)
}

async fn in_time_at<T>(test: At, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{test}: nothing happened for {PATIENCE:?}"),
    }
}

/// Waits for a condition that another task fulfils.
#[track_caller]
pub(crate) fn until(what: impl Fn() -> bool) -> impl Future<Output = ()> {
    in_time_at(Location::caller(), async move {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
}

/// The line of the failing test.
type At = &'static Location<'static>;

/// The time limit of every wait: long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
