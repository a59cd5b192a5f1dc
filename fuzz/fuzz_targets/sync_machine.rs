//! Feeds the `sync_machine` target from libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spacetime_fuzz::sync_machine(data));
