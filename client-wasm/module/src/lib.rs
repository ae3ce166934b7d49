//! The WebAssembly module of the npm package `@wirehub/client`: the Rust client for browsers, with an application's half
//! in TypeScript.
//!
//! The driver of `wirehub-client-wasm` has the WebSocket, the timers and the page's life; the rules are those of
//! `wirehub-client-core`. TypeScript has the promises, events and iterators: it makes requests by [`Client::input`] and
//! receives rows by `deliver`. The numbers of both are in `numbers`.
//!
//! Rules that hold throughout:
//! - Nothing is borrowed while JavaScript runs: it may call the client at any time.
//! - Texts that TypeScript can produce are not in the module, because texts add to its size.
//! - An instance of the module belongs to one client, or to the sockets of a page: what fails in one client leaves the
//!   others alone, and its memory goes with it.

#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod client;
mod numbers;
mod output;
mod requests;
mod socket;

pub use self::client::{Client, Host};
pub use self::socket::{Socket, SocketHost};

/// Built without the standard library, whose panics, with messages and source locations, are a sixth of a module.
#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
mod allocator {
    use talc::cell::TalcSyncCell;
    use talc::wasm::{WasmBinning, WasmGrowAndClaim};

    /// A page's module has one thread, and its size matters.
    #[global_allocator]
    static ALLOCATOR: TalcSyncCell<WasmGrowAndClaim, WasmBinning> = TalcSyncCell::new_wasm(WasmGrowAndClaim);
}
