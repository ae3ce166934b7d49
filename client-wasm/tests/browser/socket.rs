//! [`Socket`] as a stream and a sink.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use wasm_bindgen_test::wasm_bindgen_test;
use wirehub_client_wasm::{Message, ReadyState, Socket, SocketErrorKind};
use wirehub_common::code::CloseCode;
use wirehub_common::contract::Binary;
use wirehub_common::frame::{Command, Presence, Request};
use wirehub_common::{ChannelName, Codec, SUBPROTOCOL_JSON, SUBPROTOCOL_PROTOBUF};
use wirehub_demo_contract::{ChatMessage, EchoRequest};

use crate::support::{NOBODY, echo, event, hub};

#[wasm_bindgen_test]
async fn text_and_bytes_come_back_as_they_went() {
    let mut socket = Socket::connect(&echo(), &[]).await.unwrap();
    assert_eq!(socket.ready_state(), ReadyState::Open);
    assert_eq!(socket.url(), echo());
    assert_eq!(socket.protocol(), "");
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let text = "grüße \u{1f980} ".repeat(16_000);
    assert!(text.len() > 200_000);
    for message in [
        Message::from("hello"),
        Message::from(""),
        Message::Text(text),
        Message::from(Bytes::from_static(b"\0\xff\x80")),
        Message::from(Bytes::new()),
        Message::Binary(bytes.into()),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    assert_eq!(socket.buffered_amount(), 0);
}

#[wasm_bindgen_test]
async fn messages_of_a_contract_go_both_ways() {
    let mut socket = Socket::connect(&echo(), &[]).await.unwrap().typed::<ChatMessage>();
    let said = ChatMessage { nick: "ann".into(), text: "\"hi\" \u{1f980}".into() };
    socket.send(said.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), said);

    let mut socket = Socket::connect(&echo(), &[]).await.unwrap().typed::<Binary>();
    let bytes = Binary(Bytes::from_static(b"\0\x01\xff"));
    socket.send(bytes.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), bytes);
}

#[wasm_bindgen_test]
async fn a_message_of_another_type_is_an_error_and_the_stream_goes_on() {
    let mut socket = Socket::connect(&echo(), &[]).await.unwrap().typed::<EchoRequest>();
    socket.send(EchoRequest { text: "one".into() }).await.unwrap();
    assert!(socket.next().await.unwrap().is_ok());
    // The same connection with another message type.
    let mut socket = socket.typed::<ChatMessage>();
    socket.send(ChatMessage { nick: "ann".into(), text: "two".into() }).await.unwrap();
    let mut socket = socket.typed::<Message>();
    socket.send(Message::from("{\"text\":7}")).await.unwrap();
    let mut socket = socket.typed::<ChatMessage>();
    assert_eq!(socket.next().await.unwrap().unwrap().text, "two");
    assert_eq!(socket.next().await.unwrap().unwrap_err().kind(), SocketErrorKind::Payload);
    socket.send(ChatMessage { nick: "ann".into(), text: "three".into() }).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().text, "three");
}

#[wasm_bindgen_test]
async fn the_code_and_reason_of_a_close_come_back() {
    let mut socket = Socket::connect(&echo(), &[]).await.unwrap();
    assert_eq!(socket.closed(), None);
    let code = CloseCode::new(4001).unwrap();
    socket.close_with(code, "bye").unwrap();
    assert_eq!(socket.ready_state(), ReadyState::Closing);
    assert!(socket.next().await.is_none());
    let closed = socket.closed().unwrap();
    assert_eq!((closed.code, closed.reason.as_str(), closed.clean), (code, "bye", true));
    assert_eq!(socket.ready_state(), ReadyState::Closed);
    let error = socket.send(Message::from("too late")).await.unwrap_err();
    assert_eq!(error.kind(), SocketErrorKind::Closed);
    assert_eq!(error.close().unwrap().code, code);
}

#[wasm_bindgen_test]
async fn closing_the_sink_waits_for_the_other_end() {
    let mut socket = Socket::connect(&echo(), &[]).await.unwrap();
    socket.close().await.unwrap();
    assert_eq!(socket.closed().unwrap().code, CloseCode::NORMAL);
    assert!(socket.next().await.is_none());
}

#[wasm_bindgen_test]
async fn a_close_that_a_page_may_not_send_is_refused() {
    let socket = Socket::connect(&echo(), &[]).await.unwrap();
    let long = "x".repeat(124);
    for (code, reason) in
        [(CloseCode::GOING_AWAY, ""), (CloseCode::NO_STATUS, ""), (CloseCode::NORMAL, &long)]
    {
        assert_eq!(socket.close_with(code, reason).unwrap_err().kind(), SocketErrorKind::CloseCode);
    }
    assert_eq!(socket.ready_state(), ReadyState::Open);
}

