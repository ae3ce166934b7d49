//! `/echo` over raw frames.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};
use wirehub_common::Limits;

use crate::support::{Server, in_time, open_hub};

async fn open(server: &Server) -> WebSocketStream<TcpStream> {
    in_time(client_async("ws://localhost/echo", server.tcp().await)).await.unwrap().0
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    in_time(socket.next()).await.unwrap().unwrap()
}

async fn start(message_bytes: u32) -> Server {
    let limits = Limits { message_bytes, ..Limits::default() };
    Server::start(open_hub().limits(limits).build()).await
}

/// A masked frame. The mask is zero, so the content is unchanged.
fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | content.len() as u8, 0, 0, 0, 0][..], content].concat()
}

#[tokio::test]
async fn messages_return_unchanged() {
    let server = start(1 << 20).await;
    let mut socket = open(&server).await;
    for message in [
        Message::Text("".into()),
        Message::Text("grüße".into()),
        Message::Binary(vec![0, 255].into()),
        Message::Binary(vec![1; 70_000].into()),
        Message::Text("x".repeat(1 << 20).into()),
    ] {
        in_time(socket.send(message.clone())).await.unwrap();
        assert_eq!(next(&mut socket).await, message);
    }
}

#[tokio::test]
async fn it_counts_among_the_connections_of_an_address() {
    let server = Server::start(open_hub().connections_per_address(1).build()).await;
    let _held = open(&server).await;
    let error = in_time(client_async("ws://localhost/echo", server.tcp().await)).await.unwrap_err();
    assert!(error.to_string().contains("429"), "{error}");
}

#[tokio::test]
async fn many_in_flight_return_in_order() {
    let server = start(1 << 20).await;
    let (mut sink, mut stream) = open(&server).await.split();
    let sending = async {
        for number in 0..5000 {
            sink.feed(Message::Text(number.to_string().into())).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    let receiving = async {
        for number in 0..5000 {
            assert_eq!(stream.next().await.unwrap().unwrap(), Message::Text(number.to_string().into()));
        }
    };
    in_time(async { tokio::join!(sending, receiving) }).await;
}

#[tokio::test]
async fn fragments_are_put_together_and_pings_between_them_answered_first() {
    let server = start(1 << 20).await;
    let mut socket = open(&server).await;
    let bytes = [frame(0x01, b"frag"), frame(0x89, b"?"), frame(0x00, b"men"), frame(0x80, b"ts")].concat();
    in_time(socket.get_mut().write_all(&bytes)).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("?".into()));
    assert_eq!(next(&mut socket).await, Message::Text("fragments".into()));
}

#[tokio::test]
async fn a_close_is_answered_after_earlier_messages_with_its_code_and_reason() {
    let server = start(1 << 20).await;
    let mut socket = open(&server).await;
    let close = CloseFrame { code: CloseCode::from(4321), reason: "enough".into() };
    socket.feed(Message::Text("last".into())).await.unwrap();
    in_time(socket.send(Message::Close(Some(close.clone())))).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Text("last".into()));
    assert_eq!(next(&mut socket).await, Message::Close(Some(close)));
    // The server closes the connection first (RFC 6455, section 7.1.1).
    assert_eq!(in_time(socket.get_mut().read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn violations_are_closed_with_their_code() {
    let server = start(1000).await;
    for (bytes, code) in [
        (frame(0x82, &[0; 100]).repeat(1), None),
        (
            [frame(0x02, &[0; 100]), frame(0x00, &[0; 100]).repeat(9), frame(0x80, &[0; 1])].concat(),
            Some(1009),
        ),
        ([vec![0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0], vec![0; 1001]].concat(), Some(1009)),
        (frame(0x81, b"\xff"), Some(1007)),
        (frame(0xc1, b"reserved bit"), Some(1002)),
        (frame(0x83, b"reserved opcode"), Some(1002)),
        (frame(0x80, b"continues nothing"), Some(1002)),
        (vec![0x81, 1, b'u'], Some(1002)),
    ] {
        let mut socket = open(&server).await;
        in_time(socket.get_mut().write_all(&bytes)).await.unwrap();
        let received = match next(&mut socket).await {
            Message::Close(Some(frame)) => Some(u16::from(frame.code)),
            Message::Binary(_) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(received, code, "{bytes:?}");
    }
}
