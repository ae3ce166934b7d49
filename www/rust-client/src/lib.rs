//! A chat room in the demo page, whose client is the one in Rust. Its messages are decoded by the types that the server has too.
//!
//! `www/src/rust/` shows it beside a room with the client in TypeScript. [`RustRoom`] is the only name that TypeScript sees.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::StreamExt as _;
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::{Closure, JsCast as _, JsError, JsValue, wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Event, HtmlElement, HtmlFormElement};
use wirehub_client_wasm::common::code::CloseCode;
use wirehub_client_wasm::{Client, Config, Error, SubscribeOptions, Update, client_with_tokens};
use wirehub_demo_contract::{Demo, Frame, Latest, Room, RoomMessage};

mod view;

use self::view::View;

/// How many earlier messages the room begins with.
const HISTORY: u32 = 30;

/// A room in an element of the page, with a client of its own.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RustRoom {
    client: Client,
    form: HtmlFormElement,
    on_submit: Closure<dyn FnMut(Event)>,
}

#[wasm_bindgen]
impl RustRoom {
    /// Shows a room in an element, and connects to the hub at `url`. `token` returns a promise of a token.
    ///
    /// # Errors
    /// The address or the name of the room is not valid, or the element is in no document.
    #[wasm_bindgen(constructor)]
    pub fn new(place: &HtmlElement, url: &str, room: &str, token: Function) -> Result<Self, JsError> {
        let room = Room::new(room)?;
        let config =
            Config::default().client("wirehub-demo-rust", env!("CARGO_PKG_VERSION")).contract::<Demo>();
        let client = client_with_tokens(url, config, move || fetch(token.clone()))?;
        let view = Rc::new(View::new(place).ok_or_else(|| JsError::new("the element is in no document"))?);

        let on_submit = Closure::new({
            let (client, room, view) = (client.clone(), room.clone(), Rc::clone(&view));
            let number = Cell::new(0_u32);
            move |event: Event| {
                event.prevent_default();
                let text = view.take_text();
                if text.trim().is_empty() {
                    return;
                }
                number.set(number.get().wrapping_add(1));
                // A session's id is given once, so this is too.
                let id = format!("{}-{}", client.session(), number.get());
                spawn_local(say(client.clone(), room.clone(), Rc::clone(&view), id, text));
            }
        });
        let form = view.form().clone();
        form.add_event_listener_with_callback("submit", on_submit.as_ref().unchecked_ref())
            .map_err(|_| JsError::new("the form takes no listener"))?;

        spawn_local(follow_state(client.clone(), Rc::clone(&view)));
        spawn_local(follow_room(client.clone(), room, Rc::clone(&view)));
        spawn_local(follow_readings(client.clone(), Rc::clone(&view)));
        spawn_local({
            let client = client.clone();
            async move {
                if let Err(error) = client.connect().await {
                    view.note(&error.to_string());
                }
            }
        });
        Ok(Self { client, form, on_submit })
    }

    /// Leaves the room and closes the client. Every task of the room ends.
    pub fn close(&self) {
        let _ =
            self.form.remove_event_listener_with_callback("submit", self.on_submit.as_ref().unchecked_ref());
        self.client.close(CloseCode::NORMAL, "the panel is closed");
    }
}

/// Asks TypeScript for a token.
async fn fetch(token: Function) -> Result<String, Error> {
    let failed = |error: JsValue| {
        let words = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
        Error::token_unavailable(words.unwrap_or_else(|| "the page has no token".into()))
    };
    let promise = token.call0(&JsValue::NULL).map_err(failed)?;
    let token = JsFuture::from(Promise::resolve(&promise)).await.map_err(failed)?;
    token.as_string().ok_or_else(|| Error::token_unavailable("the page has a token that is no text"))
}

async fn say(client: Client, room: Room, view: Rc<View>, id: String, text: String) {
    // The server puts the true name here.
    let message = RoomMessage::Text { id, name: String::new(), text, reply: None };
    if let Err(error) = client.publish(&room, &message).await {
        view.note(&error.to_string());
    }
}

async fn follow_state(client: Client, view: Rc<View>) {
    let mut changes = client.state_changes();
    // Only a weak interest: the room's other tasks keep the client.
    drop(client);
    while let Some(change) = changes.next().await {
        view.state(change.state.as_str());
    }
}

async fn follow_room(client: Client, room: Room, view: Rc<View>) {
    let subscription = client.subscribe_with(&room, SubscribeOptions::new().history(HISTORY));
    let mut updates = match subscription {
        Ok(updates) => updates,
        Err(error) => return view.note(&error.to_string()),
    };
    let mut received = 0_u32;
    while let Some(update) = updates.next().await {
        match update {
            Ok(Update::Publication(publication)) => {
                received = received.saturating_add(1);
                view.received(received);
                match publication.message {
                    RoomMessage::Text { name, text, .. } => view.line(&name, &text, publication.time),
                    RoomMessage::Image { name, image, .. } => {
                        view.line(&name, &format!("shows {}", image.file), publication.time);
                    }
                    RoomMessage::Reaction { name, emoji, on: true, .. } => {
                        view.line(&name, &format!("reacts: {emoji}"), publication.time);
                    }
                    RoomMessage::Reaction { .. } | RoomMessage::Seen { .. } => {}
                }
            }
            Ok(Update::Gap(gap)) => view.note(&gap.to_string()),
            Ok(_) => {}
            Err(error) => view.note(&error.to_string()),
        }
    }
}

/// Readings of the machine come a few times a second: a frame of columns, decoded in Rust. They also pace the measurement of the
/// round trip.
async fn follow_readings(client: Client, view: Rc<View>) {
    let Ok(channel) = Latest::new("machine") else { return };
    let Ok(subscription) = client.subscribe(&channel) else { return };
    let mut frames = subscription.publications();
    let mut number = 0_u32;
    while let Some(frame) = frames.next().await {
        let Ok(frame) = frame else { continue };
        let cpu = Frame::decode(&frame.message).ok().and_then(|frame| frame.columns.first()?.last().copied());
        if let Some(cpu) = cpu {
            view.cpu(cpu);
        }
        number = number.wrapping_add(1);
        if number % 5 == 1
            && let Ok(time) = client.rtt().await
        {
            view.round_trip(time);
        }
    }
}

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
mod allocator {
    use talc::cell::TalcSyncCell;
    use talc::wasm::{WasmBinning, WasmGrowAndClaim};

    /// A page has one thread, and the standard library's allocator is larger.
    #[global_allocator]
    static ALLOCATOR: TalcSyncCell<WasmGrowAndClaim, WasmBinning> = TalcSyncCell::new_wasm(WasmGrowAndClaim);
}
