//! Frames on their way to a socket.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use crate::wire::{ChunkLevel, write_chunk_header};

/// A buffer that is kept between uses has at most this capacity.
const MAX_IDLE_BYTES: usize = 64 * 1024;

/// Bytes that a driver took over to write: small frames one after the other in one piece, large
/// ones shared and in between.
///
/// It is a [`Buf`]; [`segments`](Self::segments) gives all pieces at once for a vectored write. Use
/// one per connection over and over: it keeps its memory.
#[derive(Debug, Default)]
pub struct Transmit {
    copied: Vec<u8>,
    /// Where in `copied` the next segment starts.
    position: usize,
    /// Shared pieces, each with the place in `copied` before which it goes out.
    shared: VecDeque<(usize, Bytes)>,
    shared_bytes: usize,
}

impl Transmit {
    /// Nothing to write.
    pub const fn new() -> Self {
        Self { copied: Vec::new(), position: 0, shared: VecDeque::new(), shared_bytes: 0 }
    }

    /// Bytes that are left to be written.
    pub const fn len(&self) -> usize {
        self.copied.len() - self.position + self.shared_bytes
    }

    /// Whether everything was written.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a large frame is among them, which may be as large as a frame can be.
    pub fn holds_large(&self) -> bool {
        !self.shared.is_empty()
    }

    pub(super) fn push_copied(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    pub(super) fn push_shared(&mut self, bytes: Bytes) {
        self.shared_bytes += bytes.len();
        self.shared.push_back((self.copied.len(), bytes));
    }

    pub(super) fn push_chunk(&mut self, level: ChunkLevel, bytes: Bytes) {
        write_chunk_header(level, bytes.len(), &mut self.copied);
        self.push_shared(bytes);
    }

    /// Takes over everything that waits in `other`, behind what waits here.
    pub fn append(&mut self, other: &mut Self) {
        for (before, bytes) in other.shared.drain(..) {
            let now = other.copied.get(other.position..before).unwrap_or(&[]);
            self.copied.extend_from_slice(now);
            other.position += now.len();
            self.shared_bytes += bytes.len();
            self.shared.push_back((self.copied.len(), bytes));
        }
        self.copied.extend_from_slice(other.copied.get(other.position..).unwrap_or(&[]));
        other.copied.clear();
        other.position = 0;
        other.shared_bytes = 0;
    }

    /// What is left, piece by piece, in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let mut position = self.position;
        let mut shared = self.shared.iter();
        let mut next_shared = shared.next();
        core::iter::from_fn(move || {
            let end = next_shared.map_or(self.copied.len(), |(before, _)| *before);
            if position < end {
                let segment = self.copied.get(position..end);
                position = end;
                return segment;
            }
            let (_, bytes) = next_shared?;
            next_shared = shared.next();
            Some(&bytes[..])
        })
    }
}

impl Buf for Transmit {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.segments().next().unwrap_or(&[])
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "advanced past the end");
        while count > 0 {
            let end = self.shared.front().map_or(self.copied.len(), |(before, _)| *before);
            let now = count.min(end - self.position);
            self.position += now;
            count -= now;
            if count == 0 {
                break;
            }
            let Some((_, bytes)) = self.shared.front_mut() else {
                break;
            };
            let now = count.min(bytes.len());
            bytes.advance(now);
            self.shared_bytes -= now;
            count -= now;
            if bytes.is_empty() {
                self.shared.pop_front();
            }
        }
        if self.is_empty() {
            self.copied.clear();
            self.copied.shrink_to(MAX_IDLE_BYTES);
            self.position = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Transmit {
        let mut transmit = Transmit::new();
        transmit.push_copied(b"ab");
        transmit.push_shared(Bytes::from_static(b"CDE"));
        transmit.push_shared(Bytes::from_static(b"F"));
        transmit.push_copied(b"gh");
        transmit
    }

    fn rest(transmit: &Transmit) -> Vec<u8> {
        transmit.segments().flatten().copied().collect()
    }

    #[test]
    fn advancing_by_any_steps_gives_the_same_bytes() {
        for step in 1..=8 {
            let mut transmit = sample();
            let mut written = Vec::new();
            while !transmit.is_empty() {
                let now = step.min(transmit.len());
                written.extend(rest(&transmit).into_iter().take(now));
                assert!(transmit.segments().all(|segment| !segment.is_empty()));
                transmit.advance(now);
            }
            assert_eq!(written, b"abCDEFgh");
        }
    }

    #[test]
    fn appending_keeps_the_order() {
        let mut first = sample();
        first.advance(3);
        let mut second = sample();
        second.advance(1);
        first.append(&mut second);
        assert_eq!(rest(&first), b"DEFghbCDEFgh");
        assert_eq!((first.len(), second.len()), (12, 0));
        assert_eq!(rest(&second), b"");
    }
}
