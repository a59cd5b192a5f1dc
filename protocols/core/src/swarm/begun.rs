//! Large frames that a peer has begun to send in chunks.

use alloc::boxed::Box;
use core::time::Duration;

use super::network::Network;
use super::table::Connection;
use crate::connection::ConnectionId;
use crate::patience::{Held, Patience};
use crate::time::Time;
use crate::wire::BegunFrame;

/// What the rest of a frame has to come with at least, once it is begun.
///
/// # Security
///
/// Between its chunks a peer may send what else it wants, so that nothing else finds out that it lets a
/// frame stand open, of which all that came is kept: 16 MiB at each of two levels. With this rate, and
/// [`Limits::write_timeout`](crate::Limits::write_timeout) beside it, it has to send them again after 35
/// minutes. It is the least that a limit of bandwidth may be, and a line of 128 kbit/s can still send a
/// frame of 16 MiB at both levels.
const MIN_BYTES_PER_SECOND: u64 = 8 * 1024;

/// What a connection keeps of such frames, by level; nothing before the first one.
pub(super) type BegunFrames = Option<Box<[Option<Begun>; 2]>>;

/// A frame that was begun, and how long its end is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    number: u32,
    patience: Patience,
}

impl Network {
    /// A peer has sent something, and these frames stood open then.
    #[inline]
    pub(super) fn note_begun(&mut self, id: ConnectionId, begun: [Option<BegunFrame>; 2]) {
        if let Some(connection) = self.table.get(id)
            && (connection.begun.is_some() || begun != [None; 2])
        {
            self.compare_begun(id, begun);
        }
    }

    #[cold]
    fn compare_begun(&mut self, id: ConnectionId, begun: [Option<BegunFrame>; 2]) {
        let (now, write_timeout) = (self.now.time, self.limits.write_timeout());
        let Some(connection) = self.table.get_mut(id) else { return };
        let held = connection.held(now);
        for (known, frame) in connection.begun.get_or_insert_default().iter_mut().zip(begun) {
            let is_known = |frame: &BegunFrame| known.is_some_and(|known| known.number == frame.number);
            if frame.as_ref().is_some_and(is_known) {
                continue;
            }
            *known = frame.map(|BegunFrame { number, total_bytes }| {
                let sending = Duration::from_millis(u64::from(total_bytes) * 1000 / MIN_BYTES_PER_SECOND);
                Begun { number, patience: Patience::new(now, write_timeout + sending, held) }
            });
        }
        if let Some(at) = connection.whole_by(now, held) {
            self.arm(id, at);
        }
    }
}

impl Connection {
    /// When the next frame that was begun must be whole.
    pub(super) fn whole_by(&self, now: Time, held: Held) -> Option<Time> {
        self.begun.as_deref()?.iter().flatten().map(|it| it.patience.ends(now, held)).min()
    }
}
