//! How many bytes a node sends and receives in a second.

use crate::limits::InvalidLimits;
use crate::shaper::ByteRate;

/// The least that a limit can be, in bytes per second: a handshake fits many times into the time that
/// a connection has for it.
const MIN_BYTES_PER_SECOND: u64 = 1024;

/// How many bytes per second may be sent and received, on each connection and on all together, frame
/// headers included. What is over it waits; nothing is dropped for it, and a frame that is larger
/// than what a second may bring passes all the same.
///
/// By default there is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bandwidth {
    upload: [ByteRate; 2],
    download: [ByteRate; 2],
}

impl Default for Bandwidth {
    fn default() -> Self {
        Self { upload: [ByteRate::UNLIMITED; 2], download: [ByteRate::UNLIMITED; 2] }
    }
}

const fn rate(bytes_per_second: Option<u64>) -> ByteRate {
    match bytes_per_second {
        Some(bytes) => ByteRate::per_second(bytes),
        None => ByteRate::UNLIMITED,
    }
}

impl Bandwidth {
    /// What may be sent to each peer, in bytes per second.
    #[must_use]
    pub const fn with_upload_per_peer(mut self, bytes_per_second: Option<u64>) -> Self {
        self.upload[0] = rate(bytes_per_second);
        self
    }

    /// What may be sent to all peers together, in bytes per second.
    #[must_use]
    pub const fn with_upload(mut self, bytes_per_second: Option<u64>) -> Self {
        self.upload[1] = rate(bytes_per_second);
        self
    }

    /// What is taken from each peer, in bytes per second.
    #[must_use]
    pub const fn with_download_per_peer(mut self, bytes_per_second: Option<u64>) -> Self {
        self.download[0] = rate(bytes_per_second);
        self
    }

    /// What is taken from all peers together, in bytes per second.
    #[must_use]
    pub const fn with_download(mut self, bytes_per_second: Option<u64>) -> Self {
        self.download[1] = rate(bytes_per_second);
        self
    }

    /// What may be sent to each peer.
    pub const fn upload_per_peer(&self) -> ByteRate {
        self.upload[0]
    }

    /// What may be sent to all peers together.
    pub const fn upload(&self) -> ByteRate {
        self.upload[1]
    }

    /// What is taken from each peer.
    pub const fn download_per_peer(&self) -> ByteRate {
        self.download[0]
    }

    /// What is taken from all peers together.
    pub const fn download(&self) -> ByteRate {
        self.download[1]
    }

    /// Whether what arrives may have to wait.
    pub const fn limits_download(&self) -> bool {
        !self.download[0].is_unlimited() || !self.download[1].is_unlimited()
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidLimits> {
        let rates = self.upload.iter().chain(&self.download);
        if rates.into_iter().any(|rate| rate.bytes_per_second() < MIN_BYTES_PER_SECOND) {
            return Err(InvalidLimits { name: "bandwidth", must: "be at least 1024 bytes per second" });
        }
        Ok(())
    }
}
