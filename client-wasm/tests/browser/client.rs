//! [`Client`](wirehub_client_wasm::Client): sessions, channels and calls through the hub.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::{FutureExt as _, StreamExt as _};
use wasm_bindgen::JsCast as _;
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{Event, EventTarget, PageTransitionEvent, PageTransitionEventInit};
use wirehub_client_wasm::{ClientState, Config, Error, SocketErrorKind};
use wirehub_common::Payload;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::Position;
use wirehub_demo_contract::{ChatMessage, Echo, EchoRequest, Rooms, RoomsRequest};

use crate::support::{NOBODY, hub, new_client, room};

fn say(text: &str) -> ChatMessage {
    ChatMessage { nick: "ann".into(), text: text.into() }
}

#[wasm_bindgen_test]
async fn one_client_sees_what_another_one_publishes() {
    let room = room("two");
    let (ann, ben) = (new_client(), new_client());
    let mut heard = ben.subscribe(&room).unwrap();
    ben.connect().await.unwrap();
    heard.ready().await.unwrap();
    // Queued: this client connects after it has published.
    let said = say("hi");
    let publish = ann.publish(&room, &said);
    let (connected, published) = futures_util::join!(ann.connect(), publish);
    connected.unwrap();
    published.unwrap();
    let publication = heard.next().await.unwrap().unwrap().publication().unwrap();
    assert_eq!(publication.message, said);
    assert_eq!(&publication.channel, room.name());
    assert_eq!(publication.publisher.unwrap().session, ann.session());
    assert_ne!(ann.session(), ben.session());
    let clock = js_sys::Date::now() / 1000.0;
    assert!((publication.time.as_secs_f64() - clock).abs() < 60.0, "{:?}", publication.time);
}

#[wasm_bindgen_test]
async fn many_messages_arrive_once_and_in_order() {
    let room = room("many");
    let (ann, ben) = (new_client(), new_client());
    let heard = ben.subscribe(&room).unwrap();
    futures_util::try_join!(ann.connect(), ben.connect()).unwrap();
    let mut heard = heard;
    heard.ready().await.unwrap();
    let texts: Vec<String> = (0..1000).map(|number| format!("message {number}")).collect();
    let messages: Vec<ChatMessage> = texts.iter().map(|text| say(text)).collect();
    let publishing =
        futures_util::future::join_all(messages.iter().map(|message| ann.publish(&room, message)));
    let receiving = heard
        .publications()
        .take(texts.len())
        .map(|publication| publication.unwrap().message.text)
        .collect::<Vec<_>>();
    let (published, received) = futures_util::join!(publishing, receiving);
    assert!(published.iter().all(Result::is_ok));
    assert_eq!(received, texts);
}

#[wasm_bindgen_test]
async fn a_call_is_answered() {
    let client = new_client();
    client.connect().await.unwrap();
    for text in ["", "grüße \u{1f980}", &"long ".repeat(20_000)] {
        let response = client.call::<Echo>(&EchoRequest { text: text.into() }).await.unwrap();
        assert_eq!(response.text, text);
    }
    let room = room("listed");
    let mut membership = client.subscribe(&room).unwrap();
    membership.ready().await.unwrap();
    let rooms = client.call::<Rooms>(&RoomsRequest {}).await.unwrap().rooms;
    let listed = rooms.iter().find(|info| info.name == room.room()).unwrap();
    assert_eq!(listed.people, 1);
}

#[wasm_bindgen_test]
async fn messages_outside_the_contract_are_refused() {
    let client = new_client();
    client.connect().await.unwrap();
    let misfit = Payload::json("{\"nick\":7}");
    let error = client.publish_raw(room("misfit").name().clone(), misfit.clone()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PAYLOAD_MISMATCH);
    let error = client.call_raw("demo.echo", misfit).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PAYLOAD_MISMATCH);
    let error = client.call_raw("demo.nothing", Payload::json("{}")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNKNOWN_CALL);
}

#[wasm_bindgen_test]
async fn nothing_comes_after_unsubscribing() {
    let (left, open) = (room("left"), room("open"));
    let client = new_client();
    client.connect().await.unwrap();
    let (mut leaving, mut staying) = (client.subscribe(&left).unwrap(), client.subscribe(&open).unwrap());
    futures_util::try_join!(leaving.ready(), staying.ready()).unwrap();
    client.publish(&left, &say("before")).await.unwrap();
    assert_eq!(leaving.next().await.unwrap().unwrap().publication().unwrap().message, say("before"));
    leaving.unsubscribe();
    client.publish(&left, &say("after")).await.unwrap();
    // One connection keeps the order: an earlier message would have arrived before this one.
    client.publish(&open, &say("last")).await.unwrap();
    assert_eq!(staying.next().await.unwrap().unwrap().publication().unwrap().message, say("last"));
    assert!(leaving.next().now_or_never().unwrap().is_none(), "the stream has ended");
}

#[wasm_bindgen_test]
async fn a_closed_client_reports_it_and_does_nothing_more() {
    let client = new_client();
    let mut changes = client.state_changes();
    let mut heard = client.subscribe(&room("closed")).unwrap();
    client.connect().await.unwrap();
    heard.ready().await.unwrap();
    client.close(CloseCode::NORMAL, "enough");
    assert_eq!(client.state(), ClientState::Closed);
    let mut states = Vec::new();
    while let Some(change) = changes.next().await {
        states.push((change.state, change.code, change.reason));
    }
    assert_eq!(states.pop().unwrap(), (ClientState::Closed, Some(CloseCode::NORMAL), "enough".into()));
    assert_eq!(client.connect().await.unwrap_err().code(), ErrorCode::CLOSED);
    assert!(heard.next().await.is_none(), "the application closed it: that is no error");
    let error = client.publish(&room("closed"), &say("too late")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CLOSED);
}

