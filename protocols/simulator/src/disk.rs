//! A disk that forgets what was not synced, and breaks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spacetime_core::{Rng, Time};

use super::clock::TrueTime;

/// How long a healthy disk takes to sync.
const SYNC_TIME: Duration = Duration::from_millis(2);

/// How many times longer a slow one takes.
const SLOWNESS: u32 = 500;

/// A node's disk: named files, which outlive the node's crashes. Clones are the same disk.
///
/// What was written is read back at once, and survives a power loss once a
/// [`sync`](Self::sync) has had its time: until then a crash may lose it, or keep its beginning.
#[derive(Clone)]
pub struct Disk {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    files: BTreeMap<String, File>,
    now: TrueTime,
    rng: Rng,
    /// Until when the process that uses it is busy with what it does before.
    not_before: Time,
    /// When the last operation is done: the disk does one after the other.
    free_at: Time,
    /// What there is to say since the last look.
    report: Report,
    is_slow: u32,
    is_full: u32,
    is_failing: u32,
    /// How many faults cut the power at the next write.
    cuts_at_write: u32,
}

/// What happened on a disk since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// When the operations are done, if any took time.
    pub(crate) done_at: Option<Time>,
    /// The power went in the middle of a write.
    pub(crate) is_cut: bool,
    /// Which faults had an effect.
    pub(crate) was_slow: bool,
    pub(crate) has_failed: bool,
    pub(crate) was_full: bool,
}

#[derive(Default)]
struct File {
    /// What a reader finds.
    bytes: Vec<u8>,
    /// Writes that may not be on the disk yet, in order.
    unsynced: Vec<Write>,
}

/// A write, and what it would take to undo it.
struct Write {
    before: Before,
    durable_at: Option<Time>,
}

enum Before {
    /// There was no such file.
    Absent,
    /// Bytes were appended at this length.
    Length(usize),
    /// All bytes were replaced.
    Bytes(Vec<u8>),
}

/// Why a disk did not do what it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DiskError {
    /// There is no room left. Nothing was written.
    Full,
    /// The disk reported an error. What was to be written may be there or not.
    Failed,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room is left on the disk"),
            Self::Failed => f.write_str("the disk failed"),
        }
    }
}

impl std::error::Error for DiskError {}

