//! The server's address, and waiting for browser events.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use js_sys::Function;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::Closure;
use web_sys::EventTarget;
use wirehub_client_wasm::{Client, Config};
use wirehub_demo_contract::ChatRoom;

/// The demo server, as `host:port`.
const SERVER: &str = env!("WIREHUB_TEST_SERVER", "run these tests by `cargo xtask test chromium`");

/// The stage of the scenarios, as `host:port`.
const STAGE: &str = env!("WIREHUB_SCENARIOS", "run these tests by `cargo xtask test chromium`");

/// A port without a server.
pub(crate) const NOBODY: &str = "ws://127.0.0.1:47809/ws";

pub(crate) fn hub() -> String {
    format!("ws://{SERVER}/ws")
}

pub(crate) fn echo() -> String {
    format!("ws://{SERVER}/echo")
}

pub(crate) fn stage(scenario: &str) -> String {
    format!("ws://{STAGE}/{scenario}")
}

pub(crate) fn new_client() -> Client {
    wirehub_client_wasm::client(&hub(), Config::default()).unwrap()
}

/// A room that only the calling test uses.
pub(crate) fn room(of: &str) -> ChatRoom {
    ChatRoom::new(format!("test-{of}-{}", js_sys::Date::now())).unwrap()
}

/// Resolves at the next event with this name.
pub(crate) async fn event(target: &EventTarget, name: &str) {
    let happened = Rc::new(Cell::new(false));
    let waker: Rc<Cell<Option<Waker>>> = Rc::default();
    let handler = {
        let (happened, waker) = (Rc::clone(&happened), Rc::clone(&waker));
        Closure::<dyn Fn()>::new(move || {
            happened.set(true);
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        })
    };
    let function: &Function = handler.as_ref().unchecked_ref();
    target.add_event_listener_with_callback(name, function).unwrap();
    poll_fn(|context| {
        waker.set(Some(context.waker().clone()));
        if happened.get() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    target.remove_event_listener_with_callback(name, function).unwrap();
}
