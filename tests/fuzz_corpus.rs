//! The corpus of the fuzz targets, replayed without a fuzzer: every file of it, and every beginning
//! of the small ones.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use spacetime_fuzz::TARGETS;

/// What is committed of each target's corpus at most, and what of it counts as small.
const MAX_FILES: usize = 60;
const MAX_BYTES: usize = 200 * 1024;
const SMALL_BYTES: usize = 128;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// The files of a target, in the order of their names.
fn files(target: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus().join(target)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &str) {
    let (_, run) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    for file in files(target) {
        let bytes = fs::read(&file).unwrap();
        let shortest = if bytes.len() <= SMALL_BYTES { 0 } else { bytes.len() };
        for len in shortest..=bytes.len() {
            let result = catch_unwind(|| run(&bytes[..len]));
            assert!(result.is_ok(), "the first {len} bytes of {}", file.display());
        }
    }
}

macro_rules! replayed {
    ($($test:ident: $target:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            replay($target);
        })*

        const REPLAYED: &[&str] = &[$($target),*];
    };
}

replayed! {
    the_application_postcard_corpus_holds: "application_postcard",
    the_chain_objects_corpus_holds: "chain_objects",
    the_chain_store_corpus_holds: "chain_store",
    the_frame_reader_corpus_holds: "frame_reader",
    the_handshake_corpus_holds: "handshake",
    the_header_machine_corpus_holds: "header_machine",
    the_message_decoders_corpus_holds: "message_decoders",
    the_relay_machine_corpus_holds: "relay_machine",
    the_seen_set_corpus_holds: "seen_set",
    the_swarm_corpus_holds: "swarm",
    the_sync_machine_corpus_holds: "sync_machine",
    the_token_bucket_corpus_holds: "token_bucket",
}

#[test]
fn every_target_has_a_small_corpus_that_is_replayed() {
    let mut folders: Vec<_> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|(name, _)| name));
    assert_eq!(folders, REPLAYED);
    for (target, _) in TARGETS {
        let files = files(target);
        let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!((1..=MAX_FILES).contains(&files.len()), "{target} has {} files", files.len());
        assert!(bytes <= MAX_BYTES as u64, "{target} has {bytes} bytes");
    }
}
