//! A disk that keeps what was synchronised, and of the rest whatever it likes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use spacetime_core::Rng;

/// What is written as a whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: written } => {
                let end = at + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(written);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

#[derive(Debug, Default)]
struct Platter {
    /// What is read.
    now: Vec<u8>,
    /// What survives for certain, and what has changed since.
    synced: Vec<u8>,
    changes: Vec<Change>,
    /// After so many more writes the power is lost.
    writes_left: Option<u32>,
}

impl Platter {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.writes_left {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        self.spend()?;
        change.make(&mut self.now);
        self.changes.push(change);
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lose_power_after(&self, writes: u32) {
        self.platter().writes_left = Some(writes);
    }

    pub(super) fn is_off(&self) -> bool {
        self.platter().writes_left == Some(0)
    }

    /// Each change since the last synchronisation is there, is not there, or is torn.
    pub(super) fn restore_power(&self, seed: u8) {
        let mut rng = Rng::from_number(seed.into());
        let mut platter = self.platter();
        let changes = std::mem::take(&mut platter.changes);
        for mut change in changes {
            if let Change::Write { at, bytes } = &mut change
                && rng.chance(1, 3)
            {
                let sectors = bytes.len().div_ceil(SECTOR_BYTES) as u64;
                let (first, end) = (rng.below(sectors) as usize, rng.below(sectors + 1) as usize);
                let end = (end * SECTOR_BYTES).min(bytes.len());
                let first = (first * SECTOR_BYTES).min(end);
                *at += first;
                *bytes = bytes[first..end].to_vec();
            } else if rng.chance(1, 2) {
                continue;
            }
            change.make(&mut platter.synced);
        }
        platter.now = platter.synced.clone();
        platter.writes_left = None;
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter();
        let found = platter.now.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.platter().change(Change::SetLen(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter();
        platter.spend()?;
        let changes = std::mem::take(&mut platter.changes);
        changes.iter().for_each(|change| change.make(&mut platter.synced));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.platter().change(Change::Write { at: offset as usize, bytes: data.to_vec() })
    }
}
