//! How many bytes a node sends and receives in a second.

use crate::limits::InvalidLimits;
use crate::shaper::ByteRate;

/// The least that a limit can be, in bytes per second. A quarter of it is for what is urgent, so ten of
/// the largest first frames pass in the 5 s that a connection has for its handshake.
const MIN_BYTES_PER_SECOND: u64 = 8192;

/// How many bytes per second may be sent and received, on each connection and on all together, frame
/// headers included. What is over it waits; nothing is dropped for it, and a frame that is larger
/// than what a second may bring passes all the same.
///
/// By default there is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bandwidth {
    upload_per_peer: ByteRate,
    upload: ByteRate,
    download_per_peer: ByteRate,
    download: ByteRate,
}

impl Default for Bandwidth {
    fn default() -> Self {
        Self {
            upload_per_peer: ByteRate::UNLIMITED,
            upload: ByteRate::UNLIMITED,
            download_per_peer: ByteRate::UNLIMITED,
            download: ByteRate::UNLIMITED,
        }
    }
}

const fn rate(bytes_per_second: Option<u64>) -> ByteRate {
    match bytes_per_second {
        Some(bytes) => ByteRate::per_second(bytes),
        None => ByteRate::UNLIMITED,
    }
}

impl Bandwidth {
    /// The limits of the reference node: 1 MiB/s with each peer and 10 MiB/s with all of them, in each
    /// direction (seed).
    pub const fn reference() -> Self {
        let (per_peer, total) = (ByteRate::per_second(1024 * 1024), ByteRate::per_second(10 * 1024 * 1024));
        Self { upload_per_peer: per_peer, upload: total, download_per_peer: per_peer, download: total }
    }

    /// What may be sent to each peer, in bytes per second.
    #[must_use]
    pub const fn with_upload_per_peer(mut self, bytes_per_second: Option<u64>) -> Self {
        self.upload_per_peer = rate(bytes_per_second);
        self
    }

    /// What may be sent to all peers together, in bytes per second.
    #[must_use]
    pub const fn with_upload(mut self, bytes_per_second: Option<u64>) -> Self {
        self.upload = rate(bytes_per_second);
        self
    }

    /// What is taken from each peer, in bytes per second.
    #[must_use]
    pub const fn with_download_per_peer(mut self, bytes_per_second: Option<u64>) -> Self {
        self.download_per_peer = rate(bytes_per_second);
        self
    }

    /// What is taken from all peers together, in bytes per second.
    #[must_use]
    pub const fn with_download(mut self, bytes_per_second: Option<u64>) -> Self {
        self.download = rate(bytes_per_second);
        self
    }

    /// What may be sent to each peer.
    pub const fn upload_per_peer(&self) -> ByteRate {
        self.upload_per_peer
    }

    /// What may be sent to all peers together.
    pub const fn upload(&self) -> ByteRate {
        self.upload
    }

    /// What is taken from each peer.
    pub const fn download_per_peer(&self) -> ByteRate {
        self.download_per_peer
    }

    /// What is taken from all peers together.
    pub const fn download(&self) -> ByteRate {
        self.download
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidLimits> {
        let rates = [self.upload_per_peer, self.upload, self.download_per_peer, self.download];
        if rates.iter().any(|rate| rate.bytes_per_second() < MIN_BYTES_PER_SECOND) {
            return Err(InvalidLimits { name: "bandwidth", must: "be at least 8192 bytes per second" });
        }
        Ok(())
    }
}
