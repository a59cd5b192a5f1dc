//! How a node shows how it gets on.

use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use spacetime_node::Status;

/// Everything in one line.
pub(super) fn line(status: &Status) -> String {
    format!("{} height {}/{} {}", status.sync.state, status.tip.height, status.target, rates(status))
}

/// How fast it gets on, and how long it will take, or why it does not.
pub(super) fn rates(status: &Status) -> String {
    let sync = &status.sync;
    let left = match (&sync.stalled_because, sync.seconds_left) {
        (Some(reason), _) => format!(", stalled: {}", reason.replace('_', " ")),
        (None, Some(0)) => String::new(),
        (None, Some(seconds)) => format!(", {} left", human_time(Duration::from_secs(seconds))),
        (None, None) => ", time left unknown".into(),
    };
    format!(
        "{} blocks/s, {}/s{left}, {}",
        sync.blocks_per_second,
        HumanBytes(sync.bytes_per_second),
        human_peers(status.peers.len())
    )
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

    pub(super) fn update(&self, status: &Status) {
        self.0.set_prefix(status.sync.state.clone());
        self.0.set_length(status.target.max(status.tip.height));
        self.0.set_position(status.tip.height);
        self.0.set_message(rates(status));
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use spacetime_node::{BandwidthStatus, MempoolStatus, RelayStatus, SyncStatus, TipStatus};

    use super::*;

    fn status(height: u64, target: u64, sync: SyncStatus) -> Status {
        Status {
            refusals: Default::default(),
            version: 1,
            peer_id: String::new(),
            listen: Vec::new(),
            tip: TipStatus { height, hash: String::new() },
            target,
            sync: SyncStatus { state: "DownloadingBlocks".into(), ..sync },
            relay: RelayStatus::default(),
            bandwidth: BandwidthStatus::default(),
            mempool: MempoolStatus::default(),
            peers: Vec::new(),
        }
    }

    #[test]
    fn the_line_says_how_fast_it_gets_on_and_how_long_it_takes_or_why_it_does_not_get_on() {
        let moving = SyncStatus {
            blocks_per_second: 50,
            bytes_per_second: 50_000,
            seconds_left: Some(101),
            ..SyncStatus::default()
        };
        assert_eq!(
            line(&status(4950, 10_000, moving.clone())),
            "DownloadingBlocks height 4950/10000 50 blocks/s, 48.83 KiB/s, 1 min 41 s left, 0 peers"
        );
        let unknown = SyncStatus { seconds_left: None, ..moving.clone() };
        assert!(line(&status(4950, 10_000, unknown)).contains(", time left unknown, "));
        let stalled = SyncStatus { stalled_because: Some("next_block".into()), ..moving.clone() };
        assert!(line(&status(4950, 10_000, stalled)).contains(", stalled: next block, 0 peers"));
        let there = SyncStatus { seconds_left: Some(0), ..moving };
        assert!(line(&status(5, 5, there)).ends_with("48.83 KiB/s, 0 peers"));
    }
}
