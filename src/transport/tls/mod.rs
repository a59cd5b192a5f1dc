//! TLS over any transport: nobody reads along, and both ends prove who they are.
//!
//! Both ends present a certificate for their Ed25519 key and prove that they hold the key; the peer id
//! is the SHA-256 of its public part. By default they sign the certificates themselves, so there is
//! nobody to trust but the peer; for private networks there are [authorities](TlsConfig::with_authorities),
//! [pinned keys](TlsConfig::with_pinned_keys) and [lists of those who may
//! connect](TlsConfig::with_allowed_peers). An [address](Address::pinned) may name the only peer that
//! may answer there.
//!
//! # What is refused
//!
//! TLS below 1.3 (1.2 [if wanted](TlsConfig::with_versions), always with extended master secret and
//! without renegotiation), other keys than Ed25519, peers without a certificate or with one that is not
//! valid now, peers that speak another protocol inside (ALPN is `spacetime/1`), and what a handshake
//! has no need of: sessions are never resumed, no ticket is given, no early data taken, no name sent.
//! Each refusal has a name, a [`SecurityError`] inside of the `io::Error`.
//!
//! # Limits
//!
//! | what | limit | why |
//! |---|---|---|
//! | what a peer may send until it is known | 24 KiB | it costs nothing to send it |
//! | certificates of a peer | 4 of 4 KiB | they are read before anything is proven |
//! | time | that of the Swarm: 5 s with the handshake inside | whoever is slow takes a place |

mod config;
mod key;
mod opening_stream;
mod refusal;
mod secured_stream;
mod setup;
mod signed_certificate;
mod verifier;

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use config::{InvalidTlsConfig, TlsConfig, TlsMode, TlsVersion};
use futures::FutureExt as _;
use futures::future::BoxFuture;
pub use key::NodeKey;
use opening_stream::OpeningStream;
use refusal::{reason, refused};
use setup::Setup;
use spacetime_core::{Address, Endpoint, Recent, SecurityError};
use tokio::time::timeout;

use super::{Connected, Incoming, Listener, Outgoing, Transport};

/// How long a peer may take to show that it speaks TLS, where it may be dialled in plaintext instead.
///
/// A version-1 node takes the beginning of TLS for the length of a frame and waits for the rest of
/// it. This leaves it more than half of the 5 s that there are in all, which start with the dial.
const FALL_BACK_AFTER: Duration = Duration::from_secs(2);

/// As many as the address book of a node has addresses.
const MAX_PROVEN_ENDPOINTS: usize = 10_000;

/// Secures the connections of another transport with TLS. See the [module](self).
pub struct TlsTransport<T> {
    inner: Arc<T>,
    shared: Arc<Shared>,
}

struct Shared {
    setup: Setup,
    mode: TlsMode,
    plaintext_after: Option<Duration>,
    /// Where somebody has proven who they are: plaintext will not do there any more.
    proven_at: Mutex<Recent<Endpoint, ()>>,
}

impl<T: Transport> TlsTransport<T> {
    /// A transport to and from where `inner` leads.
    ///
    /// # Errors
    ///
    /// The configuration cannot work.
    pub fn new(inner: T, config: &TlsConfig) -> Result<Self, InvalidTlsConfig> {
        let mut proven_at = Recent::new(MAX_PROVEN_ENDPOINTS);
        for endpoint in &config.proven_endpoints {
            proven_at.insert(endpoint.clone(), ());
        }
        let shared = Shared {
            setup: Setup::new(config)?,
            mode: config.mode,
            plaintext_after: config.plaintext_after,
            proven_at: Mutex::new(proven_at),
        };
        Ok(Self { inner: Arc::new(inner), shared: Arc::new(shared) })
    }
}

impl<T: Transport> Transport for TlsTransport<T> {
    fn supports(&self, endpoint: &Endpoint) -> bool {
        self.inner.supports(endpoint)
    }