#[wasm_bindgen_test]
async fn the_server_sends_the_reason_of_a_close() {
    let channel = ChannelName::new("chat:x").unwrap();
    let presence = Request::Presence(Presence { channel, counts_only: false, after: String::new() });
    let not_connect = Codec::Protobuf.encode_command(&Command { id: 1, request: presence });
    for (message, code) in [
        (Message::from(Bytes::from_static(b"\xff\xff\xff garbage")), CloseCode::BAD_FRAME),
        (Message::from(not_connect), CloseCode::CONNECT_EXPECTED),
        (Message::from("text"), CloseCode::WRONG_MESSAGE_TYPE),
    ] {
        let mut socket = Socket::connect(&hub(), &[SUBPROTOCOL_PROTOBUF]).await.unwrap();
        assert_eq!(socket.protocol(), SUBPROTOCOL_PROTOBUF);
        socket.send(message).await.unwrap();
        assert!(socket.next().await.is_none(), "closed in order");
        let closed = socket.closed().unwrap();
        assert_eq!(closed.code, code);
        assert!(closed.clean && !closed.reason.is_empty(), "{closed:?}");
    }
}

#[wasm_bindgen_test]
async fn the_server_chooses_the_first_subprotocol_that_it_knows() {
    let socket = Socket::connect(&hub(), &["soap", SUBPROTOCOL_JSON, SUBPROTOCOL_PROTOBUF]).await.unwrap();
    assert_eq!(socket.protocol(), SUBPROTOCOL_JSON);
}

#[wasm_bindgen_test]
async fn a_failed_open_is_an_error_with_the_code() {
    let elsewhere = hub().replace("/ws", "/nowhere");
    for (url, protocols) in [(NOBODY, &[][..]), (&hub(), &["soap"]), (&elsewhere, &[])] {
        let error = Socket::connect(url, protocols).await.unwrap_err();
        assert_eq!(error.kind(), SocketErrorKind::Refused, "{url}");
        assert_eq!(error.close().unwrap().code, CloseCode::ABNORMAL, "{url}");
        assert!(error.to_string().contains("check the address"), "{error}");
    }
}

#[wasm_bindgen_test]
async fn a_wrong_address_is_an_error_at_once() {
    let echo = echo();
    let http = echo.replace("ws:", "http:");
    for (url, protocols) in [
        (&*http, &[][..]),
        ("", &[]),
        ("ws://", &[]),
        ("ws://[", &[]),
        ("/echo", &[]),
        (&echo, &["white space"]),
        (&echo, &["twice", "twice"]),
    ] {
        let error = Socket::connect(url, protocols).await.unwrap_err();
        assert_eq!(error.kind(), SocketErrorKind::Address, "{url} {protocols:?}");
    }
}

#[wasm_bindgen_test]
async fn a_dropped_socket_closes_and_its_handlers_are_gone() {
    let mut socket = Socket::connect(&echo(), &[]).await.unwrap();
    socket.send(Message::from("nobody will hear the answer")).await.unwrap();
    let raw: web_sys::WebSocket = AsRef::<web_sys::WebSocket>::as_ref(&socket).clone();
    assert!(raw.onmessage().is_some() && raw.onclose().is_some());
    drop(socket);
    assert!([raw.onopen(), raw.onmessage(), raw.onerror(), raw.onclose()].iter().all(Option::is_none));
    assert_eq!(raw.ready_state(), web_sys::WebSocket::CLOSING);
    event(&raw, "close").await;
}

#[wasm_bindgen_test]
async fn the_queue_of_unread_messages_is_bounded() {
    let mut socket = Socket::connect(&echo(), &[]).await.unwrap();
    let megabyte = Bytes::from(vec![7; 1_000_000]);
    let fits = Socket::RECEIVE_QUEUE / megabyte.len();
    let error = loop {
        if let Err(error) = socket.send(Message::Binary(megabyte.clone())).await {
            break error;
        }
    };
    assert_eq!(error.kind(), SocketErrorKind::Closed);
    for _ in 0..fits {
        assert_eq!(socket.next().await.unwrap().unwrap().len(), megabyte.len());
    }
    assert_eq!(socket.next().await.unwrap().unwrap_err().kind(), SocketErrorKind::Overflow);
    assert!(socket.next().await.is_none());
    assert_eq!(socket.closed().unwrap().code, CloseCode::SLOW_CONSUMER);
}

#[wasm_bindgen_test]
async fn sending_waits_for_the_browser() {
    let (mut sink, mut stream) = Socket::connect(&echo(), &[]).await.unwrap().split();
    let chunk = Bytes::from(vec![1; 300_000]);
    let sending = async {
        for number in 0..40_u8 {
            sink.feed(Message::Binary(chunk.clone())).await.unwrap();
            sink.feed(Message::Binary(vec![number].into())).await.unwrap();
        }
        // One half of a split sink holds one message back.
        sink.flush().await.unwrap();
        sink
    };
    let receiving = async {
        let mut order = Vec::new();
        while order.len() < 40 {
            if let Message::Binary(bytes) = stream.next().await.unwrap().unwrap()
                && let [number] = *bytes
            {
                order.push(number);
            }
        }
        (order, stream)
    };
    let (sink, (order, stream)) = futures_util::join!(sending, receiving);
    assert!(order.into_iter().eq(0..40));
    let socket = sink.reunite(stream).unwrap();
    assert_eq!(socket.ready_state(), ReadyState::Open);
}
