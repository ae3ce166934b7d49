//! [`GlooSocket`](wirehub_client_wasm::GlooSocket): a WebSocket of `gloo-net` that is taken over.

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use gloo_net::websocket::futures::WebSocket;
use wasm_bindgen_test::wasm_bindgen_test;
use wirehub_client_wasm::{GlooSocket, Message, ReadyState, SocketErrorKind};
use wirehub_common::SUBPROTOCOL_PROTOBUF;
use wirehub_common::code::CloseCode;
use wirehub_demo_contract::ChatMessage;

use crate::support::{NOBODY, echo, hub};

#[wasm_bindgen_test]
async fn a_socket_that_is_taken_over_goes_on_with_what_it_has() {
    // It is used before: the message that is on its way belongs to its new owner.
    let mut theirs = WebSocket::open(&echo()).unwrap();
    theirs.send(gloo_net::websocket::Message::Text("theirs".into())).await.unwrap();
    let mut socket = GlooSocket::from(theirs);
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::from("theirs"));
    assert_eq!(socket.ready_state(), ReadyState::Open);
    let bytes = Message::Binary(Bytes::from_static(b"\0\xff\x80"));
    socket.send(bytes.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), bytes);

    let mut socket = socket.typed::<ChatMessage>();
    let said = ChatMessage { nick: "ann".into(), text: "hi \u{1f980}".into() };
    socket.send(said.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), said);

    let mut socket = socket.typed::<Message>();
    socket.send("7".into()).await.unwrap();
    let mut socket = socket.typed::<ChatMessage>();
    assert_eq!(socket.next().await.unwrap().unwrap_err().kind(), SocketErrorKind::Payload);
}

#[wasm_bindgen_test]
async fn sending_waits_for_the_socket_to_open_and_for_the_browser() {
    let mut socket = GlooSocket::from(WebSocket::open(&echo()).unwrap());
    assert_eq!(socket.ready_state(), ReadyState::Connecting);
    assert!(socket.send("early".into()).now_or_never().is_none(), "it is not open");
    socket.send("open".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::from("open"));
    let big = "big ".repeat(100_000);
    // The browser has not sent it when the call returns.
    socket.feed(Message::Text(big.clone())).await.unwrap();
    assert!(socket.feed("behind it".into()).now_or_never().is_none(), "the browser's buffer is full");
    socket.feed("behind it".into()).await.unwrap();
    assert!(socket.buffered_amount() <= 64 * 1024);
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Text(big));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::from("behind it"));
}

#[wasm_bindgen_test]
async fn the_end_is_the_same_as_that_of_a_socket_of_ours() {
    let mut refused = GlooSocket::from(WebSocket::open(NOBODY).unwrap());
    let error = refused.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.close().unwrap().code), (SocketErrorKind::Lost, CloseCode::ABNORMAL));
    assert!(refused.next().await.is_none());
    assert_eq!(refused.send("late".into()).await.unwrap_err().kind(), SocketErrorKind::Closed);

    let mut socket = GlooSocket::from(WebSocket::open_with_protocol(&hub(), SUBPROTOCOL_PROTOBUF).unwrap());
    socket.send(Bytes::from_static(b"\xff\xff\xff garbage").into()).await.unwrap();
    assert_eq!(socket.protocol(), SUBPROTOCOL_PROTOBUF);
    while let Some(message) = socket.next().await {
        message.unwrap();
    }
    let closed = socket.closed().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::BAD_FRAME, true));

    let mut socket = GlooSocket::from(WebSocket::open(&echo()).unwrap());
    let unsendable = CloseCode::GOING_AWAY;
    assert_eq!(socket.close_with(unsendable, "").unwrap_err().kind(), SocketErrorKind::CloseCode);
    let mut socket = GlooSocket::from(WebSocket::open(&echo()).unwrap());
    socket.send("hello".into()).await.unwrap();
    socket.close().await.unwrap();
    assert_eq!(socket.ready_state(), ReadyState::Closed);
    assert!(socket.next().await.is_none());
}
