//! A client that decodes a server's bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|message: &[u8]| wirehub_fuzz::codec::frames(message));
