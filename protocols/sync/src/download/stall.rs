//! The block that all others wait for.

use core::time::Duration;

use spacetime_core::{RequestId, Time};

/// How long the block after the last applied one is waited for, where nothing else can be asked for,
/// before another peer is asked for it. Where another one has sent its blocks faster than that, this holds
/// whatever happened before: it is not the line. Half of Bitcoin Core's: meanwhile the window fills, and at
/// 500 blocks/s it is full after 2 s.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is waited for again, where it is this node's own limits of bandwidth that hold the line
/// back. No more, or whoever sends much else could withhold a block for ever.
const MAX_WAITS: u32 = 3;

/// Twice as long after each peer that was passed over, up to this: if all are slow it is the line
/// (Bitcoin Core).
const MAX_TIMEOUT: Duration = Duration::from_secs(64);

/// The rule that one peer does not hold up all others. The timeout falls by 15 % with each block that
/// is applied (Bitcoin Core).
#[derive(Debug)]
pub(super) struct Stall {
    timeout: Duration,
    /// The request for the block after the last applied one, and since when it is that.
    waiting: Option<(RequestId, Time)>,
    /// How often it was waited for again.
    waits: u32,
    /// Nothing else can be asked for.
    all_wait: bool,
}

impl Stall {
    pub(super) const fn new() -> Self {
        Self { timeout: MIN_TIMEOUT, waiting: None, waits: 0, all_wait: false }
    }

    /// This is the request for the block after the last applied one, if it was asked for, and whether
    /// nothing else can be asked for.
    pub(super) fn set_waiting(&mut self, request: Option<RequestId>, all_wait: bool, now: Time) {
        self.all_wait = all_wait;
        if self.waiting.map(|(waiting, _)| waiting) != request {
            self.waiting = request.map(|request| (request, now));
            self.waits = 0;
        }
    }

    /// Since when that is waited for.
    pub(super) fn since(&self) -> Option<Time> {
        self.waiting.map(|(_, since)| since)
    }

    /// The request for the block after the last applied one.
    pub(super) fn waiting(&self) -> Option<RequestId> {
        self.waiting.map(|(request, _)| request)
    }

    /// When it has been waited for too long; `is_line_good` if another peer has shown to be faster. Who has
    /// sent nothing since `silent_since` has had its time already, unless it was given more.
    pub(super) fn deadline(&self, is_line_good: bool, silent_since: Option<Time>) -> Option<Time> {
        let (_, since) = self.waiting?;
        if is_line_good {
            let silent_since = silent_since.filter(|_| self.waits == 0);
            return Some(silent_since.map_or(since, |silent| silent.min(since)) + MIN_TIMEOUT);
        }
        self.all_wait.then(|| since + self.timeout)
    }

    /// It is waited for as long again. Whether that is all, because the line is held back.
    pub(super) fn wait_again(&mut self, is_held: bool, now: Time) -> bool {
        self.waiting = self.waiting.map(|(request, _)| (request, now));
        self.waits += 1;
        is_held && self.waits <= MAX_WAITS
    }

    /// A peer was passed over for it.
    pub(super) fn passed_over(&mut self) {
        self.timeout = (self.timeout * 2).min(MAX_TIMEOUT);
        self.waiting = None;
    }

    /// So many blocks were applied.
    pub(super) fn applied(&mut self, blocks: u64) {
        for _ in 0..blocks {
            if self.timeout == MIN_TIMEOUT {
                return;
            }
            self.timeout = (self.timeout * 85 / 100).max(MIN_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_doubles_with_each_staller_and_falls_with_each_block() {
        let mut stall = Stall::new();
        let mut seen = [0; 7];
        for seconds in &mut seen {
            *seconds = stall.timeout.as_secs();
            stall.passed_over();
        }
        assert_eq!(seen, [1, 2, 4, 8, 16, 32, 64]);
        stall.applied(1);
        assert_eq!(stall.timeout, Duration::from_millis(54_400));
        stall.applied(20);
        assert_eq!(stall.timeout.as_millis(), 2108);
        stall.applied(u64::MAX);
        assert_eq!(stall.timeout, MIN_TIMEOUT);
    }
}