impl Disk {
    pub(crate) fn new(rng: Rng, now: TrueTime) -> Self {
        let inner = Inner {
            files: BTreeMap::new(),
            now,
            rng,
            not_before: Time::ZERO,
            free_at: Time::ZERO,
            report: Report::default(),
            is_slow: 0,
            is_full: 0,
            is_failing: 0,
            cuts_at_write: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All bytes of a file; none if there is no such file.
    pub fn read(&self, file: &str) -> Option<Vec<u8>> {
        self.lock().files.get(file).map(|file| file.bytes.clone())
    }

    /// Appends to a file.
    pub fn append(&self, file: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let mut inner = self.lock();
        let error = inner.error();
        if error == Some(DiskError::Full) {
            return Err(DiskError::Full);
        }
        inner.report.is_cut |= inner.cuts_at_write > 0;
        let file = inner.files.entry(file.into()).or_default();
        file.unsynced.push(Write { before: Before::Length(file.bytes.len()), durable_at: None });
        file.bytes.extend_from_slice(bytes);
        error.map_or(Ok(()), Err)
    }

    /// Replaces a file by another one, as a whole: after a crash the old bytes are there or the new
    /// ones.
    pub fn replace(&self, file: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let mut inner = self.lock();
        if let Some(error) = inner.error() {
            return Err(error);
        }
        inner.report.is_cut |= inner.cuts_at_write > 0;
        let before = match inner.files.get_mut(file) {
            Some(file) => Before::Bytes(std::mem::take(&mut file.bytes)),
            None => Before::Absent,
        };
        let file = inner.files.entry(file.into()).or_default();
        file.bytes = bytes.to_vec();
        file.unsynced.push(Write { before, durable_at: None });
        Ok(())
    }

    /// Cuts a file to a length, for good.
    pub fn truncate(&self, file: &str, len: usize) {
        if let Some(file) = self.lock().files.get_mut(file) {
            file.bytes.truncate(len);
            file.unsynced.clear();
        }
    }

    /// Makes everything that was written to a file survive a crash, when its time is over.
    pub fn sync(&self, file: &str) -> Result<(), DiskError> {
        let mut inner = self.lock();
        if inner.error() == Some(DiskError::Failed) {
            return Err(DiskError::Failed);
        }
        let slowness = if inner.is_slow > 0 { SLOWNESS } else { 1 };
        let now = inner.now.get();
        let begins_at = now.max(inner.not_before).max(inner.free_at);
        let durable_at = begins_at + SYNC_TIME * slowness;
        inner.free_at = durable_at;
        inner.report.done_at = Some(durable_at);
        inner.report.was_slow |= slowness > 1;
        if let Some(file) = inner.files.get_mut(file) {
            // What is on the disk need not be known any more.
            file.unsynced.retain(|write| write.durable_at.is_none_or(|at| at > now));
            for write in &mut file.unsynced {
                write.durable_at = Some(write.durable_at.map_or(durable_at, |before| before.min(durable_at)));
            }
        }
        Ok(())
    }

    /// The process that uses it begins nothing before this time.
    pub(crate) fn set_not_before(&self, at: Time) {
        self.lock().not_before = at;
    }

    /// Which faults had an effect since the last call. The rest of the report stays for the process.
    pub(crate) fn take_felt(&self) -> Report {
        let mut inner = self.lock();
        let Report { done_at, is_cut, .. } = inner.report;
        std::mem::replace(&mut inner.report, Report { done_at, is_cut, ..Report::default() })
    }

    /// What happened since the last call.
    pub(crate) fn take_report(&self) -> Report {
        std::mem::take(&mut self.lock().report)
    }

    pub(crate) fn set_cut_at_write(&self, cut: bool) {
        count(&mut self.lock().cuts_at_write, cut);
    }

    pub(crate) fn set_slow(&self, is_slow: bool) {
        count(&mut self.lock().is_slow, is_slow);
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        count(&mut self.lock().is_full, is_full);
    }

    pub(crate) fn set_failing(&self, is_failing: bool) {
        count(&mut self.lock().is_failing, is_failing);
    }

    /// The power goes. Of what was not synced in each file some of the first writes survive, and
    /// with `tears` the beginning of the next one. How many writes were lost or torn.
    pub(crate) fn lose_power(&self, tears: bool) -> usize {
        let mut inner = self.lock();
        let now = inner.now.get();
        inner.free_at = now;
        let Inner { files, rng, .. } = &mut *inner;
        let mut lost = 0;
        files.retain(|_, file| {
            let mut is_gone = false;
            file.unsynced.retain(|write| write.durable_at.is_none_or(|at| at > now));
            let surviving = rng.below(file.unsynced.len() as u64 + 1) as usize;
            lost += file.unsynced.len() - surviving;
            let torn = file.unsynced.get(surviving).and_then(|write| match write.before {
                Before::Length(start) if tears => {
                    let end = match file.unsynced.get(surviving + 1).map(|next| &next.before) {
                        Some(Before::Length(end)) => *end,
                        Some(Before::Bytes(bytes)) => bytes.len(),
                        Some(Before::Absent) | None => file.bytes.len(),
                    };
                    Some(start + rng.below((end.saturating_sub(start)) as u64) as usize)
                }
                _ => None,
            });
            for write in file.unsynced.drain(surviving..).rev() {
                match write.before {
                    Before::Length(len) => file.bytes.truncate(torn.unwrap_or(len).max(len)),
                    Before::Bytes(bytes) => file.bytes = bytes,
                    Before::Absent => is_gone = true,
                }
            }
            file.unsynced.clear();
            !is_gone
        });
        lost
    }

    /// A process ends; the system writes what it has taken over.
    pub(crate) fn flush(&self) {
        for file in self.lock().files.values_mut() {
            file.unsynced.clear();
        }
    }
}

impl Inner {
    fn error(&mut self) -> Option<DiskError> {
        if self.is_full > 0 {
            self.report.was_full = true;
            Some(DiskError::Full)
        } else if self.is_failing > 0 && self.rng.chance(1, 2) {
            self.report.has_failed = true;
            Some(DiskError::Failed)
        } else {
            None
        }
    }
}

/// Several faults of one kind may overlap.
pub(crate) const fn count(number: &mut u32, more: bool) {
    *number = if more { *number + 1 } else { number.saturating_sub(1) };
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("files", &self.lock().files.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(seed: u64) -> (Disk, TrueTime) {
        let now = TrueTime::default();
        (Disk::new(Rng::from_number(seed), now.clone()), now)
    }

    fn at(milliseconds: u64) -> Time {
        Time::from_epoch(Duration::from_millis(milliseconds))
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_may_be_lost() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let (disk, now) = new(seed);
            disk.append("log", b"one").unwrap();
            disk.sync("log").unwrap();
            now.set(at(10));
            disk.append("log", b"two").unwrap();
            disk.append("log", b"six").unwrap();
            assert_eq!(disk.read("log").unwrap(), b"onetwosix");
            disk.lose_power(false);
            outcomes.insert(disk.read("log").unwrap());
        }
        assert_eq!(Vec::from_iter(outcomes), [b"one".to_vec(), b"onetwo".to_vec(), b"onetwosix".to_vec()]);
    }

    #[test]
    fn a_sync_takes_its_time() {
        let survives = |milliseconds: u64| {
            (0..20).all(|seed| {
                let (disk, now) = new(seed);
                now.set(at(1000));
                disk.append("log", b"one").unwrap();
                disk.sync("log").unwrap();
                now.set(at(1000 + milliseconds));
                disk.lose_power(false);
                disk.read("log").unwrap() == b"one"
            })
        };
        assert!(!survives(1));
        assert!(survives(2));
    }

    #[test]
    fn a_disk_does_one_thing_after_the_other() {
        let (disk, now) = new(1);
        now.set(at(10));
        assert_eq!(disk.take_report().done_at, None);
        disk.sync("log").unwrap();
        disk.sync("log").unwrap();
        assert_eq!(disk.take_report().done_at, Some(at(14)));
        assert_eq!(disk.take_report().done_at, None);
        now.set(at(11));
        disk.sync("log").unwrap();
        assert_eq!(disk.take_report().done_at, Some(at(16)));
        disk.set_not_before(at(20));
        disk.sync("log").unwrap();
        assert_eq!(disk.take_report().done_at, Some(at(22)));
    }

    #[test]
    fn torn_writes_keep_a_beginning_and_replaced_files_are_whole() {
        let mut lens = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let (disk, _) = new(seed);
            disk.replace("state", b"old").unwrap();
            disk.flush();
            disk.replace("state", b"newer").unwrap();
            disk.append("log", b"four").unwrap();
            disk.append("log", b"more").unwrap();
            disk.replace("first", b"one").unwrap();
            disk.lose_power(true);
            assert!(disk.read("first").is_none_or(|bytes| bytes == b"one"), "there or not there");
            let state = disk.read("state").unwrap();
            assert!(state == b"old" || state == b"newer");
            let log = disk.read("log").unwrap();
            assert!(b"fourmore".starts_with(&log));
            lens.insert(log.len());
        }
        assert_eq!(Vec::from_iter(lens), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn what_is_on_the_disk_is_not_kept_twice() {
        let (disk, now) = new(1);
        for number in 0..100 {
            now.set(at(number * 10));
            disk.append("log", b"one").unwrap();
            disk.sync("log").unwrap();
        }
        assert_eq!(disk.lock().files["log"].unsynced.len(), 1);
        disk.lose_power(false);
        assert!(disk.read("log").unwrap().len() >= 99 * 3);
    }

    #[test]
    fn full_and_failing_disks_say_so() {
        let (disk, _) = new(1);
        disk.set_full(true);
        assert_eq!(disk.append("log", b"one"), Err(DiskError::Full));
        assert_eq!(disk.read("log"), None);
        disk.set_full(false);
        disk.set_failing(true);
        assert!((0..20).any(|_| disk.sync("log") == Err(DiskError::Failed)));
        disk.set_failing(false);
        assert!((0..20).all(|_| disk.append("log", b"one").is_ok()));
    }
}
