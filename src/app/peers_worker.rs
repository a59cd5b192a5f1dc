//! Stores what a node knows of its peers on a thread of its own: disks never hold up the network.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use spacetime_peers::State;
use spacetime_peers::book::Record;
use tokio::sync::oneshot;

use super::peers_file::PeersFiles;

/// Users that may wait for a state to be stored.
const MAX_WAITING: usize = 1024;

/// Whether a state is on the disk; if not, why.
pub(super) type Stored = Result<(), String>;

/// The thread that stores.
#[derive(Debug)]
pub(super) struct PeersWorker {
    writer: PeersWriter,
    thread: JoinHandle<()>,
}

/// What the thread is to store next. However slow the disk is, that is one book and one state: a
/// newer one takes the place of one that still waits. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct PeersWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Jobs {
    book: Option<Vec<Record>>,
    state: Option<Box<State>>,
    /// Who is to be told when that state, or a newer one, is stored.
    waiting: Vec<oneshot::Sender<Stored>>,
    is_last: bool,
}

impl PeersWorker {
    /// Starts the thread.
    pub(super) fn spawn(files: PeersFiles) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writer = PeersWriter { shared: Arc::clone(&shared) };
        let thread = thread::Builder::new().name("peers writer".into()).spawn(move || shared.work(&files))?;
        Ok(Self { writer, thread })
    }

    /// Gives the thread work.
    pub(super) const fn writer(&self) -> &PeersWriter {
        &self.writer
    }

    /// Waits until everything is stored.
    pub(super) async fn finish(self) {
        self.writer.shared.lock().is_last = true;
        self.writer.shared.changed.notify_one();
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the thread that stores peers has panicked");
        }
    }
}

impl PeersWriter {
    /// Stores a book.
    pub(super) fn store_book(&self, records: Vec<Record>) {
        self.shared.lock().book = Some(records);
        self.shared.changed.notify_one();
    }

    /// Stores a state that is newer than all before.
    pub(super) fn store_state(&self, state: Box<State>) {
        self.shared.lock().state = Some(state);
        self.shared.changed.notify_one();
    }

