//! What a client does, whatever the application, the network, the server and the clock do.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: wirehub_fuzz::client::Script| wirehub_fuzz::client::play(script));
