//! How far a publisher may be ahead of those it publishes for.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Messages that may be under way: published, and not yet delivered everywhere.
const MESSAGES: usize = 128;

/// A node tells the publisher of so many deliveries at once.
const STEP: usize = 32;

/// What each node has delivered. Counts of messages must be multiples of 32.
#[derive(Debug)]
pub struct Window {
    delivered: Vec<AtomicUsize>,
    published: AtomicUsize,
    moved: Notify,
}

impl Window {
    /// One publisher and so many who deliver.
    pub fn new(receivers: usize) -> Self {
        let delivered = (0..receivers).map(|_| AtomicUsize::new(0)).collect();
        Self { delivered, published: AtomicUsize::new(0), moved: Notify::new() }
    }

    /// A node has delivered one more.
    pub fn delivered(&self, receiver: usize) {
        let before = self.delivered[receiver].fetch_add(1, Ordering::Release);
        if (before + 1).is_multiple_of(STEP) {
            self.moved.notify_one();
        }
    }

    /// What all have delivered.
    fn done(&self) -> usize {
        self.delivered.iter().map(|it| it.load(Ordering::Acquire)).min().expect("there are receivers")
    }

    /// Waits until some of `total` may be published: a range of their numbers, which counts as published
    /// then. None when all of them have been delivered.
    pub async fn room(&self, total: usize) -> Option<std::ops::Range<usize>> {
        loop {
            let (published, done) = (self.published.load(Ordering::Relaxed), self.done());
            let end = total.min(done + MESSAGES);
            if end > published {
                self.published.store(end, Ordering::Relaxed);
                return Some(published..end);
            }
            if done >= total {
                return None;
            }
            self.moved.notified().await;
        }
    }
}
