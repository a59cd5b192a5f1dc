//! Feeds the `application_postcard` target from libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spacetime_fuzz::application_postcard(data));
