//! The files as a whole: what is written is read, and what is damaged harms nobody.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use spacetime_core::{Now, PeerId, Rng, Time};
use spacetime_peers::book::{MAX_ENTRIES, Record, Source};
use spacetime_peers::{AddressBook, Ban, BookConfig, BucketKey, Config, Peers, Standing, State, Stored};
use tempfile::TempDir;

use super::state as state_file;
use super::*;

const UNIX_SECONDS: i64 = 1_795_428_000;

/// A folder whose syncs cost nothing, if the system has one: these tests sync a hundred thousand
/// times, and no power goes.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The records of a real book, one of each kind of source among them.
fn records(count: u16) -> Vec<Record> {
    let rng = Rng::from_number(1);
    let mut book = AddressBook::new(BookConfig::default(), BucketKey::from_bytes([7; 32]), &rng);
    let at = |seconds: u64| {
        Now::new(Time::ZERO + std::time::Duration::from_secs(seconds), UNIX_SECONDS - 3600 + seconds as i64)
    };
    for number in 0..count {
        let [high, low] = number.to_be_bytes();
        let address: SocketAddr = if number % 5 == 0 {
            format!("[2a01:{number:x}::7]:8333").parse().unwrap()
        } else {
            SocketAddr::from(([60 + low % 30, low, high, 9], 8333 + number))
        };
        let source = match number % 4 {
            0 => Source::Configured,
            1 => Source::Seed,
            2 => Source::Announced,
            _ => Source::Peer("203.0.113.9:50123".parse().unwrap()),
        };
        book.add(address, source, at(u64::from(number))).unwrap();
        match number % 3 {
            0 => {
                book.record_attempt(address, at(1000));
                book.record_success(address, Some(PeerId([number as u8; 32])), at(1001));
            }
            1 => {
                book.record_attempt(address, at(2000));
                book.record_failure(address, at(2001));
            }
            _ => {}
        }
    }
    book.records().collect()
}

fn state(count: u16) -> State {
    let target = |number: u16| match number % 3 {
        0 => PeerId([number as u8; 32]).to_string().parse().unwrap(),
        1 => format!("198.51.{}.0/24", number % 256).parse().unwrap(),
        _ => format!("127.0.0.1:{number}").parse().unwrap(),
    };
    State {
        bucket_key: BucketKey::from_bytes([9; 32]),
        anchors: vec!["203.0.113.9:8333".parse().unwrap(), "[2a01::7]:8333".parse().unwrap()],
        bans: (0..count)
            .map(|number| Ban {
                target: target(number),
                until: (number % 2 == 0).then_some(UNIX_SECONDS + i64::from(number)),
                reason: "said \"nonsense\"\n".into(),
            })
            .collect(),
        trusted: vec![target(1), target(2)],
        standings: (0..count)
            .map(|number| Standing {
                target: target(number),
                score: i32::from(number) - 9,
                failures_in_a_row: u32::from(number % 5),
                as_of: UNIX_SECONDS,
            })
            .collect(),
    }
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.address);
    records
}

/// Starts a node's peers with what was loaded, as a node does.
fn start(stored: Stored) -> Peers {
    Peers::new(Config::default(), stored, UNIX_SECONDS, &Rng::from_number(2)).unwrap()
}

#[test]
fn what_is_stored_is_loaded() {
    let folder = folder();
    let files = PeersFiles::in_folder(folder.path());
    let (records, state) = (records(200), state(30));
    files.store_book(records.clone()).unwrap();
    files.store_state(&state).unwrap();
    let (stored, warnings) = files.load(UNIX_SECONDS);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!((&stored.records, stored.state.as_ref()), (&records, Some(&state)));
    // The same again, through a node's own memory.
    let peers = start(stored);
    assert_eq!(peers.book().len(), 200);
    assert_eq!(sorted(peers.records()), sorted(records));
    assert_eq!(peers.state().bucket_key, state.bucket_key);
    assert_eq!(peers.bans().count(), state.bans.iter().filter(|ban| ban.until != Some(UNIX_SECONDS)).count());
}

#[test]
fn nothing_stored_is_nothing_to_warn_of() {
    let folder = folder();
    let (stored, warnings) = PeersFiles::in_folder(folder.path()).load(UNIX_SECONDS);
    assert_eq!((stored, warnings.len()), (Stored::default(), 0));
}

