//! What will happen, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::BytesMut;
use spacetime_core::{Address, ConnectionId, Time};

use super::link::Piece;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Scheduled<C> {
    /// A node's deadline is over.
    Wake(usize),
    /// A dial arrives where it leads.
    Dial(Box<Dial>),
    /// A dial was answered: by this link, or refused.
    DialAnswered { dialer: Dialer, link: Option<usize> },
    /// A dial has taken as long as it may.
    DialDue { node: usize, incarnation: u32, connection: ConnectionId },
    /// Something reaches the host at an end of a link, and must pass its line.
    AtHost { link: usize, side: usize, piece: Piece },
    /// Bytes arrive at an end of a link.
    Bytes { link: usize, side: usize, bytes: BytesMut },
    /// The end of the stream arrives at an end of a link.
    End { link: usize, side: usize },
    /// The connection is torn: nothing more arrives at this end.
    Reset { link: usize, side: usize },
    /// The holder of this end, who waited, may have room to send again.
    Room { link: usize, side: usize },
    /// A node's application has carried something out.
    Command { node: usize, incarnation: u32, command: Box<C> },
    /// A node with slow hands reads again.
    SlowRead(usize),
    /// An actor wanted to be called.
    ActorWake(usize),
    /// A fault begins.
    Fault(usize),
    /// A fault is over.
    FaultEnds(usize),
    /// Somebody starts a node's process again.
    Start(usize),
}

/// Who dials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialer {
    /// A node, in one of its lives.
    Node { node: usize, incarnation: u32, connection: ConnectionId },
    /// A puppet, for itself or for its actor.
    Puppet(usize),
}

#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) dialer: Dialer,
    pub(crate) address: Address,
}

/// When something happens, what was scheduled before it, and where it is kept. Ordered by that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    at: Time,
    number: u64,
    slot: u32,
}

/// The event queue: in the order of time, and then of being scheduled.
///
/// What happens is kept beside the heap, so that only small entries are moved about in it.
pub(crate) struct Queue<C> {
    heap: BinaryHeap<Reverse<Entry>>,
    slots: Vec<Option<Scheduled<C>>>,
    free: Vec<u32>,
    scheduled: u64,
}

impl<C> Queue<C> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), scheduled: 0 }
    }

    pub(crate) fn push(&mut self, at: Time, scheduled: Scheduled<C>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("memory ends before the numbers do")
        });
        self.slots[slot as usize] = Some(scheduled);
        self.scheduled += 1;
        self.heap.push(Reverse(Entry { at, number: self.scheduled, slot }));
    }

    /// When the next thing happens.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Everything that will happen, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Scheduled<C>> {
        self.slots.iter().flatten()
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, Scheduled<C>)> {
        let Reverse(Entry { at, slot, .. }) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot as usize].take().map(|scheduled| (at, scheduled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scheduled_for_one_moment_happens_in_the_order_of_scheduling() {
        let mut queue = Queue::<()>::new();
        let at = |nanos| Time::from_nanos(nanos);
        for (nanos, node) in [(2, 0), (1, 1), (2, 2), (1, 3)] {
            queue.push(at(nanos), Scheduled::Wake(node));
        }
        assert!(matches!(queue.pop(), Some((_, Scheduled::Wake(1)))));
        queue.push(at(1), Scheduled::Wake(4));
        queue.push(at(2), Scheduled::Wake(5));
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|(_, scheduled)| match scheduled {
                Scheduled::Wake(node) => node,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(rest, [3, 4, 0, 2, 5]);
    }
}
