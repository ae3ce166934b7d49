//! The Wirehub client for browsers.

mod browser;
#[cfg(feature = "js")]
mod js;
mod runner;
mod wire;
