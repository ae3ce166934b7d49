//! The life of the page or worker that a client runs in.

use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::Closure;
use web_sys::{AddEventListenerOptions, Document, Event, EventTarget, PageTransitionEvent};

use crate::runner::PageEvent;

/// Reports the events of the page's life, until it is dropped.
pub(crate) struct PageWatch {
    scope: EventTarget,
    handler: Closure<dyn Fn(Event)>,
}

/// Some events are the window's, some the document's; workers have the first two.
const EVENTS: [&str; 6] = ["online", "offline", "pageshow", "pagehide", "resume", "visibilitychange"];

impl PageWatch {
    pub(crate) fn new(tell: impl Fn(PageEvent) + 'static) -> Self {
        let scope: EventTarget = js_sys::global().unchecked_into();
        let handler = Closure::<dyn Fn(Event)>::new(move |event| {
            if let Some(event) = meaning(event) {
                tell(event);
            }
        });
        // In the capture phase the document's events pass the window, whether they bubble or not.
        let options = AddEventListenerOptions::new();
        options.set_capture(true);
        let function = handler.as_ref().unchecked_ref();
        for event in EVENTS {
            // This fails only outside a browser, where there are no such events.
            let _ = scope
                .add_event_listener_with_callback_and_add_event_listener_options(event, function, &options);
        }
        Self { scope, handler }
    }
}

impl Drop for PageWatch {
    fn drop(&mut self) {
        let function = self.handler.as_ref().unchecked_ref();
        for event in EVENTS {
            let _ = self.scope.remove_event_listener_with_callback_and_bool(event, function, true);
        }
    }
}

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
