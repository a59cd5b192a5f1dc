//! When bytes arrive.

use std::time::Duration;

use spacetime_core::{NetworkBehaviour, Time};

use super::Simulation;
use super::link::{End, Piece};
use super::queue::Scheduled;

impl<B: NetworkBehaviour> Simulation<B> {
    /// How long something takes that is sent now.
    pub(crate) fn latency(&mut self) -> Duration {
        let jitter = self.config.jitter().as_nanos() as u64;
        self.config.latency() + Duration::from_nanos(self.rng.below(jitter + 1))
    }

    /// Sends something towards an end of a link, behind everything that was sent before.
    pub(crate) fn send(&mut self, link: usize, side: usize, piece: Piece) {
        let it = &mut self.links[link];
        let [from, to] = [it.hosts[1 - side], it.hosts[side]];
        if it.is_half_open || it.pipes[side].is_torn || it.pipes[side].is_over {
            // Swallowed. The sender finds out when its window is full, or never.
            return;
        }
        let is_held =
            it.pipes[side].clogs > 0 || !it.pipes[side].held.is_empty() || self.injector.is_cut(from, to);
        if is_held {
            self.links[link].pipes[side].held.push_back(piece);
        } else {
            self.depart(link, side, piece);
        }
    }

    fn depart(&mut self, link: usize, side: usize, piece: Piece) {
        let (piece, is_truncated) = self.damage(link, side, piece);
        let [from, to] = [self.links[link].hosts[1 - side], self.links[link].hosts[side]];
        let len = match &piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::End => 0,
        };
        let at = self.arrival(from, to, len).max(self.links[link].pipes[side].last_arrival);
        self.links[link].pipes[side].last_arrival = at;
        self.queue.push(
            at,
            match piece {
                Piece::Bytes(bytes) => Scheduled::Bytes { link, side, bytes },
                Piece::End => Scheduled::End { link, side },
            },
        );
        if is_truncated {
            self.links[link].pipes[side].is_over = true;
            self.queue.push(at, Scheduled::End { link, side });
            self.queue.push(at, Scheduled::Reset { link, side: 1 - side });
        }
    }

    /// When so many bytes that leave now arrive, if both hosts send and receive one thing after the
    /// other.
    fn arrival(&mut self, from: usize, to: usize, len: usize) -> Time {
        let on_line = |line_free_at: Option<&mut Time>, earliest: Time, bytes_per_second: Option<u64>| {
            let (Some(line_free_at), Some(rate)) = (line_free_at, bytes_per_second) else {
                return earliest;
            };
            let nanos = (len as u64).saturating_mul(1_000_000_000) / rate.max(1);
            *line_free_at = earliest.max(*line_free_at) + Duration::from_nanos(nanos);
            *line_free_at
        };
        let upload = self.nodes.get_mut(from).map(|node| &mut node.upload_free_at);
        let left = on_line(upload, self.now, self.config.upload_bytes_per_second());
        let reached = left + self.latency();
        let download = self.nodes.get_mut(to).map(|node| &mut node.download_free_at);
        on_line(download, reached, self.config.download_bytes_per_second())
    }

    /// What faults do to a piece, and whether it is the last one.
    fn damage(&mut self, link: usize, side: usize, piece: Piece) -> (Piece, bool) {
        let Piece::Bytes(mut bytes) = piece else {
            return (piece, false);
        };
        let pipe = &mut self.links[link].pipes[side];
        if pipe.corruptions > 0 && self.rng.chance(1, 4) {
            let index = self.rng.below(bytes.len() as u64) as usize;
            bytes[index] ^= 1 << self.rng.below(8);
            self.injector.fired("corruption");
        }
        if !std::mem::take(&mut pipe.is_truncated) {
            return (Piece::Bytes(bytes), false);
        }
        bytes.truncate(self.rng.below(bytes.len() as u64) as usize);
        self.injector.fired("truncation");
        (Piece::Bytes(bytes), true)
    }

    /// Sends on what was held up and is not any more.
    pub(crate) fn release(&mut self) {
        for link in 0..self.links.len() {
            for side in 0..2 {
                let it = &mut self.links[link];
                let [from, to] = [it.hosts[1 - side], it.hosts[side]];
                if it.pipes[side].clogs > 0 || self.injector.is_cut(from, to) {
                    continue;
                }
                while let Some(piece) = self.links[link].pipes[side].held.pop_front() {
                    if !self.links[link].pipes[side].is_over {
                        self.depart(link, side, piece);
                    }
                }
            }
        }
    }

    /// The holder of `side` closes: the other end hears of it after all that was sent.
    pub(crate) fn end_stream(&mut self, link: usize, side: usize) {
        self.links[link].ends[side] = End::Gone;
        self.links[link].pipes[side].unread.clear();
        self.send(link, 1 - side, Piece::End);
    }

    /// Tears a link: both ends hear of it, and what is under way is lost.
    pub(crate) fn tear(&mut self, link: usize) {
        for side in 0..2 {
            let at = self.now + self.latency();
            self.links[link].pipes[side].tear();
            self.queue.push(at, Scheduled::Reset { link, side });
        }
    }
}
