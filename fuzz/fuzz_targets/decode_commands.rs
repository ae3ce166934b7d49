//! A server that decodes a client's bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|message: &[u8]| wirehub_fuzz::codec::commands(message));
