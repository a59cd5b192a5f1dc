//! How long a peer may take, where this node may hold it up itself.

use core::time::Duration;

use crate::time::Time;

/// By how many timeouts the end can move at most.
///
/// # Security
///
/// A peer that sends more than it may is held back, and then it has more time for all that it was
/// asked for: at most four times as much. With less, a block of 16 MiB that is paid for at 1 MiB/s
/// would cost an honest peer its 20 s ping, or its 30 s answer behind two of them.
const MAX_PAUSES: u32 = 3;

/// While it is held back, how much of the timeout passes at least until somebody looks again.
const LOOK_AGAIN_PART: u32 = 8;

/// How long the limits of bandwidth have held back what is sent or received on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Held {
    /// Since the connection began; both directions are added up.
    pub(crate) time: Duration,
    /// Something is held back at this moment.
    pub(crate) is_held: bool,
}

/// For how long this node waits for something that a peer owes it: a timeout, in which the time does
/// not count for which this node's own limits of [bandwidth](crate::Bandwidth) held the connection
/// back, added up over both directions, up to three more timeouts.
///
/// [`Context::patience`](crate::Context::patience) begins it, and
/// [`Context::patience_ends`](crate::Context::patience_ends) says when it is over, which may be later
/// each time it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    began: Time,
    timeout: Duration,
    /// For how long the connection had been held back before.
    held_before: Duration,
}

impl Patience {
    pub(crate) const fn new(began: Time, timeout: Duration, held: Held) -> Self {
        Self { began, timeout, held_before: held.time }
    }

    /// The same with another timeout.
    #[must_use]
    pub const fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// When it began.
    pub const fn began(&self) -> Time {
        self.began
    }

    /// For how long the connection was held back since.
    const fn pause(&self, held: Held) -> Duration {
        held.time.saturating_sub(self.held_before)
    }

    const fn max_pause(&self) -> Duration {
        self.timeout.saturating_mul(MAX_PAUSES)
    }

    /// Whether it was held back for so long that nobody can say whose fault it is that nothing came.
    pub(crate) fn is_exhausted(&self, held: Held) -> bool {
        self.pause(held) >= self.max_pause()
    }

    /// When it is over, or is to be looked at again.
    pub(crate) fn ends(&self, now: Time, held: Held) -> Time {
        let end = self.began + self.timeout + self.pause(held).min(self.max_pause());
        // It moves on with the time: whoever came back at the end that there is now would find it a
        // little later, again and again.
        if held.is_held && end > now { end.max(now + self.timeout / LOOK_AGAIN_PART) } else { end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Time {
        Time::ZERO + SECOND * seconds
    }

    fn held(seconds: u32, is_held: bool) -> Held {
        Held { time: SECOND * seconds, is_held }
    }

    #[test]
    fn what_was_held_back_before_does_not_count_and_what_is_afterwards_does() {
        let patience = Patience::new(at(100), SECOND * 8, held(50, false));
        assert_eq!(patience.ends(at(101), held(50, false)), at(108));
        assert_eq!(patience.ends(at(105), held(53, false)), at(111));
        assert_eq!(patience.ends(at(500), held(450, false)), at(132), "but not for ever");
        assert_eq!(patience.with_timeout(SECOND).ends(at(500), held(52, false)), at(103));
    }

    #[test]
    fn while_it_is_held_back_it_does_not_end_and_is_not_looked_at_all_the_time() {
        let patience = Patience::new(at(0), SECOND * 8, held(0, false));
        // All the time since the seventh second.
        let mut now = at(7);
        let mut looks = 0;
        while now < at(30) {
            let end = patience.ends(now, Held { time: now.since(at(7)), is_held: true });
            assert!(end >= now + SECOND, "{end:?} at {now:?}");
            now = end;
            looks += 1;
        }
        assert!(looks <= 23, "{looks}");
        assert_eq!(patience.ends(at(32), held(25, true)), at(32), "then it is over");
    }

    #[test]
    fn one_that_was_over_before_something_was_held_back_is_over() {
        let patience = Patience::new(at(0), SECOND * 8, held(0, false));
        assert_eq!(patience.ends(at(8), held(0, true)), at(8));
    }
}
