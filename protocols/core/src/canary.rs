//! Bugs that can be planted at run time, to see whether the simulator finds them.
//!
//! Each is one line at the place where it could have been made by mistake. Without the feature
//! `canary` none can be planted, and [`is`] is a constant that the compiler removes.

/// A bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Canary {
    /// Ping does not set a deadline for the answer.
    ForgottenDeadline,
    /// Ping leaves a deadline that fired where it is.
    StuckDeadline,
    /// An item that is known is passed on once more.
    DedupOff,
    /// Of two that dial each other each keeps its own connection.
    TieBreakRemoved,
    /// A peer may have any number of sessions.
    SecondSession,
    /// The end of a session leaves its peer in the list of those who have one.
    SessionNotForgotten,
    /// An offence is charged to somebody else.
    WrongPeerCharged,
    /// A dial that failed stays in the table.
    LeakedDial,
    /// Nobody looks whether a dial takes too long.
    ForgottenDialTimeout,
    /// A send queue takes whatever comes.
    UnboundedQueue,
    /// One session more than there may be.
    OffByOne,
    /// Frames that came together with the last one of a connection are delivered.
    MessageAfterClose,
    /// The clock goes back now and then.
    TimeGoesBack,
    /// Nobody hears that a queue has room again.
    LostWritable,
    /// Nobody hears that a request was given up.
    LostTimeout,
    /// An address is not dialled again.
    ForgottenRedial,
    /// A block counts as stored before it is synced.
    MissingSync,
    /// A log goes on behind a torn record.
    UncutLog,
}

impl Canary {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::ForgottenDeadline,
        Self::StuckDeadline,
        Self::DedupOff,
        Self::TieBreakRemoved,
        Self::SecondSession,
        Self::SessionNotForgotten,
        Self::WrongPeerCharged,
        Self::LeakedDial,
        Self::ForgottenDialTimeout,
        Self::UnboundedQueue,
        Self::OffByOne,
        Self::MessageAfterClose,
        Self::TimeGoesBack,
        Self::LostWritable,
        Self::LostTimeout,
        Self::ForgottenRedial,
        Self::MissingSync,
        Self::UncutLog,
    ];
}

#[cfg(feature = "canary")]
mod planted {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::Canary;

    /// The number of the one that is planted, from 1.
    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants a bug in the whole process, instead of the one before.
    pub fn plant(canary: Option<Canary>) {
        PLANTED.store(canary.map_or(0, |canary| canary as u8 + 1), Ordering::Relaxed);
    }

    /// Whether this bug is planted.
    pub fn is(canary: Canary) -> bool {
        PLANTED.load(Ordering::Relaxed) == canary as u8 + 1
    }
}

#[cfg(feature = "canary")]
pub use planted::{is, plant};

/// Whether this bug is planted.
#[cfg(not(feature = "canary"))]
pub const fn is(_: Canary) -> bool {
    false
}
