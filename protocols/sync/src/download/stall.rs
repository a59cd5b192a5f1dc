//! The block that all others wait for.

use core::time::Duration;

use spacetime_core::{RequestId, Time};

/// How long the block after the last applied one is waited for, once nothing else can be asked for,
/// before another peer is asked for it (Bitcoin Core).
const MIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Twice as long after each peer that was passed over, up to this: if all are slow it is the line
/// (Bitcoin Core).
const MAX_TIMEOUT: Duration = Duration::from_secs(64);

/// The rule that one peer does not hold up all others. The timeout falls by 15 % with each block that
/// is applied (Bitcoin Core).
#[derive(Debug)]
pub(super) struct Stall {
    timeout: Duration,
    /// The request that all others wait for, and since when they do.
    waiting: Option<(RequestId, Time)>,
}

impl Stall {
    pub(super) const fn new() -> Self {
        Self { timeout: MIN_TIMEOUT, waiting: None }
    }

    /// Everything waits for the answer to this request, or nothing does.
    pub(super) fn set_waiting(&mut self, request: Option<RequestId>, now: Time) {
        if self.waiting.map(|(waiting, _)| waiting) != request {
            self.waiting = request.map(|request| (request, now));
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.waiting.map(|(_, since)| since + self.timeout)
    }

    /// The request that was waited for too long. It is waited for as long again.
    pub(super) fn take_due(&mut self, now: Time) -> Option<RequestId> {
        let (request, since) = self.waiting?;
        if since + self.timeout > now {
            return None;
        }
        self.waiting = Some((request, now));
        Some(request)
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
        assert_eq!(seen, [2, 4, 8, 16, 32, 64, 64]);
        stall.applied(1);
        assert_eq!(stall.timeout, Duration::from_millis(54_400));
        stall.applied(20);
        assert_eq!(stall.timeout, Duration::from_secs(2).max(stall.timeout));
        stall.applied(u64::MAX);
        assert_eq!(stall.timeout, MIN_TIMEOUT);
    }
}
