//! How fast a node gets on, and how long it will take.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use spacetime_node::Status;

/// How far back a rate looks: each second counts a tenth less than the one after it.
const SMOOTHING: Duration = Duration::from_secs(10);

/// Times left beyond this say nothing.
const LONGEST_ETA: Duration = Duration::from_secs(99 * 3600);

/// Measures a node by its status, again and again.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    last: Option<Sample>,
    blocks_per_second: f64,
    bytes_per_second: f64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    applied_blocks: u64,
    downloaded_bytes: u64,
}

impl Meter {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more look.
    pub fn update(&mut self, status: &Status, at: Instant) {
        let sample = Sample {
            at,
            applied_blocks: status.sync.applied_blocks,
            downloaded_bytes: status.sync.downloaded_bytes,
        };
        if let Some(last) = self.last {
            let seconds = at.duration_since(last.at).as_secs_f64();
            if seconds <= 0.0 {
                return;
            }
            let weight = 1.0 - (-seconds / SMOOTHING.as_secs_f64()).exp();
            let blocks = sample.applied_blocks.saturating_sub(last.applied_blocks) as f64 / seconds;
            let bytes = sample.downloaded_bytes.saturating_sub(last.downloaded_bytes) as f64 / seconds;
            // The first rate counts whole: there is nothing before it.
            let weight = if self.blocks_per_second == 0.0 { 1.0 } else { weight };
            self.blocks_per_second += weight * (blocks - self.blocks_per_second);
            self.bytes_per_second += weight * (bytes - self.bytes_per_second);
        }
        self.last = Some(sample);
    }

    /// Blocks that were applied per second, smoothed.
    pub const fn blocks_per_second(&self) -> f64 {
        self.blocks_per_second
    }

    /// Bytes of blocks that were downloaded per second, smoothed.
    pub const fn bytes_per_second(&self) -> f64 {
        self.bytes_per_second
    }

    /// How long it will take to reach the target at this rate; none if that is not known.
    pub fn time_left(&self, status: &Status) -> Option<Duration> {
        let left = status.target.saturating_sub(status.tip.height);
        if left == 0 {
            return Some(Duration::ZERO);
        }
        let seconds = left as f64 / self.blocks_per_second;
        Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST_ETA)
    }

    /// Everything in one line.
    pub fn line(&self, status: &Status) -> String {
        format!("{} height {}/{} {}", status.sync.state, status.tip.height, status.target, self.rates(status))
    }

    fn rates(&self, status: &Status) -> String {
        let left = match self.time_left(status) {
            Some(Duration::ZERO) => String::new(),
            Some(time) => format!(", {} left", human_time(time)),
            None => ", time left unknown".into(),
        };
        format!(
            "{:.0} blocks/s, {}/s{left}, {}",
            self.blocks_per_second,
            HumanBytes(self.bytes_per_second as u64),
            human_peers(status.peers.len())
        )
    }
}

fn human_peers(count: usize) -> String {
    if count == 1 { "1 peer".into() } else { format!("{count} peers") }
}

fn human_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A bar on a terminal.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{prefix:>18} [{bar:30}] {pos}/{len} {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    pub(super) fn update(&self, status: &Status, meter: &Meter) {
        self.0.set_prefix(status.sync.state.clone());
        self.0.set_length(status.target.max(status.tip.height));
        self.0.set_position(status.tip.height);
        self.0.set_message(meter.rates(status));
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use spacetime_node::{BandwidthStatus, MempoolStatus, RelayStatus, SyncStatus, TipStatus};

    use super::*;

    fn status(height: u64, target: u64) -> Status {
        Status {
            refusals: Default::default(),
            version: 1,
            peer_id: String::new(),
            listen: Vec::new(),
            tip: TipStatus { height, hash: String::new() },
            target,
            sync: SyncStatus {
                state: "DownloadingBlocks".into(),
                header_height: target,
                downloaded_blocks: height,
                downloaded_bytes: height * 1000,
                applied_blocks: height,
                in_flight: 0,
            },
            relay: RelayStatus::default(),
            bandwidth: BandwidthStatus::default(),
            mempool: MempoolStatus::default(),
            peers: Vec::new(),
        }
    }

    #[test]
    fn rates_follow_the_node_and_the_time_left_follows_the_rates() {
        let start = Instant::now();
        let mut meter = Meter::new();
        for second in 0..100_u32 {
            meter.update(&status(u64::from(second) * 50, 10_000), start + Duration::from_secs(second.into()));
        }
        assert!((meter.blocks_per_second() - 50.0).abs() < 0.1, "{}", meter.blocks_per_second());
        assert!((meter.bytes_per_second() - 50_000.0).abs() < 100.0);
        let left = meter.time_left(&status(4950, 10_000)).unwrap();
        assert!((100..=102).contains(&left.as_secs()), "{left:?}");
        assert_eq!(
            meter.line(&status(4950, 10_000)),
            "DownloadingBlocks height 4950/10000 50 blocks/s, 48.83 KiB/s, 1 min 41 s left, 0 peers"
        );
    }

    #[test]
    fn the_time_left_never_explodes() {
        let start = Instant::now();
        let mut meter = Meter::new();
        assert_eq!(meter.time_left(&status(1, 10)), None);
        meter.update(&status(0, u64::MAX), start);
        meter.update(&status(0, u64::MAX), start);
        meter.update(&status(1, u64::MAX), start + Duration::from_secs(1));
        assert_eq!(meter.time_left(&status(1, u64::MAX)), None);
        assert_eq!(meter.time_left(&status(10, 5)), Some(Duration::ZERO));
    }
}
