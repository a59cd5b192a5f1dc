//! What a node keeps of its peers: `peers.json`, the address book, for people and the reference
//! node to read; and `peers-state.json`, the rest, with a checksum.
//!
//! Both are whole at any time, and so is the former version of each, `NAME.bak`. What is damaged is
//! set aside, and the node starts with what is left.

mod book;
mod date;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use spacetime_peers::book::Record;
use spacetime_peers::{State, Stored};

pub(super) use self::book::StoredAddress;
pub(super) use self::date::Date;
use super::durable_file::{self, Former, Loaded};

/// Longer files are not read. A full book with the longest addresses has 48 MiB, a full state 20.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Where a node keeps what it knows of its peers.
#[derive(Clone, Debug)]
pub(super) struct PeersFiles {
    book: PathBuf,
    state: PathBuf,
}

impl PeersFiles {
    /// In a folder that this process has to itself.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { book: folder.join("peers.json"), state: folder.join("peers-state.json") }
    }

    /// What is stored, and what there is to tell the user about it.
    pub(super) fn load(&self, unix_seconds: i64) -> (Stored, Vec<String>) {
        let book = durable_file::load(&self.book, MAX_FILE_BYTES, unix_seconds, book::parse);
        let state = durable_file::load(&self.state, MAX_FILE_BYTES, unix_seconds, state::parse);
        let Loaded { value, mut warnings } = book;
        let book::Parsed { records, unreadable } = value.unwrap_or_default();
        if let Some((first, why)) = unreadable.first() {
            warnings.push(format!(
                "{}: {} of {} entries make no sense and were left out, the first is number {first}: {why}",
                self.book.display(),
                unreadable.len(),
                unreadable.len() + records.len()
            ));
        }
        warnings.extend(state.warnings);
        (Stored::new(records, state.value), warnings)
    }

    /// Stores the book. It is on the disk when this returns.
    pub(super) fn store_book(&self, records: Vec<Record>) -> io::Result<()> {
        durable_file::write(&self.book, &book::print(records)?, Former::KeepAsBackup)
    }

    /// Stores the rest. It is on the disk when this returns.
    pub(super) fn store_state(&self, state: &State) -> io::Result<()> {
        durable_file::write(&self.state, &state::print(state)?, Former::KeepAsBackup)
    }
}
