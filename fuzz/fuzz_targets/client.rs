//! A client with any behaviour of the application, the network, the server and the clock.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: wirehub_fuzz::client::Script| wirehub_fuzz::client::play(script));
