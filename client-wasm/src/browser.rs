//! What a browser has besides WebSockets: its clock and its randomness. Pages and workers have both alike.

use std::time::Duration;

use wasm_bindgen::prelude::wasm_bindgen;
use wirehub_client_core::Time;

/// The time since the page or worker began.
pub(crate) fn now() -> Time {
    // Whole microseconds: browsers give no more. The cast takes what is negative or no number as 0.
    Time::since_origin(Duration::from_micros((performance_now() * 1000.0) as u64))
}

/// A number that no other client has.
pub(crate) fn seed() -> u64 {
    let mut bytes = [0; 8];
    random_values(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn random_values(bytes: &mut [u8]);
}
