//! The four send queues of a connection, against a naive model.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Buf as _;
use proptest::prelude::*;

use super::messages::{GOSSIP, NEWS, NOTE, URGENT, numbered, sent_frames, sent_numbers};
use super::tree::BY_PRIORITY;
use crate::swarm::queues::{Full, Outgoing, QueuePool, SendQueues};
use crate::swarm::transmit::Transmit;
use crate::wire::{
    FrameReader, FrameRules, MAX_CHUNK_BYTES, MAX_PAYLOAD, MessageType, Priority, ReadStep, TypeRule,
};
use crate::{Limits, QueueLimit};

/// After so many bytes of more urgent frames one that waits goes out.
const MAX_PASSED_OVER: usize = 256 * 1024;

/// Memory beside the frames: a mark of four bytes for each that is shared, the queues themselves, and
/// what an empty ring keeps.
const BOOKKEEPING: usize = 4 * 4 * 1000 + 4 * (4096 + 128);

/// The same limit for each level.
fn pool(max_frames: usize, max_bytes: usize) -> QueuePool {
    QueuePool::new(&Priority::ALL.into_iter().fold(Limits::default(), |limits, priority| {
        limits.with_queue(priority, QueueLimit { max_frames, max_bytes })
    }))
}

fn default_pool() -> QueuePool {
    QueuePool::new(&Limits::default())
}

fn byte_of(priority: Priority) -> u8 {
    match priority {
        Priority::Critical => URGENT,
        Priority::High => NEWS,
        Priority::Normal => NOTE,
        Priority::Low => GOSSIP,
    }
}

fn take(queues: &mut SendQueues, max_bytes: usize, pool: &mut QueuePool) -> Vec<u8> {
    let mut out = Transmit::new();
    queues.transmit(max_bytes, pool, &mut out);
    let mut bytes = alloc::vec![0; out.len()];
    out.copy_to_slice(&mut bytes);
    bytes
}

fn send(
    queues: &mut SendQueues,
    priority: Priority,
    number: u32,
    bytes: usize,
    pool: &mut QueuePool,
) -> bool {
    let frame = numbered(byte_of(priority), 0, number, &alloc::vec![0; bytes]);
    queues.send(Outgoing::Shared(&frame), priority, pool).is_ok()
}

fn writable(queues: &mut SendQueues, pool: &QueuePool) -> Vec<Priority> {
    core::iter::from_fn(|| queues.take_writable(pool)).collect()
}

/// One level, as the rules of [`SendQueues`] describe it.
#[derive(Default)]
struct Level {
    /// Number and length of each frame.
    frames: VecDeque<(u32, usize)>,
    /// The number of the last one that was sent to this peer alone.
    kept: Option<u32>,
    passed_over: usize,
    is_refused: bool,
}

impl Level {
    fn bytes(&self) -> usize {
        self.frames.iter().map(|(_, len)| len).sum()
    }
}

struct Model {
    limit: QueueLimit,
    /// The most urgent first.
    levels: [Level; 4],
}

impl Model {
    fn larger_frames(&self) -> usize {
        let all = self.levels.iter().flat_map(|level| &level.frames);
        all.filter(|(_, len)| *len > self.limit.max_bytes).count()
    }

    fn has_room(&self, level: usize, len: usize) -> bool {
        let it = &self.levels[level];
        let fits = it.frames.len() < self.limit.max_frames && it.bytes() + len <= self.limit.max_bytes;
        fits || (it.frames.is_empty() && self.larger_frames() == 0)
    }

    fn send(&mut self, level: usize, number: u32, len: usize) -> bool {
        let has_room = self.has_room(level, len);
        if has_room {
            self.levels[level].frames.push_back((number, len));
            self.levels[level].kept = Some(number);
        } else {
            self.levels[level].is_refused = true;
        }
        has_room
    }