#[wasm_bindgen_test]
async fn a_token_provider_is_asked_before_connecting_and_may_end_the_client() {
    let asked = Rc::new(Cell::new(0));
    let counting = Rc::clone(&asked);
    let client = wirehub_client_wasm::client_with_tokens(&hub(), Config::default(), move || {
        counting.set(counting.get() + 1);
        async { Err(Error::signed_out()) }
    })
    .unwrap();
    assert_eq!(asked.get(), 0);
    assert_eq!(client.connect().await.unwrap_err().code(), ErrorCode::UNAUTHORIZED);
    assert_eq!(client.state(), ClientState::Closed);
    assert_eq!(asked.get(), 1);
}

#[wasm_bindgen_test]
async fn a_wrong_address_is_an_error_at_once() {
    for url in ["http://127.0.0.1/ws", "127.0.0.1", ""] {
        let error = wirehub_client_wasm::client(url, Config::default()).unwrap_err();
        assert_eq!(error.kind(), SocketErrorKind::Address, "{url}");
    }
    // Only the browser refuses this address: trying again would not help.
    let client = wirehub_client_wasm::client("ws://[", Config::default()).unwrap();
    client.connect().await.unwrap_err();
    assert_eq!(client.state(), ClientState::Closed);
}

#[wasm_bindgen_test]
async fn the_next_attempt_is_made_at_once_when_the_network_is_back() {
    let client = wirehub_client_wasm::client(NOBODY, Config::default()).unwrap();
    let mut changes = client.state_changes();
    let _ = client.connect().now_or_never();
    let mut failures = async || loop {
        if let Some(delay) = changes.next().await.unwrap().retry_in {
            break delay.as_secs_f64() * 1000.0;
        }
    };
    // Delays are random and grow. The loop ends when one is longer than an attempt takes.
    let planned = loop {
        let delay = failures().await;
        if delay >= 5000.0 {
            break delay;
        }
        happen(&Event::new("online").unwrap());
    };
    let before = js_sys::Date::now();
    happen(&Event::new("online").unwrap());
    failures().await;
    assert!(js_sys::Date::now() - before < planned);
    client.close(CloseCode::NORMAL, "");
}

/// The window, which receives the events of the page's life.
fn scope() -> EventTarget {
    js_sys::global().unchecked_into()
}

fn happen(event: &Event) {
    scope().dispatch_event(event).unwrap();
}

fn page_event(name: &str, persisted: bool) -> Event {
    let init = PageTransitionEventInit::new();
    init.set_persisted(persisted);
    PageTransitionEvent::new_with_event_init_dict(name, &init).unwrap().into()
}

#[wasm_bindgen_test]
async fn a_page_that_is_put_aside_has_no_connection_and_misses_nothing() {
    let (client, other) = (new_client(), new_client());
    let room = room("aside");
    let mut heard = client.subscribe(&room).unwrap();
    client.connect().await.unwrap();
    heard.ready().await.unwrap();
    let first = client.session();
    let mut changes = client.state_changes();
    happen(&page_event("pagehide", false));
    assert_eq!(client.state(), ClientState::Connected, "this page is not to come back");
    happen(&page_event("pagehide", true));
    let change = changes.next().await.unwrap();
    assert_eq!((change.state, change.code), (ClientState::Reconnecting, Some(CloseCode::GOING_AWAY)));
    // The other client is in this page too, but had not connected yet.
    other.connect().await.unwrap();
    other.publish(&room, &say("meanwhile")).await.unwrap();
    happen(&page_event("pageshow", true));
    assert_eq!(changes.next().await.unwrap().state, ClientState::Connected);
    assert_ne!(client.session(), first);
    assert_eq!(heard.next().await.unwrap().unwrap().publication().unwrap().message, say("meanwhile"));
}

#[wasm_bindgen_test]
async fn a_history_can_be_read() {
    let client = new_client();
    client.connect().await.unwrap();
    let room = room("history");
    for text in ["one", "two", "three"] {
        client.publish(&room, &say(text)).await.unwrap();
    }
    let start = client.history(&room, None, 1).await.unwrap();
    assert_eq!((start.position.offset, &start.publications[0].message), (3, &say("one")));
    let since = Position { offset: 1, ..start.position };
    let rest = client.history(&room, Some(since), 10).await.unwrap().publications;
    let rest: Vec<_> =
        rest.into_iter().map(|publication| (publication.offset, publication.message)).collect();
    assert_eq!(rest, [(Some(2), say("two")), (Some(3), say("three"))]);
}

#[wasm_bindgen_test]
async fn a_working_connection_survives_any_report_of_the_browser_about_the_network() {
    let client = new_client();
    client.connect().await.unwrap();
    let session = client.session();
    let mut changes = client.state_changes();
    for name in ["offline", "online", "pageshow", "resume"] {
        happen(&Event::new(name).unwrap());
        let response = client.call::<Echo>(&EchoRequest { text: name.into() }).await.unwrap();
        assert_eq!(response.text, name);
    }
    assert_eq!(client.session(), session);
    assert!(changes.next().now_or_never().is_none(), "nothing changed");
}