#[test]
fn a_file_that_the_reference_wrote_is_loaded() {
    let folder = folder();
    let text = r#"[
  {
    "Address": "203.0.113.1",
    "Port": 8333,
    "FirstSeen": "2026-11-20T08:00:00.1234567Z",
    "LastSeen": "2026-11-23T09:59:59.9999999Z",
    "LastAttempt": "2026-11-23T09:00:00+00:00",
    "SuccessCount": 7,
    "FailureCount": 2,
    "Source": 1
  },
  {
    "Address": "2a01:4f8::1", "Port": 18333, "FirstSeen": "2026-11-23T08:00:00",
    "LastSeen": "2026-11-23T08:00:00", "LastAttempt": null,
    "SuccessCount": 0, "FailureCount": 0, "Source": "PeerExchange"
  },
  {
    "Address": "::ffff:203.0.114.1", "Port": 8333, "FirstSeen": "2026-11-23T10:00:00+02:00",
    "LastSeen": "2026-11-23T10:00:00+02:00", "LastAttempt": "0001-01-01T00:00:00",
    "SuccessCount": 0, "FailureCount": 2, "Source": 0
  },
  {
    "Address": "192.168.1.2", "Port": 8333, "FirstSeen": "2026-11-23T08:00:00Z",
    "LastSeen": "2026-11-23T08:00:00Z", "SuccessCount": 1, "FailureCount": 0, "Source": 3
  }
]"#;
    let with_mark = format!("\u{feff}{text}");
    for text in [text, &with_mark] {
        fs::write(folder.path().join("peers.json"), text).unwrap();
        let (stored, warnings) = PeersFiles::in_folder(folder.path()).load(UNIX_SECONDS);
        assert_eq!((warnings.len(), stored.records.len()), (0, 4));
        let [first, second, third, _] = &stored.records[..] else { unreachable!() };
        assert_eq!((first.last_seen, first.success_count, first.failure_count), (UNIX_SECONDS - 1, 7, 2));
        assert_eq!((first.last_attempt, first.failures_in_a_row), (Some(UNIX_SECONDS - 3600), 0));
        assert_eq!((second.last_attempt, third.last_attempt), (None, None));
        assert_eq!((second.last_seen, third.last_seen), (UNIX_SECONDS - 7200, UNIX_SECONDS - 7200));
        assert_eq!(third.failures_in_a_row, 2);
        // All of it is hearsay: nothing was tried, and the private address is not taken.
        let peers = start(stored);
        assert_eq!((peers.book().len(), peers.book().tried_len()), (3, 0));
        assert!(peers.book().get("203.0.114.1:8333".parse().unwrap()).is_some());
    }
}

#[test]
fn a_full_book_of_the_reference_gets_in() {
    let entry = |number: u32| {
        let ip = std::net::Ipv4Addr::from_bits(0x0100_0001 + number * 0x1234);
        format!(
            r#"{{"Address":"{ip}","Port":8333,"FirstSeen":"2026-11-23T08:00:00","LastSeen":"2026-11-23T08:00:00",
                "LastAttempt":null,"SuccessCount":0,"FailureCount":0,"Source":2}}"#
        )
    };
    let text = format!("[{}]", (0..10_000).map(entry).collect::<Vec<_>>().join(","));
    let stored = Stored::new(book::parse(text.as_bytes()).unwrap().records, None);
    let peers = start(stored);
    // Not all find a slot in the tables; with one source for all it would be less than half.
    assert!(peers.book().len() > 8000, "{}", peers.book().len());
}

