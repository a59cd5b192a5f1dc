//! Feeds the `seen_set` target from libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spacetime_fuzz::seen_set(data));