    /// How many were dropped, or that there is no room and nothing changed.
    fn send_or_drop(&mut self, level: usize, number: u32, len: usize) -> Option<usize> {
        let others_hold_larger = (0..4).filter(|it| *it != level).any(|it| {
            let mut frames = self.levels[it].frames.iter();
            frames.any(|(_, len)| *len > self.limit.max_bytes)
        });
        if len > self.limit.max_bytes && others_hold_larger {
            return None;
        }
        let kept = self.levels[level].kept;
        let is_kept = self.levels[level].frames.iter().any(|(number, _)| Some(*number) == kept);
        if is_kept && !self.has_room(level, len) {
            return None;
        }
        let mut dropped = 0;
        while !self.has_room(level, len) {
            self.levels[level].frames.pop_front();
            dropped += 1;
        }
        self.levels[level].frames.push_back((number, len));
        Some(dropped)
    }

    fn transmit(&mut self, max_bytes: usize) -> Vec<u32> {
        let mut sent = Vec::new();
        let mut bytes = 0;
        while bytes < max_bytes {
            let waits = |it: &usize| !self.levels[*it].frames.is_empty();
            let starved = |it: &usize| waits(it) && self.levels[*it].passed_over >= MAX_PASSED_OVER;
            let Some(level) = (0..4).rev().find(starved).or_else(|| (0..4).find(waits)) else {
                break;
            };
            let (number, len) = self.levels[level].frames.pop_front().unwrap();
            self.levels[level].passed_over = 0;
            for below in &mut self.levels[level + 1..] {
                if !below.frames.is_empty() {
                    below.passed_over += len;
                }
            }
            sent.push(number);
            bytes += len;
        }
        sent
    }