    /// The same, and tells somebody when it is on the disk. If too many wait already, who waits hears
    /// that the sender is gone.
    pub(super) fn store_state_and_tell(&self, state: Box<State>, whom: oneshot::Sender<Stored>) {
        let mut jobs = self.shared.lock();
        jobs.state = Some(state);
        if jobs.waiting.len() < MAX_WAITING {
            jobs.waiting.push(whom);
        }
        drop(jobs);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // Each change of the jobs is one assignment.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, files: &PeersFiles) {
        let mut jobs = self.lock();
        loop {
            // The state first: it is small, and somebody may wait for it.
            if let Some(state) = jobs.state.take() {
                let waiting = std::mem::take(&mut jobs.waiting);
                drop(jobs);
                let stored = files.store_state(&state);
                if let Err(error) = &stored {
                    tracing::error!(%error, "cannot store bans and the state of peers");
                }
                for whom in waiting {
                    // Whoever asked may have gone.
                    let _ = whom.send(stored.as_ref().copied().map_err(ToString::to_string));
                }
                jobs = self.lock();
            } else if let Some(records) = jobs.book.take() {
                drop(jobs);
                if let Err(error) = files.store_book(records) {
                    tracing::error!(%error, "cannot store the address book");
                }
                jobs = self.lock();
            } else if jobs.is_last {
                return;
            } else {
                jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use spacetime_peers::book::Source;
    use spacetime_peers::{Ban, BucketKey};

    use super::*;

    fn state(bans: i64) -> Box<State> {
        let ban = |number: i64| Ban {
            target: format!("memory:{number}").parse().unwrap(),
            until: Some(number),
            reason: "test".into(),
        };
        Box::new(State {
            bucket_key: BucketKey::from_bytes([1; 32]),
            anchors: Vec::new(),
            bans: (0..bans).map(ban).collect(),
            trusted: Vec::new(),
            standings: Vec::new(),
        })
    }

    fn book(count: u16) -> Vec<Record> {
        let record = |number: u16| Record {
            address: ([203, 0, 113, 1], 1 + number).into(),
            source: Source::Seed,
            peer_id: None,
            first_seen: 1,
            last_seen: 2,
            last_told: 2,
            last_attempt: None,
            last_success: None,
            success_count: 0,
            failure_count: 0,
            failures_in_a_row: 0,
            is_tried: false,
        };
        (0..count).map(record).collect()
    }

    #[tokio::test]
    async fn what_was_given_last_is_stored_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let files = PeersFiles::in_folder(folder.path());
        let worker = PeersWorker::spawn(files.clone()).unwrap();
        for number in 0..50 {
            worker.writer().store_book(book(number));
            worker.writer().store_state(state(number.into()));
        }
        worker.finish().await;
        let (stored, warnings) = files.load(0);
        assert_eq!((stored.records, stored.state, warnings.len()), (book(49), Some(*state(49)), 0));
    }

    #[tokio::test]
    async fn who_waits_is_told_when_it_is_on_the_disk_or_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = PeersFiles::in_folder(folder.path());
        let worker = PeersWorker::spawn(files.clone()).unwrap();
        let (sender, stored) = oneshot::channel();
        worker.writer().store_state_and_tell(state(7), sender);
        assert_eq!(stored.await, Ok(Ok(())));
        assert_eq!(files.load(0).0.state, Some(*state(7)));
        // The name of the temporary file is taken, by something that cannot be removed as one.
        std::fs::create_dir(folder.path().join("peers-state.json.new")).unwrap();
        let (sender, stored) = oneshot::channel();
        worker.writer().store_state_and_tell(state(8), sender);
        assert!(stored.await.unwrap().is_err());
        worker.finish().await;
        assert_eq!(files.load(0).0.state, Some(*state(7)));
    }

    const CHILD: &str = "SPACETIME_TEST_SAVES_IN";

    /// What the test below kills: it goes on to store a larger state and book, and says after each
    /// state how far it got.
    #[test]
    fn child_that_saves_until_it_is_killed() {
        let Some(folder) = std::env::var_os(CHILD) else { return };
        let files = PeersFiles::in_folder(folder.as_ref());
        let first = files.load(0).0.state.map_or(0, |state| state.bans.len()) as i64;
        let worker = PeersWorker::spawn(files).unwrap();
        for number in first + 1.. {
            worker.writer().store_book(book(number as u16 % 500));
            let (sender, stored) = oneshot::channel();
            worker.writer().store_state_and_tell(state(number), sender);
            stored.blocking_recv().unwrap().unwrap();
            let mut stdout = io::stdout();
            writeln!(stdout, "stored {number}").and_then(|()| stdout.flush()).unwrap();
        }
    }

    #[test]
    fn a_process_that_is_killed_while_it_saves_loses_nothing_that_it_said_was_stored() {
        // 500 are a matter of seconds too: SPACETIME_KILLS=500.
        let kills = std::env::var("SPACETIME_KILLS").map_or(50, |kills| kills.parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let files = PeersFiles::in_folder(folder.path());
        let test = concat!(module_path!(), "::child_that_saves_until_it_is_killed");
        let test = test.split_once("::").unwrap().1;
        let mut acknowledged = 0;
        for kill in 0..kills {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture"])
                .env(CHILD, folder.path())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut last = |line: Option<io::Result<String>>| {
                let number = line?.ok()?.strip_prefix("stored ")?.parse::<usize>().ok();
                acknowledged = number.unwrap_or(acknowledged);
                number
            };
            // It saves; somewhere in the next save or two it ends.
            while last(lines.next()).is_none() {}
            thread::sleep(Duration::from_micros(kill * 137 % 4001));
            child.kill().unwrap();
            child.wait().unwrap();
            for line in lines {
                let _ = last(Some(line));
            }

            let (stored, warnings) = files.load(0);
            assert_eq!(warnings, Vec::<String>::new(), "kill {kill}");
            let bans = stored.state.map_or(0, |state| state.bans.len());
            assert!(bans >= acknowledged, "kill {kill}: {bans} of {acknowledged} bans");
            assert_eq!(stored.records, book(stored.records.len() as u16), "kill {kill}");
        }
        assert!(acknowledged >= kills as usize);
        assert!(std::fs::read_dir(folder.path()).unwrap().count() <= 6);
    }
}
