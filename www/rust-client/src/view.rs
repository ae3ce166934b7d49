//! The room on the page. Text is always inserted as text: nothing here parses HTML.

use std::time::Duration;

use js_sys::Date;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::JsValue;
use web_sys::{Document, Element, HtmlElement, HtmlFormElement, HtmlInputElement};

/// How many messages stay on the page.
const KEPT: u32 = 200;

#[derive(Debug)]
pub(crate) struct View {
    document: Document,
    state: Element,
    note: Element,
    messages: Element,
    form: HtmlFormElement,
    input: HtmlInputElement,
    received: Element,
    round_trip: Element,
    cpu: Element,
}

impl View {
    /// Fills an element; `None` if it is in no document.
    pub(crate) fn new(place: &HtmlElement) -> Option<Self> {
        let document = place.owner_document()?;
        let make = |parent: &Element, tag: &str, class: &str| {
            let element = document.create_element(tag).ok()?;
            element.set_class_name(class);
            parent.append_child(&element).ok()?;
            Some(element)
        };
        place.set_text_content(None);
        let state = make(place, "p", "rust-state hint")?;
        state.set_attribute("role", "status").ok()?;
        let messages = make(place, "ol", "rust-messages")?;
        // So that the keyboard can scroll it.
        messages.set_attribute("tabindex", "0").ok()?;
        messages.set_attribute("aria-label", "Messages, by the client in Rust").ok()?;
        let note = make(place, "p", "rust-note field-error")?;
        let form = make(place, "form", "field-row")?;
        let input = make(&form, "input", "")?;
        for (name, value) in [
            ("aria-label", "Message, by the client in Rust"),
            ("placeholder", "Say something from Rust"),
            ("autocomplete", "off"),
            ("maxlength", "4000"),
        ] {
            input.set_attribute(name, value).ok()?;
        }
        make(&form, "button", "primary")?.set_text_content(Some("Send"));
        let figures = make(place, "dl", "rust-figures numbers")?;
        let figure = |words: &str| {
            let pair = make(&figures, "div", "")?;
            make(&pair, "dt", "")?.set_text_content(Some(words));
            let value = make(&pair, "dd", "")?;
            value.set_text_content(Some("–"));
            Some(value)
        };
        let (received, round_trip, cpu) =
            (figure("Messages received")?, figure("Round trip")?, figure("CPU of the server’s machine")?);
        Some(Self {
            state,
            note,
            messages,
            form: form.dyn_into().ok()?,
            input: input.dyn_into().ok()?,
            received,
            round_trip,
            cpu,
            document: document.clone(),
        })
    }

    pub(crate) fn form(&self) -> &HtmlFormElement {
        &self.form
    }

    /// Takes the text out of the box.
    pub(crate) fn take_text(&self) -> String {
        let text = self.input.value();
        self.input.set_value("");
        text
    }

    pub(crate) fn state(&self, state: &str) {
        self.state.set_text_content(Some(state));
        if state == "connected" {
            self.note("");
        }
    }

    pub(crate) fn note(&self, words: &str) {
        self.note.set_text_content(Some(words));
    }

    pub(crate) fn received(&self, count: u32) {
        self.received.set_text_content(Some(&count.to_string()));
    }

    pub(crate) fn round_trip(&self, time: Duration) {
        let tenths = time.as_micros() / 100;
        self.round_trip.set_text_content(Some(&format!("{}.{} ms", tenths / 10, tenths % 10)));
    }

    pub(crate) fn cpu(&self, percent: f32) {
        self.cpu.set_text_content(Some(&format!("{percent:.0} %")));
    }

    /// Adds a message. The list stays at its end if it was there.
    pub(crate) fn line(&self, name: &str, text: &str, time: Duration) {
        let below = self.messages.scroll_height().saturating_sub(self.messages.scroll_top());
        let is_at_end = below.saturating_sub(self.messages.client_height()) < 40;
        if self.add_line(name, text, time).is_none() {
            self.note("a message can't be shown");
        }
        while self.messages.child_element_count() > KEPT
            && let Some(first) = self.messages.first_element_child()
        {
            first.remove();
        }
        if is_at_end {
            self.messages.set_scroll_top(self.messages.scroll_height());
        }
    }

    fn add_line(&self, name: &str, text: &str, time: Duration) -> Option<()> {
        let make = |tag: &str, text: &str| {
            let element = self.document.create_element(tag).ok()?;
            element.set_text_content(Some(text));
            Some(element)
        };
        let item = make("li", "")?;
        let date = Date::new(&JsValue::from_f64(time.as_secs_f64() * 1000.0));
        let clock = format!("{:02}:{:02}", date.get_hours(), date.get_minutes());
        item.append_child(&*make("b", name)?).ok()?;
        item.append_child(&*make("span", text)?).ok()?;
        item.append_child(&*make("time", &clock)?).ok()?;
        self.messages.append_child(&item).ok()?;
        Some(())
    }
}
