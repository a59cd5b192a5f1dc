//! Feeds the `token_bucket` target from libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spacetime_fuzz::token_bucket(data));
