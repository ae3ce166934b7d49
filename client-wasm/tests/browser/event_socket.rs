//! [`EventSocket`](wirehub_client_wasm::EventSocket): a function for each event.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen_test::wasm_bindgen_test;
use wirehub_client_wasm::{Handlers, Message, ReadyState, SocketErrorKind};
use wirehub_common::code::CloseCode;
use wirehub_demo_contract::ChatMessage;

use crate::support::{NOBODY, echo, event};

/// The events that the handlers received, in order.
type Heard = Rc<RefCell<Vec<String>>>;

fn handlers(heard: &Heard) -> Handlers<ChatMessage> {
    let note = |what: String| {
        let heard = Rc::clone(heard);
        move |more: String| heard.borrow_mut().push(format!("{what}{more}"))
    };
    let (open, message, error, close) =
        (note("open".into()), note("message ".into()), note("error".into()), note("close ".into()));
    Handlers::new()
        .on_open(move || open(String::new()))
        .on_message(move |said: Result<ChatMessage, _>| {
            message(said.map_or_else(|error| format!("{:?}", error.kind()), |said| said.text));
        })
        .on_error(move || error(String::new()))
        .on_close(move |closed| close(format!("{} {} {}", closed.code, closed.reason, closed.clean)))
}

#[wasm_bindgen_test]
async fn each_event_reaches_its_handler() {
    let heard = Heard::default();
    let socket = handlers(&heard).open(&echo(), &[]).unwrap();
    assert_eq!(socket.ready_state(), ReadyState::Connecting);
    let said = ChatMessage { nick: "ann".into(), text: "hi".into() };
    assert_eq!(socket.send(said.clone()).unwrap_err().kind(), SocketErrorKind::Closed);
    event(socket.as_ref(), "open").await;
    socket.send(said).unwrap();
    event(socket.as_ref(), "message").await;
    socket.close_with(CloseCode::new(4002).unwrap(), "enough").unwrap();
    event(socket.as_ref(), "close").await;
    assert_eq!(socket.ready_state(), ReadyState::Closed);
    assert_eq!(*heard.borrow(), ["open", "message hi", "close 4002 enough true"]);
}

#[wasm_bindgen_test]
async fn a_message_of_another_type_reaches_the_handler_as_an_error() {
    let heard = Heard::default();
    let socket = handlers(&heard).open(&echo(), &[]).unwrap();
    event(socket.as_ref(), "open").await;
    AsRef::<web_sys::WebSocket>::as_ref(&socket).send_with_str("7").unwrap();
    event(socket.as_ref(), "message").await;
    assert_eq!(*heard.borrow(), ["open", "message Payload"]);
}

#[wasm_bindgen_test]
async fn a_refusal_is_an_error_and_a_close() {
    let heard = Heard::default();
    let socket = handlers(&heard).open(NOBODY, &[]).unwrap();
    event(socket.as_ref(), "close").await;
    assert_eq!(*heard.borrow(), ["error", "close 1006  false"]);
}

#[wasm_bindgen_test]
async fn no_handler_runs_after_the_drop() {
    let heard = Heard::default();
    let socket = handlers(&heard).open(&echo(), &[]).unwrap();
    event(socket.as_ref(), "open").await;
    socket.send(ChatMessage { nick: "ann".into(), text: "hi".into() }).unwrap();
    let raw: web_sys::WebSocket = AsRef::<web_sys::WebSocket>::as_ref(&socket).clone();
    drop(socket);
    event(&raw, "close").await;
    assert_eq!(*heard.borrow(), ["open"]);
    // The handlers' captured values are released.
    assert_eq!(Rc::strong_count(&heard), 1);
}

#[wasm_bindgen_test]
async fn a_handler_may_drop_its_own_socket() {
    type Slot = Rc<RefCell<Option<wirehub_client_wasm::EventSocket<Message>>>>;
    let slot = Slot::default();
    let own = Rc::clone(&slot);
    let drop_it = move |message: Result<Message, _>| {
        assert_eq!(message.unwrap(), Message::from("go"));
        drop(own.take());
    };
    let socket = Handlers::new().on_message(drop_it).open(&echo(), &[]).unwrap();
    let raw: web_sys::WebSocket = AsRef::<web_sys::WebSocket>::as_ref(&socket).clone();
    slot.replace(Some(socket));
    event(&raw, "open").await;
    slot.borrow().as_ref().unwrap().send("go".into()).unwrap();
    event(&raw, "close").await;
    assert!(slot.borrow().is_none());
}
