//! When bytes arrive.

use std::time::Duration;

use spacetime_core::{NetworkBehaviour, Time};

use super::Simulation;
use super::link::{End, Piece};
use super::queue::Scheduled;

/// A direction of a host's line.
#[derive(Clone, Copy, Debug)]
enum Line {
    Upload,
    Download,
}

impl<B: NetworkBehaviour> Simulation<B> {
    /// How long something takes that is sent now.
    pub(crate) fn latency(&mut self) -> Duration {
        let jitter = self.config.jitter().as_nanos() as u64;
        self.config.latency() + Duration::from_nanos(self.rng.below(jitter + 1))
    }

    /// Sends something towards an end of a link, behind everything that was sent before.
    pub(crate) fn send(&mut self, link: usize, side: usize, piece: Piece) {
        let it = &self.links[link];
        if it.is_half_open || it.pipes[side].is_torn || it.pipes[side].is_over {
            // Swallowed. The sender finds out when its window is full, or never.
            return;
        }
        if it.pipes[side].holds_something() || self.is_held(link, side) {
            self.feel_hold(link, side);
            self.links[link].pipes[side].trouble().held.push_back(piece);
        } else {
            self.depart(link, side, piece);
        }
    }

    /// Whether a fault holds up what is sent towards an end of a link.
    pub(crate) fn is_held(&self, link: usize, side: usize) -> bool {
        let it = &self.links[link];
        it.clogs[side] > 0 || self.injector.is_cut(it.hosts[1 - side], it.hosts[side])
    }

    /// Counts the faults that do so.
    pub(crate) fn feel_hold(&mut self, link: usize, side: usize) {
        let it = &self.links[link];
        if it.clogs[side] > 0 {
            self.injector.felt_on_way(link, side);
        }
        self.injector.felt_between(it.hosts[1 - side], it.hosts[side]);
    }

    fn depart(&mut self, link: usize, side: usize, piece: Piece) {
        let (piece, is_truncated) = self.damage(link, side, piece);
        let from = self.links[link].hosts[1 - side];
        let left = self.line_is_free(Line::Upload, from, self.now, piece.len());
        let at = (left + self.latency()).max(self.links[link].pipes[side].last_arrival);
        self.links[link].pipes[side].last_arrival = at;
        if self.config.download_bytes_per_second().is_some() {
            self.queue.push(at, Scheduled::AtHost { link, side, piece });
        } else {
            self.schedule_arrival(at, link, side, piece);
        }
        if is_truncated {
            self.links[link].pipes[side].is_over = true;
            self.queue.push(at, Scheduled::End { link, side });
            self.queue.push(at, Scheduled::Reset { link, side: 1 - side });
        }
    }

    /// Something has reached a host, whose line takes one thing after the other.
    pub(crate) fn reach_host(&mut self, link: usize, side: usize, piece: Piece) {
        let to = self.links[link].hosts[side];
        let at = self.line_is_free(Line::Download, to, self.now, piece.len());
        self.schedule_arrival(at, link, side, piece);
    }

    fn schedule_arrival(&mut self, at: Time, link: usize, side: usize, piece: Piece) {
        self.queue.push(
            at,
            match piece {
                Piece::Bytes(bytes) => Scheduled::Bytes { link, side, bytes },
                Piece::End => Scheduled::End { link, side },
                Piece::Reset => Scheduled::Reset { link, side },
            },
        );
    }

    /// When so many bytes that wait for a host's line from `earliest` on are through it.
    fn line_is_free(&mut self, line: Line, host: usize, earliest: Time, len: usize) -> Time {
        let Some(node) = self.nodes.get_mut(host) else { return earliest };
        let (free_at, bytes_per_second) = match line {
            Line::Upload => (&mut node.upload_free_at, self.config.upload_bytes_per_second()),
            Line::Download => (&mut node.download_free_at, self.config.download_bytes_per_second()),
        };
        let Some(rate) = bytes_per_second else { return earliest };
        let nanos = (len as u64).saturating_mul(1_000_000_000) / rate.max(1);
        *free_at = earliest.max(*free_at) + Duration::from_nanos(nanos);
        *free_at
    }

    /// What faults do to a piece, and whether it is the last one.
    fn damage(&mut self, link: usize, side: usize, piece: Piece) -> (Piece, bool) {
        let Piece::Bytes(mut bytes) = piece else {
            return (piece, false);
        };
        let Some(trouble) = &mut self.links[link].pipes[side].trouble else {
            return (Piece::Bytes(bytes), false);
        };
        if trouble.corruptions > 0 && self.rng.chance(1, 4) {
            let index = self.rng.below(bytes.len() as u64) as usize;
            bytes[index] ^= 1 << self.rng.below(8);
            self.audit.number(index as u64);
            self.injector.fired("corruption");
        }
        if std::mem::take(&mut trouble.truncations) == 0 {
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
                if self.links[link].is_half_open
                    && let Some(trouble) = &mut self.links[link].pipes[side].trouble
                {
                    trouble.held.clear();
                }
                if self.is_held(link, side) {
                    continue;
                }
                // What was read at this side is said now.
                if let Some(trouble) = &mut self.links[link].pipes[1 - side].trouble {
                    let len = std::mem::take(&mut trouble.unheard);
                    if len > 0 {
                        self.acknowledge(link, 1 - side, len);
                    }
                }
                while let Some(trouble) = &mut self.links[link].pipes[side].trouble
                    && let Some(piece) = trouble.held.pop_front()
                {
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