#[test]
fn the_reference_finds_all_its_fields_in_ours() {
    let text = book::print(records(20)).unwrap();
    let entries: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(&text).unwrap();
    assert_eq!(entries.len(), 20);
    for entry in entries {
        assert!(entry["Address"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok());
        for number in ["Port", "SuccessCount", "FailureCount", "Source"] {
            assert!(i32::try_from(entry[number].as_i64().unwrap()).is_ok(), "{number}");
        }
        for date in ["FirstSeen", "LastSeen", "LastAttempt"] {
            let text = entry[date].as_str().unwrap();
            assert!(text.len() == 20 && text.ends_with('Z'), "{date}: {text}");
        }
        // It may compare names without case; none of ours is one of its own then.
        let mut names: Vec<_> = entry.keys().map(|name| name.to_lowercase()).collect();
        names.dedup();
        assert_eq!(names.len(), entry.len());
    }
    // One line for each, for people.
    assert_eq!(text.split(|byte| *byte == b'\n').count(), 20 + 3);
}

#[test]
fn the_longest_book_fits_into_a_file() {
    let ip = "2a01:1111:2222:3333:4444:5555:6666:7777";
    let longest = Record {
        address: format!("[{ip}]:65535").parse().unwrap(),
        source: Source::Peer(format!("[{ip}]:65535").parse().unwrap()),
        peer_id: Some(PeerId([0xff; 32])),
        first_seen: i64::MAX,
        last_seen: i64::MAX,
        last_told: i64::MAX,
        last_attempt: Some(i64::MAX),
        last_success: Some(i64::MAX),
        success_count: u32::MAX,
        failure_count: u32::MAX,
        failures_in_a_row: u32::MAX,
        is_tried: false,
    };
    let line_bytes = book::print(vec![longest]).unwrap().len() as u64;
    assert!(line_bytes * MAX_ENTRIES as u64 <= MAX_FILE_BYTES, "{line_bytes} bytes each");
}

#[test]
fn entries_that_make_no_sense_are_left_out_and_counted() {
    let folder = folder();
    let good = r#"{"Address":"203.0.113.1","Port":8333,"LastSeen":"2026-11-23T08:00:00Z"}"#;
    let entries = [
        "3",
        "null",
        "{}",
        r#"{"Address":"203.0.113.1","LastSeen":"2026-11-23T08:00:00Z"}"#,
        r#"{"Address":"203.0.113.1","Port":65536,"LastSeen":"2026-11-23T08:00:00Z"}"#,
        r#"{"Address":"seed.example.org","Port":8333,"LastSeen":"2026-11-23T08:00:00Z"}"#,
        r#"{"Address":"203.0.113.1","Port":8333,"LastSeen":"tomorrow"}"#,
        r#"{"Address":"203.0.113.1","Port":1,"Port":2,"LastSeen":"2026-11-23T08:00:00Z"}"#,
        good,
    ];
    fs::write(folder.path().join("peers.json"), format!("[{}]", entries.join(","))).unwrap();
    let (stored, warnings) = PeersFiles::in_folder(folder.path()).load(UNIX_SECONDS);
    assert_eq!(stored.records.len(), 1);
    assert!(warnings[0].contains("8 of 9 entries"), "{warnings:?}");
}

#[test]
fn what_is_no_book_is_set_aside() {
    let folder = folder();
    let files = PeersFiles::in_folder(folder.path());
    let too_many = format!("[{}0]", "0,".repeat(MAX_ENTRIES));
    for (text, why) in [
        ("", "EOF"),
        ("this is no book", "expected"),
        ("{\"version\": 2}", "expected an array"),
        ("[] and more", "trailing"),
        (&"[".repeat(1_000_000), "EOF"),
        (&too_many, "more than 81920 entries"),
    ] {
        fs::write(folder.path().join("peers.json"), text).unwrap();
        let (stored, warnings) = files.load(UNIX_SECONDS);
        assert_eq!(stored.records.len(), 0);
        assert!(warnings[0].contains(why) && warnings[0].contains("peers.json.corrupt-"), "{warnings:?}");
    }
}

#[test]
fn a_state_of_another_format_or_with_a_wrong_checksum_is_set_aside() {
    let folder = folder();
    let files = PeersFiles::in_folder(folder.path());
    let good = String::from_utf8(state_file::print(&state(5)).unwrap()).unwrap();
    // Laid out anew it is the same.
    let compact = serde_json::from_str::<serde_json::Value>(&good).unwrap().to_string();
    assert_eq!(state_file::parse(compact.as_bytes()), Ok(state(5)));
    for (text, why) in [
        (good.replace("\"version\": 1", "\"version\": 2"), "format is 2"),
        (good.replace("\"score\": -9", "\"score\": 9"), "checksum is wrong"),
        (good.replace("sha256\": \"", "sha256\": \"x"), "no SHA-256"),
        (good.replace("\"sha256\"", "\"sha257\""), "unknown field"),
        ("{}".into(), "version"),
    ] {
        fs::write(folder.path().join("peers-state.json"), text).unwrap();
        let (stored, warnings) = files.load(UNIX_SECONDS);
        assert_eq!(stored.state, None, "{why}");
        assert!(warnings[0].contains(why), "{warnings:?} without {why}");
        assert!(warnings[0].contains("peers-state.json.corrupt-"), "{warnings:?}");
    }
}

/// Files of about 8 KiB each, with a former version of each as its backup.
struct EightKib {
    _folder: TempDir,
    files: PeersFiles,
    /// What there was before, and what there is now.
    versions: [Stored; 2],
    book: Vec<u8>,
    state: Vec<u8>,
}

impl EightKib {
    fn new() -> Self {
        let folder = folder();
        let files = PeersFiles::in_folder(folder.path());
        let versions = [(24, 26), (28, 28)].map(|(addresses, bans)| {
            let (records, state) = (records(addresses), state(bans));
            files.store_book(records.clone()).unwrap();
            files.store_state(&state).unwrap();
            Stored::new(records, Some(state))
        });
        let [book, state] = [&files.book, &files.state].map(|path| fs::read(path).unwrap());
        assert!((8000..10_000).contains(&book.len()), "{}", book.len());
        assert!((8000..10_000).contains(&state.len()), "{}", state.len());
        Self { _folder: folder, files, versions, book, state }
    }

    /// Starts with files of which one is damaged. What is loaded is all there was but for one entry,
    /// or, with a warning, what there was before. Whether there was a warning.
    fn start(&self, path: &Path, damaged: &[u8], what: &str) -> bool {
        fs::write(path, damaged).unwrap();
        let (loaded, warnings) = self.files.load(UNIX_SECONDS);
        let warned = !warnings.is_empty();
        let [before, now] = &self.versions;
        let (records, state) = (&loaded.records, &loaded.state);
        let good_book = differ_in_one_at_most(records, &now.records) || warned && *records == before.records;
        assert!(good_book, "{what}: {} records", records.len());
        assert!(*state == now.state || warned && *state == before.state, "{what}: {state:?}");
        start(loaded);
        warned
    }

    /// The same files again.
    fn repair(&self) {
        fs::write(&self.files.book, &self.book).unwrap();
        fs::write(&self.files.state, &self.state).unwrap();
    }
}

/// Whether at most one record differs.
fn differ_in_one_at_most(a: &[Record], b: &[Record]) -> bool {
    let from_start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let from_end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    from_start + from_end + 1 >= a.len().max(b.len())
}

fn flipped(good: &[u8], bit: usize) -> Vec<u8> {
    let mut damaged = good.to_vec();
    damaged[bit / 8] ^= 1 << (bit % 8);
    damaged
}

#[test]
fn every_truncated_book_is_detected_and_the_former_one_is_loaded() {
    let files = EightKib::new();
    for length in 0..files.book.len() {
        let warned = files.start(&files.files.book, &files.book[..length], &format!("cut to {length}"));
        // All but the last line feed is needed.
        assert!(warned || length + 1 == files.book.len(), "cut to {length}");
    }
}

#[test]
fn every_truncated_state_is_detected_and_the_former_one_is_loaded() {
    let files = EightKib::new();
    for length in 0..files.state.len() {
        let warned = files.start(&files.files.state, &files.state[..length], &format!("cut to {length}"));
        assert!(warned || length + 1 == files.state.len(), "cut to {length}");
    }
}

#[test]
fn every_flipped_bit_of_the_book_is_detected_or_changes_its_own_entry_only() {
    let files = EightKib::new();
    let now = &files.versions[1].records;
    let mut detected = 0;
    for bit in 0..files.book.len() * 8 {
        match book::parse(&flipped(&files.book, bit)) {
            Ok(parsed) => {
                assert!(differ_in_one_at_most(&parsed.records, now), "bit {bit}");
                assert_eq!(parsed.records.len() + parsed.unreadable.len(), now.len(), "bit {bit}");
                if bit % 16 == 0 {
                    start(Stored::new(parsed.records, None));
                }
            }
            Err(_) => detected += 1,
        }
    }
    assert!(detected > files.book.len(), "{detected} of {}", files.book.len() * 8);
}

#[test]
fn every_flipped_bit_of_the_state_is_detected() {
    let files = EightKib::new();
    let now = files.versions[1].state.as_ref();
    let mut undetected = 0;
    for bit in 0..files.state.len() * 8 {
        if let Ok(state) = state_file::parse(&flipped(&files.state, bit)) {
            assert_eq!(Some(&state), now, "bit {bit}");
            undetected += 1;
        }
    }
    // The case of a letter in the checksum says nothing.
    assert!(undetected <= 64, "{undetected}");
}

#[test]
fn a_node_starts_with_flipped_bits_in_either_file() {
    let files = EightKib::new();
    for (path, good) in [(&files.files.book, &files.book), (&files.files.state, &files.state)] {
        for bit in (0..good.len() * 8).step_by(61) {
            files.start(path, &flipped(good, bit), &format!("bit {bit}"));
            files.repair();
        }
    }
}
