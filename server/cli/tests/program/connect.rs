//! `wirehub connect`, against a real server and against one that the test plays.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use wirehub_common::Limits;
use wirehub_server::Tls;

use crate::program::{failure, wirehub};
use crate::support::{Server, in_time, open_hub};

/// Runs it to the end, with this input.
async fn said(arguments: &[&str], input: &str) -> Output {
    let mut child = start(arguments);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    ended(child).await
}

fn start(arguments: &[&str]) -> Child {
    wirehub(&[&["connect"], arguments].concat()).stdin(Stdio::piped()).spawn().unwrap()
}

async fn ended(child: Child) -> Output {
    in_time(tokio::task::spawn_blocking(|| child.wait_with_output().unwrap())).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn events(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A server that the test plays.
struct Puppet {
    listener: TcpListener,
    url: String,
}

impl Puppet {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/some/path", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next WebSocket, with the path and the headers of its handshake.
    async fn accept(&self) -> (WebSocketStream<TcpStream>, String, HeaderMap) {
        let (stream, _) = in_time(self.listener.accept()).await.unwrap();
        let mut asked = (String::new(), HeaderMap::new());
        #[allow(clippy::result_large_err, reason = "the library's signature")]
        let socket = accept_hdr_async(stream, |request: &Request, mut response: Response| {
            asked = (request.uri().to_string(), request.headers().clone());
            if let Some(offered) = request.headers().get("sec-websocket-protocol") {
                let first = offered.to_str().unwrap().split(", ").next().unwrap();
                response.headers_mut().insert("sec-websocket-protocol", first.parse().unwrap());
            }
            Ok(response)
        });
        let socket = in_time(socket).await.unwrap();
        (socket, asked.0, asked.1)
    }
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    in_time(socket.next()).await.unwrap().unwrap()
}

fn is_normal_close(message: &Message) -> bool {
    matches!(message, Message::Close(Some(frame)) if u16::from(frame.code) == 1000)
}

#[tokio::test]
async fn lines_go_in_and_messages_come_out() {
    let server = Server::start(open_hub().build()).await;
    let url = format!("ws://{}/echo", server.host());
    let output = said(&[&url], "hi\n\nzwei Wörter\nwithout an end").await;
    assert_eq!(text(&output.stdout), "hi\n\nzwei Wörter\nwithout an end\n");
    assert_eq!((text(&output.stderr), output.status.code()), ("", Some(0)));

    let output = said(&["--binary", &url], "AAEC\n\n /w== \n").await;
    assert_eq!(text(&output.stdout), "AAEC\n\n/w==\n", "bytes are base64, in both directions");

    let output = said(&["--json", "--binary", &url], "AAEC\n").await;
    assert_eq!(
        events(&output),
        [
            json!({ "event": "open", "subprotocol": null }),
            json!({ "event": "binary", "data": "AAEC" }),
            json!({ "event": "close", "code": 1000, "reason": "" }),
        ]
    );
}

#[tokio::test]
async fn the_handshake_has_the_given_options() {
    let puppet = Puppet::new().await;
    let child = start(&[
        "--json",
        "--verbose",
        "--subprotocol=one",
        "--subprotocol=two",
        "--header=X-One: 1",
        "--header=x-one:2",
        "--header=Host: other.example",
        "--origin=https://app.example",
        "--path=/else?a=b",
        &puppet.url,
    ]);
    let (mut socket, path, headers) = puppet.accept().await;
    assert_eq!(path, "/else?a=b");
    assert_eq!(headers["sec-websocket-protocol"], "one, two");
    assert_eq!(headers["origin"], "https://app.example");
    assert_eq!(headers["host"], "other.example");
    assert_eq!(headers.get_all("x-one").iter().collect::<Vec<_>>(), ["1", "2"]);
    in_time(socket.send(Message::Ping("p".into()))).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("p".into()));
    let frame = CloseFrame { code: 4001.into(), reason: "enough".into() };
    in_time(socket.close(Some(frame))).await.unwrap();
    assert!(
        matches!(next(&mut socket).await, Message::Close(Some(answer)) if u16::from(answer.code) == 4001)
    );
    drop(socket);
    let output = ended(child).await;
    assert_eq!(
        events(&output),
        [
            json!({ "event": "open", "subprotocol": "one" }),
            json!({ "event": "ping", "data": "cA==" }),
            json!({ "event": "close", "code": 4001, "reason": "enough" }),
        ]
    );
    assert_eq!(output.status.code(), Some(3), "closed by an error");
    let words = text(&output.stderr);
    assert!(words.contains("sec-websocket-protocol: one") && words.contains("4001: enough"), "{words}");
}

#[tokio::test]
async fn an_interrupt_closes_properly_and_reads_to_the_end() {
    let puppet = Puppet::new().await;
    let child = start(&[&puppet.url]);
    let (mut socket, ..) = puppet.accept().await;
    in_time(socket.send(Message::text("first"))).await.unwrap();
    let mut child = child;
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    // Reading the close queues the answer, which goes out with the next write.
    assert!(is_normal_close(&next(&mut socket).await));
    in_time(socket.flush()).await.unwrap();
    drop(socket);
    assert_eq!(ended(child).await.status.code(), Some(0));
}

#[tokio::test]
async fn messages_that_come_after_the_end_of_the_input_are_written() {
    let puppet = Puppet::new().await;
    let child = start(&["--stay=1h", "--pong", &puppet.url]);
    let (mut socket, ..) = puppet.accept().await;
    let mut child = child;
    drop(child.stdin.take());
    for _ in 0..3 {
        in_time(socket.send(Message::text(""))).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::text(""));
    }
    in_time(socket.send(Message::text("late"))).await.unwrap();
    in_time(socket.close(None)).await.unwrap();
    assert!(matches!(next(&mut socket).await, Message::Close(_)));
    drop(socket);
    let output = ended(child).await;
    assert_eq!((text(&output.stdout), output.status.code()), ("late\n", Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_by_hand_stays_as_long_as_pings_are_answered() {
    let limits = Limits { ping_interval: Duration::from_millis(50), ..Limits::default() };
    let hub = open_hub().limits(limits).build();
    let server = Server::start(hub.clone()).await;
    let mut child = start(&["--pong", "--verbose", &format!("ws://{}/ws", server.host())]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"id\":1,\"connect\":{}}\n").unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut empty = 0;
    let mut line = String::new();
    while empty < 20 {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "it was closed after {empty} pings");
        empty += usize::from(line == "\n");
    }
    assert_eq!(hub.local_sessions(), 1);
    drop(input);
    assert_eq!(ended(child).await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_status_shows_the_kind_of_end() {
    let server = Server::start(open_hub().build()).await;
    let url = format!("ws://{}/echo", server.host());
    let (status, words) = failure(&["connect", "--origin=https://evil.example", &url]);
    assert_eq!(status, Some(1));
    assert!(words.contains("403") && words.contains("--allow-origin"), "{words}");
    let (status, words) = failure(&["connect", &url.replace("/echo", "/nowhere")]);
    assert_eq!(status, Some(1));
    assert!(words.contains("404"), "{words}");

    // It neither answers the handshake nor refuses it.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("ws://{}/", silent.local_addr().unwrap());
    let (status, words) = failure(&["connect", "--timeout=50ms", &silent]);
    assert_eq!(status, Some(1));
    assert!(words.contains("--timeout"), "{words}");

    let output = said(&["--binary", &url], "AAEC\nno base64\n").await;
    assert_eq!((text(&output.stdout), output.status.code()), ("AAEC\n", Some(1)));
    assert!(text(&output.stderr).contains("line 2"), "{output:?}");

    let puppet = Puppet::new().await;
    let child = start(&[&puppet.url]);
    drop(puppet.accept().await);
    let output = ended(child).await;
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("lost"), "{output:?}");

    let child = start(&["--close-timeout=50ms", &puppet.url]);
    let socket = puppet.accept().await;
    let output = ended(child).await;
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("did not answer"), "{output:?}");
    drop(socket);

    for (arguments, words) in [
        (["--header=Upgrade: h2c"], "set by the handshake"),
        (["--header=nothing"], "NAME: VALUE"),
        (["--subprotocol=a b"], "letters"),
        (["--timeout=soon"], "25s"),
    ] {
        let (status, told) = failure(&["connect", arguments[0], "ws://127.0.0.1:1/"]);
        assert_eq!(status, Some(2), "{arguments:?}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}

#[tokio::test]
async fn it_closes_properly_when_its_output_has_no_reader() {
    let puppet = Puppet::new().await;
    let mut child = start(&[&puppet.url]);
    let (mut socket, ..) = puppet.accept().await;
    drop(child.stdout.take());
    in_time(socket.send(Message::text("for nobody"))).await.unwrap();
    assert!(is_normal_close(&next(&mut socket).await));
    in_time(socket.flush()).await.unwrap();
    drop(socket);
    assert_eq!(ended(child).await.status.code(), Some(0));
}

#[tokio::test]
async fn it_connects_over_tls_and_socket_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let tls = Tls::from_files(path("cert.pem"), path("key.pem")).unwrap();
    let server = Server::start_with_tls(open_hub().build(), tls).await;
    let port = server.host().rsplit(':').next().unwrap().to_owned();
    let url = format!("wss://localhost:{port}/echo");
    let authority = format!("--ca={}", path("cert.pem").display());
    assert_eq!(text(&said(&[&authority, &url], "safe\n").await.stdout), "safe\n");
    assert_eq!(
        said(&[&url], "unsafe\n").await.status.code(),
        Some(1),
        "who is nobody's friend is not believed"
    );

    let listen = format!("unix:{}", path("hub.sock").display());
    let _server = Server::start_at(open_hub().build(), &listen).await;
    assert_eq!(text(&said(&["--path=/echo", &listen], "here\n").await.stdout), "here\n");
}