    fn writable(&mut self) -> Vec<Priority> {
        let mut writable = Vec::new();
        for (level, priority) in self.levels.iter_mut().zip(Priority::ALL) {
            let half_free =
                level.bytes() <= self.limit.max_bytes / 2 && level.frames.len() <= self.limit.max_frames / 2;
            if half_free && core::mem::take(&mut level.is_refused) {
                writable.push(priority);
            }
        }
        writable
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Send { level: usize, bytes: usize },
    SendOrDrop { level: usize, bytes: usize },
    Take(usize),
}

fn any_operation(largest: usize) -> impl Strategy<Value = Operation> {
    let bytes = prop_oneof![
        6 => 0..200_usize,
        4 => 0..5000_usize,
        2 => 0..largest,
    ]
    .boxed();
    prop_oneof![
        5 => (0..4_usize, bytes.clone()).prop_map(|(level, bytes)| Operation::Send { level, bytes }),
        5 => (0..4_usize, bytes).prop_map(|(level, bytes)| Operation::SendOrDrop { level, bytes }),
        3 => (0..largest * 2).prop_map(Operation::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn queues_hand_out_what_a_naive_model_does(
        operations in prop::collection::vec(any_operation(20_000), 1..150),
        max_frames in 1..20_usize,
        max_bytes in 1024..15_000_usize,
    ) {
        let mut pool = pool(max_frames, max_bytes);
        let mut queues = SendQueues::default();
        let mut model = Model { limit: QueueLimit { max_frames, max_bytes }, levels: Default::default() };
        for (number, operation) in (0..).zip(operations) {
            match operation {
                Operation::Send { level, bytes } => {
                    let priority = Priority::ALL[level];
                    let frame = numbered(byte_of(priority), 0, number, &alloc::vec![0; bytes]);
                    let sent = queues.send(Outgoing::Copied(frame.bytes()), priority, &mut pool).is_ok();
                    prop_assert_eq!(sent, model.send(level, number, frame.len()));
                }
                Operation::SendOrDrop { level, bytes } => {
                    let priority = Priority::ALL[level];
                    let frame = numbered(byte_of(priority), 0, number, &alloc::vec![0; bytes]);
                    let dropped = queues.send_or_drop_oldest(Outgoing::Shared(&frame), priority, &mut pool);
                    prop_assert_eq!(dropped.ok(), model.send_or_drop(level, number, frame.len()));
                }
                Operation::Take(max_bytes) => {
                    let sent = take(&mut queues, max_bytes, &mut pool);
                    prop_assert_eq!(sent_numbers(&sent), model.transmit(max_bytes));
                    prop_assert_eq!(writable(&mut queues, &pool), model.writable());
                }
            }
            for (level, priority) in model.levels.iter().zip(Priority::ALL) {
                prop_assert_eq!(queues.queued_bytes(priority), level.bytes());
                prop_assert_eq!(queues.queued_frames(priority), level.frames.len());
            }
            prop_assert!(model.larger_frames() <= 1, "one larger frame at a time");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_peer_that_reads_little_costs_its_budget_and_no_more(
        operations in prop::collection::vec(any_operation(300_000), 1..400),
        reads in any::<bool>(),
    ) {
        let limits = Limits::default();
        let mut pool = QueuePool::new(&limits);
        let mut queues = SendQueues::default();
        let mut largest = 0;
        for (number, operation) in (0..).zip(operations) {
            match operation {
                Operation::Send { level, bytes } | Operation::SendOrDrop { level, bytes } => {
                    let priority = Priority::ALL[level];
                    let frame = numbered(byte_of(priority), 0, number, &alloc::vec![0; bytes]);
                    if frame.len() > limits.queue(priority).max_bytes {
                        largest = largest.max(frame.len());
                    }
                    match operation {
                        Operation::Send { .. } => {
                            let _full = queues.send(Outgoing::Shared(&frame), priority, &mut pool);
                        }
                        _ => {
                            let _full = queues.send_or_drop_oldest(Outgoing::Shared(&frame), priority, &mut pool);
                        }
                    }
                }
                Operation::Take(max_bytes) if reads => {
                    take(&mut queues, max_bytes, &mut pool);
                }
                Operation::Take(_) => {}
            }
            let bound = limits.queue_bytes() + largest + BOOKKEEPING;
            prop_assert!(queues.held_bytes() <= bound, "{} of {bound}", queues.held_bytes());
        }
        take(&mut queues, usize::MAX, &mut pool);
        prop_assert_eq!(queues.held_bytes(), 0, "an idle connection gives its memory back");
        prop_assert!(pool.held_bytes() <= BOOKKEEPING, "and of that little is kept");
    }
}

#[test]
fn many_small_frames_hold_no_more_than_the_limit() {
    // A ring that doubles whenever it is full would hold up to twice as much.
    let limits = Limits::default();
    let mut pool = QueuePool::new(&limits);
    for bytes in [20, 90, 300, 700, 1500, 4000] {
        let mut queues = SendQueues::default();
        for priority in Priority::ALL {
            while send(&mut queues, priority, 0, bytes, &mut pool) {}
        }
        let bound = limits.queue_bytes() + BOOKKEEPING;
        assert!(queues.held_bytes() <= bound, "{} of {bound} in frames of {bytes}", queues.held_bytes());
    }
}

#[test]
fn frames_go_out_most_urgent_first_and_in_their_order() {
    let mut pool = default_pool();
    let mut queues = SendQueues::default();
    for number in 0..12 {
        let priority = Priority::ALL[(11 - number as usize) % 4];
        // One in three is too large to be copied.
        assert!(send(&mut queues, priority, number, number as usize % 3 * 3000, &mut pool));
    }
    let sent = take(&mut queues, usize::MAX, &mut pool);
    let types: Vec<_> = sent_frames(&sent).into_iter().map(|(byte, _)| byte).collect();
    assert_eq!(types, BY_PRIORITY.map(|byte| [byte; 3]).concat());
    assert_eq!(sent_numbers(&sent), [3, 7, 11, 2, 6, 10, 1, 5, 9, 0, 4, 8]);
    assert!(queues.is_empty());
}

#[test]
fn a_steady_stream_above_does_not_starve_the_lowest_level() {
    let mut pool = default_pool();
    let mut queues = SendQueues::default();
    for number in 0..4 {
        assert!(send(&mut queues, Priority::Low, number, 100, &mut pool));
        assert!(send(&mut queues, Priority::Normal, 10 + number, 100, &mut pool));
    }
    let mut more_urgent = 0;
    let mut sent = Vec::new();
    while sent.len() < 8 {
        // There always is a block to send.
        while send(&mut queues, Priority::High, 100, 50_000, &mut pool) {}
        let bytes = take(&mut queues, 1, &mut pool);
        match sent_numbers(&bytes)[..] {
            [100] => more_urgent += bytes.len(),
            [number] => {
                assert!(more_urgent <= (sent.len() / 2 + 1) * (MAX_PASSED_OVER + 51_000), "{sent:?}");
                sent.push(number);
            }
            _ => panic!("one frame at a time"),
        }
        assert!(more_urgent < 100 * MAX_PASSED_OVER, "starved: {sent:?}");
    }
    assert_eq!(sent, [0, 10, 1, 11, 2, 12, 3, 13]);
}

#[test]
fn a_frame_larger_than_its_queue_waits_alone() {
    let mut pool = pool(10, 2000);
    let mut queues = SendQueues::default();
    assert!(send(&mut queues, Priority::Normal, 0, 9000, &mut pool));
    assert!(!send(&mut queues, Priority::Normal, 1, 0, &mut pool), "nothing fits behind it");
    assert!(!send(&mut queues, Priority::High, 2, 9000, &mut pool), "nor a second one elsewhere");
    assert!(send(&mut queues, Priority::High, 3, 1000, &mut pool));
    let sent = take(&mut queues, usize::MAX, &mut pool);
    assert_eq!(sent_numbers(&sent), [3, 0]);
    assert!(send(&mut queues, Priority::High, 4, 9000, &mut pool));
}

#[test]
fn a_larger_frame_that_finds_no_room_drops_nothing() {
    let mut pool = pool(10, 2000);
    let mut queues = SendQueues::default();
    assert!(send(&mut queues, Priority::Normal, 0, 9000, &mut pool));
    assert!(send(&mut queues, Priority::High, 1, 1000, &mut pool));
    let large = numbered(NEWS, 0, 2, &[0; 9000]);
    let refused = queues.send_or_drop_oldest(Outgoing::Shared(&large), Priority::High, &mut pool);
    assert_eq!(refused, Err(Full));
    assert_eq!(queues.queued_frames(Priority::High), 1, "what waited still does");
}

#[test]
fn a_larger_frame_makes_room_for_the_next_one_of_its_level() {
    let mut pool = pool(10, 2000);
    let mut queues = SendQueues::default();
    for number in 0..3 {
        let large = numbered(NEWS, 0, number, &[0; 9000]);
        let dropped = queues.send_or_drop_oldest(Outgoing::Shared(&large), Priority::High, &mut pool);
        assert_eq!(dropped, Ok(usize::from(number > 0)));
    }
    let sent = take(&mut queues, usize::MAX, &mut pool);
    assert_eq!(sent_numbers(&sent), [2]);
}

#[test]
fn room_is_announced_once_and_not_before_half_is_free() {
    let mut pool = pool(10, 4000);
    let mut queues = SendQueues::default();
    let mut sent = 0;
    while send(&mut queues, Priority::Normal, sent, 390, &mut pool) {
        sent += 1;
    }
    assert_eq!((sent, writable(&mut queues, &pool)), (10, Vec::new()));
    for left in (5..10).rev() {
        take(&mut queues, 1, &mut pool);
        let expected: &[_] = if left == 5 { &[Priority::Normal] } else { &[] };
        assert_eq!(writable(&mut queues, &pool), expected, "{left} left");
    }
    take(&mut queues, usize::MAX, &mut pool);
    assert_eq!(writable(&mut queues, &pool), [], "nobody was refused since");
}

#[test]
fn last_words_are_the_critical_frames() {
    let mut pool = default_pool();
    let mut queues = SendQueues::default();
    for (number, priority) in (0..).zip(Priority::ALL) {
        send(&mut queues, priority, number, 10, &mut pool);
        send(&mut queues, priority, number, 10_000, &mut pool);
    }
    let mut out = Transmit::new();
    queues.transmit_critical(usize::MAX, &mut pool, &mut out);
    let mut bytes = alloc::vec![0; out.len()];
    out.copy_to_slice(&mut bytes);
    assert_eq!(sent_numbers(&bytes), [0, 0]);
}

/// What a peer that takes chunks makes of these bytes: the numbers of whole frames.
fn joined(reader: &mut FrameReader, bytes: &[u8]) -> Vec<u32> {
    let mut numbers = Vec::new();
    reader.push(bytes);
    while let Ok(ReadStep::Frames(batch)) = reader.poll_frames() {
        for frame in batch {
            numbers.extend(sent_numbers(frame.bytes()));
        }
    }
    reader.finish().expect("whole frames and chunks");
    numbers
}

fn reader_of_chunks() -> FrameReader {
    let rules = [GOSSIP, NEWS, NOTE, URGENT].into_iter().fold(FrameRules::new(), |rules, byte| {
        let message_type = MessageType::from_byte(byte);
        rules.with(TypeRule {
            message_type,
            max_payload: MAX_PAYLOAD,
            priority: Priority::Normal,
            object_id: None,
        })
    });
    let mut reader = FrameReader::new(Arc::new(rules), 1024);
    reader.set_established();
    reader.take_chunks();
    reader
}

#[test]
fn what_is_urgent_goes_out_between_the_chunks_of_a_large_frame() {
    let (mut queues, mut pool, mut reader) = (SendQueues::default(), default_pool(), reader_of_chunks());
    queues.cut_large_frames();
    assert!(send(&mut queues, Priority::High, 1, 1_000_000, &mut pool));
    let (mut sent, mut order) = (0, Vec::new());
    while !queues.is_empty() {
        assert!(send(&mut queues, Priority::Critical, 100 + sent, 10, &mut pool));
        let bytes = take(&mut queues, 1024, &mut pool);
        assert!(bytes.len() < MAX_CHUNK_BYTES + 200, "{}", bytes.len());
        order.extend(joined(&mut reader, &bytes));
        sent += 1;
    }
    assert_eq!(sent, 16, "as many as there are chunks");
    assert_eq!(order, (100..116).chain([1]).collect::<Vec<_>>());
    assert!(send(&mut queues, Priority::High, 2, 1_000_000, &mut pool), "there is room for the next one");
}

#[test]
fn a_frame_of_which_a_part_is_out_waits_no_more() {
    let (mut queues, mut pool, mut reader) = (SendQueues::default(), default_pool(), reader_of_chunks());
    queues.cut_large_frames();
    let larger = 1_000_000;
    let frame = |number| numbered(NEWS, 0, number, &alloc::vec![0; larger]);
    let broadcast = |queues: &mut SendQueues, number| {
        queues.send_or_drop_oldest(Outgoing::Shared(&frame(number)), Priority::High, &mut default_pool())
    };
    assert_eq!(broadcast(&mut queues, 1), Ok(0));
    let mut bytes = take(&mut queues, 1, &mut pool);
    assert_eq!((queues.queued_frames(Priority::High), queues.is_empty()), (0, false));
    assert!(queues.held_bytes() > larger - 100_000, "what is left of it is held");
    assert_eq!(broadcast(&mut queues, 2), Ok(0), "as if the first had been handed over");
    assert_eq!(broadcast(&mut queues, 3), Ok(1), "which is not dropped for a newer one, as the second is");
    assert!(!send(&mut queues, Priority::Normal, 4, larger, &mut pool), "one larger frame waits");
    bytes.extend(take(&mut queues, usize::MAX, &mut pool));
    assert_eq!(joined(&mut reader, &bytes), [1, 3]);
    assert_eq!(queues.held_bytes(), 0);
}

#[test]
fn large_frames_of_two_levels_go_out_in_turns_and_small_ones_as_a_whole() {
    let (mut queues, mut pool, mut reader) = (SendQueues::default(), default_pool(), reader_of_chunks());
    queues.cut_large_frames();
    assert!(send(&mut queues, Priority::High, 1, 3_000_000, &mut pool));
    assert!(send(&mut queues, Priority::Normal, 2, 400_000, &mut pool));
    assert!(send(&mut queues, Priority::Low, 3, 60_000, &mut pool));
    let bytes = take(&mut queues, usize::MAX, &mut pool);
    assert_eq!(joined(&mut reader, &bytes), [3, 2, 1], "after each 256 KiB those below have a turn");
    assert_eq!(queues.held_bytes(), 0);
}
