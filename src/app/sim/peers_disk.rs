//! What a simulated node keeps of its peers.

use spacetime_peers::{Event, Stored};
use spacetime_simulator::Disk;

const BOOK_FILE: &str = "peers";
const STATE_FILE: &str = "peers-state";

/// What was stored before the last crash. Each file is replaced as a whole, so it is there or not.
pub(super) fn load(disk: &Disk) -> Stored {
    let parsed = |file| disk.read(file).unwrap_or_default();
    Stored::new(
        serde_json::from_slice(&parsed(BOOK_FILE)).unwrap_or_default(),
        serde_json::from_slice(&parsed(STATE_FILE)).ok(),
    )
}

/// Carries out an effect. What cannot be stored is stored the next time, as by a real node.
pub(super) fn carry_out(disk: &Disk, event: &Event) {
    let (file, bytes) = match event {
        Event::StoreBook(records) => (BOOK_FILE, serde_json::to_vec(records)),
        Event::StoreState(state) => (STATE_FILE, serde_json::to_vec(state)),
        _ => return,
    };
    if let Ok(bytes) = bytes {
        let _ = disk.replace(file, &bytes).and_then(|()| disk.sync(file));
    }
}