    fn dial(&self, address: &Address) -> BoxFuture<'static, io::Result<Outgoing>> {
        let dialling = self.inner.dial(address);
        if self.shared.mode == TlsMode::Off {
            return dialling;
        }
        let (inner, shared) = (Arc::clone(&self.inner), Arc::clone(&self.shared));
        let address = address.clone();
        async move {
            let Outgoing { upgrade } = dialling.await?;
            let upgrade = async move {
                let connected = upgrade.await?;
                let speaks_tls = Arc::new(AtomicBool::new(false));
                match shared.connect(connected, &address, &speaks_tls).await {
                    Err(error)
                        if !speaks_tls.load(Ordering::Relaxed) && shared.may_fall_back(&address, &error) =>
                    {
                        inner.dial(&address).await?.upgrade.await
                    }
                    result => result,
                }
            };
            Ok(Outgoing { upgrade: upgrade.boxed() })
        }
        .boxed()
    }

    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listening = self.inner.listen(address);
        let shared = Arc::clone(&self.shared);
        async move {
            let inner = listening.await?;
            Ok(Box::new(TlsListener { inner, shared }) as Box<dyn Listener>)
        }
        .boxed()
    }
}

impl<T> fmt::Debug for TlsTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").field("mode", &self.shared.mode).finish_non_exhaustive()
    }
}

impl Shared {
    /// Secures a connection to an address; `speaks_tls` is set as soon as the peer answers in TLS.
    async fn connect(
        &self,
        connected: Connected,
        address: &Address,
        speaks_tls: &Arc<AtomicBool>,
    ) -> io::Result<Connected> {
        let stream = OpeningStream::dialled(connected.stream, Arc::clone(speaks_tls));
        let mut securing = pin!(self.setup.connect(stream, address.peer_id()));
        let result = if self.may_be_plaintext(address) {
            match timeout(FALL_BACK_AFTER, &mut securing).await {
                Ok(result) => result,
                // Slow, but no stranger to it.
                Err(_) if speaks_tls.load(Ordering::Relaxed) => securing.await,
                Err(_) => Err(refused(SecurityError::Plaintext)),
            }
        } else {
            securing.await
        };
        let connected = result?;
        if self.mode == TlsMode::Optional {
            let mut proven_at = self.proven_at.lock().unwrap_or_else(PoisonError::into_inner);
            proven_at.insert(address.endpoint().clone(), ());
        }
        Ok(connected)
    }

    /// Whether whoever answers at an address need not prove anything.
    ///
    /// # Security
    ///
    /// Where somebody is expected plaintext is no second choice: to spoil a handshake is easier than
    /// to win one.
    fn may_be_plaintext(&self, address: &Address) -> bool {
        self.mode == TlsMode::Optional
            && address.peer_id().is_none()
            && self.proven_at.lock().unwrap_or_else(PoisonError::into_inner).get(address.endpoint()).is_none()
    }

    fn may_fall_back(&self, address: &Address, error: &io::Error) -> bool {
        // Ended without a word, or answered with something that is no TLS. A peer that speaks TLS
        // says what it has against ours.
        let speaks_no_tls =
            matches!(reason(error), Some(SecurityError::Plaintext | SecurityError::Truncated))
                || error.kind() == io::ErrorKind::ConnectionReset;
        speaks_no_tls && self.may_be_plaintext(address)
    }

    async fn accept(&self, connected: Connected) -> io::Result<Connected> {
        let mut stream = OpeningStream::new(connected.stream);
        if self.mode == TlsMode::Off {
            stream.set_plaintext();
            return Ok(Connected::unproven(stream));
        }
        let is_tls = match self.plaintext_after {
            Some(silence) if self.mode == TlsMode::Optional => {
                match timeout(silence, stream.is_tls()).await {
                    Err(_) if stream.is_silent() => false,
                    Err(_) => stream.is_tls().await?,
                    Ok(result) => result?,
                }
            }
            _ => stream.is_tls().await?,
        };
        match self.mode {
            _ if is_tls => self.setup.accept(stream).await,
            TlsMode::Optional => {
                stream.set_plaintext();
                Ok(Connected::unproven(stream))
            }
            _ => Err(refused(SecurityError::Plaintext)),
        }
    }
}

struct TlsListener {
    inner: Box<dyn Listener>,
    shared: Arc<Shared>,
}

impl Listener for TlsListener {
    fn local_address(&self) -> Address {
        self.inner.local_address()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        async {
            let Incoming { remote, upgrade } = self.inner.accept().await?;
            let shared = Arc::clone(&self.shared);
            let upgrade = async move { shared.accept(upgrade.await?).await };
            Ok(Incoming { remote, upgrade: upgrade.boxed() })
        }
        .boxed()
    }
}
