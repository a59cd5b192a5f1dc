//! Feeds the `chain_objects` target from libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spacetime_fuzz::chain_objects(data));
