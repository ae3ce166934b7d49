//! The exports under the npm package. Its TypeScript, in `npm/`, is their only user: nothing here is for others.
//!
//! Rules that hold throughout:
//! - JavaScript is never called while something is borrowed, because it calls back.
//! - Payloads pass as bytes and as text; it is JavaScript that knows JSON.
//! - Nothing here says anything in words that TypeScript could say: words weigh.

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
mod allocator {
    use talc::cell::TalcSyncCell;
    use talc::wasm::{WasmBinning, WasmGrowAndClaim};

    /// A page's module has one thread, and its size counts.
    #[global_allocator]
    static ALLOCATOR: TalcSyncCell<WasmGrowAndClaim, WasmBinning> = TalcSyncCell::new_wasm(WasmGrowAndClaim);
}
mod batch;
mod client;
mod host;
mod socket;
