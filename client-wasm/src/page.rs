//! The life of the page or worker that a client runs in.

use js_sys::Function;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::{Document, Event, PageTransitionEvent};

use crate::runner::PageEvent;
use crate::scope::{Ear, Handler, Scope, Signal};

/// Reports the events of the page's life, until it is dropped.
#[derive(Debug)]
pub(crate) struct PageWatch {
    handlers: [Handler; 6],
}

/// Some events are the window's, some the document's; workers have the first two.
const EVENTS: [(&str, Signal); 6] = [
    ("online", Signal::Online),
    ("offline", Signal::Offline),
    ("pageshow", Signal::Shown),
    ("resume", Signal::Shown),
    ("pagehide", Signal::Left),
    ("visibilitychange", Signal::Visibility),
];

impl PageWatch {
    pub(crate) fn new(scope: &Scope, ear: &Ear) -> Self {
        let handlers = EVENTS.map(|(event, signal)| {
            let handler = scope.handler(signal, ear);
            // In the capture phase the document's events pass the window, whether they bubble or not. This fails only
            // outside a browser, where there are no such events.
            let _ = add_event_listener(event, &handler.function, true);
            handler
        });
        Self { handlers }
    }
}

impl Drop for PageWatch {
    fn drop(&mut self) {
        for ((event, _), handler) in EVENTS.iter().zip(&self.handlers) {
            let _ = remove_event_listener(event, &handler.function, true);
        }
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = addEventListener, catch)]
    fn add_event_listener(event: &str, handler: &Function, capture: bool) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = removeEventListener, catch)]
    fn remove_event_listener(event: &str, handler: &Function, capture: bool) -> Result<(), JsValue>;
}

impl PageEvent {
    /// The meaning of an event; `None` if it has none for connections.
    pub(crate) fn of(signal: Signal, event: &JsValue) -> Option<Self> {
        match signal {
            Signal::Online => Some(Self::Online),
            Signal::Offline => Some(Self::Offline),
            Signal::Shown => Some(Self::Back),
            Signal::Left => {
                event.unchecked_ref::<PageTransitionEvent>().persisted().then_some(Self::PutAside)
            }
            Signal::Visibility => {
                let document: Document = event.unchecked_ref::<Event>().target()?.unchecked_into();
                (!document.hidden()).then_some(Self::Back)
            }
            _ => None,
        }
    }
}
