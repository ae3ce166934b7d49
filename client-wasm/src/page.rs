//! The life of the page or worker that a client runs in.

use js_sys::Function;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};
use web_sys::{Document, Event, PageTransitionEvent};

use crate::runner::PageEvent;
use crate::scope::Scope;

/// Reports the events of the page's life, until it is dropped.
#[derive(Debug)]
pub(crate) struct PageWatch {
    function: Function,
    // Lives as long as the browser may call it.
    _handler: Closure<dyn Fn(Event)>,
}

/// Some events are the window's, some the document's; workers have the first two.
const EVENTS: [&str; 6] = ["online", "offline", "pageshow", "pagehide", "resume", "visibilitychange"];

impl PageWatch {
    pub(crate) fn new(scope: &Scope, on: impl Fn(PageEvent) + 'static) -> Self {
        let handler = Closure::<dyn Fn(Event)>::new(move |event| {
            if let Some(event) = meaning(event) {
                on(event);
            }
        });
        let function = scope.guarded(handler.as_ref());
        for event in EVENTS {
            // In the capture phase the document's events pass the window, whether they bubble or not. This fails only
            // outside a browser, where there are no such events.
            let _ = add_event_listener(event, &function, true);
        }
        Self { function, _handler: handler }
    }
}

impl Drop for PageWatch {
    fn drop(&mut self) {
        for event in EVENTS {
            let _ = remove_event_listener(event, &self.function, true);
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

/// The meaning of an event; `None` if it has none for connections.
fn meaning(event: Event) -> Option<PageEvent> {
    match event.type_().as_str() {
        "online" => Some(PageEvent::Online),
        "offline" => Some(PageEvent::Offline),
        "pagehide" => {
            event.unchecked_into::<PageTransitionEvent>().persisted().then_some(PageEvent::PutAside)
        }
        "visibilitychange" => {
            let document: Document = event.target()?.unchecked_into();
            (!document.hidden()).then_some(PageEvent::Back)
        }
        _ => Some(PageEvent::Back),
    }
}
