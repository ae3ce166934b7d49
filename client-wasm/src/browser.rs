//! The browser's clock and randomness. Pages and workers have both.

use core::time::Duration;

use js_sys::Function;
use wasm_bindgen::prelude::wasm_bindgen;
use wirehub_client_core::Time;

use crate::scope::{Ear, Handler, Scope, Signal};

/// The time since the page or worker began.
pub fn now() -> Time {
    // Whole microseconds, because browsers are not more precise. The cast turns negative numbers and NaN into 0.
    Time::since_origin(Duration::from_micros((performance_now() * 1000.0) as u64))
}

/// A number that no other client has.
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    random_values(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// A timer, which stops if this is dropped.
#[derive(Debug)]
pub struct Timer {
    id: f64,
    // Lives as long as the browser may call it.
    _handler: Handler,
}

impl Timer {
    /// Passes [`Signal::Time`] to `ear` after `delay`. Browsers know no delay over 24 days; a longer one is cut to that.
    pub fn new(scope: &Scope, delay: Duration, ear: &Ear) -> Self {
        let handler = scope.handler(Signal::Time, ear);
        Self { id: set_timeout(&handler.function, milliseconds(delay)), _handler: handler }
    }
}

/// A delay for the browser's timers. Rounded up: a timer that fires just before its time would have to be set again.
pub(crate) fn milliseconds(delay: Duration) -> i32 {
    let below_a_second = u64::from(delay.subsec_micros().div_ceil(1000));
    let milliseconds = delay.as_secs().saturating_mul(1000).saturating_add(below_a_second);
    i32::try_from(milliseconds).unwrap_or(i32::MAX)
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(self.id);
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    // In Node.js the id is an object, which converts to a number.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(handler: &Function, milliseconds: i32) -> f64;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: f64);

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn random_values(bytes: &mut [u8]);
}
