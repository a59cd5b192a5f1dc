//! TLS over real sockets: what works, and that everything else is refused by name.

mod attacker;
mod authorities;
mod certificates;
mod flood;
mod honest;
mod openssl;
mod optional;
mod records;
mod resumption;
mod sessions;

use std::io;
use std::time::Duration;

use spacetime_network::transport::tls::{NodeKey, TlsVersion};
use spacetime_network::transport::{Connected, Listener, TcpTransport, TlsConfig, TlsTransport, Transport};
use spacetime_network::{Address, SecurityError};
use tokio::time::timeout;

/// What nothing on loopback takes.
const PATIENCE: Duration = Duration::from_secs(20);

const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

fn key() -> NodeKey {
    NodeKey::generate().unwrap()
}

/// The key with this number, the same each time.
fn numbered_key(number: u8) -> NodeKey {
    NodeKey::from_seed([number; 32])
}

/// A node that speaks this version only.
fn speaks(version: TlsVersion) -> TlsConfig {
    TlsConfig::new(key()).with_versions(version, version)
}

fn transport(config: &TlsConfig) -> TlsTransport<TcpTransport> {
    TlsTransport::new(TcpTransport::new(), config).unwrap()
}

async fn listen(config: &TlsConfig) -> Box<dyn Listener> {
    transport(config).listen(&"127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// The next one that connects.
async fn accept(listener: &mut dyn Listener) -> io::Result<Connected> {
    let upgrade = listener.accept().await?.upgrade;
    timeout(PATIENCE, upgrade).await.expect("it is decided in time")
}

fn dial(config: &TlsConfig, address: &Address) -> impl Future<Output = io::Result<Connected>> + use<> {
    let dialling = transport(config).dial(address);
    let upgraded = async { dialling.await?.upgrade.await };
    async { timeout(PATIENCE, upgraded).await.expect("it is decided in time") }
}

/// Why a connection was not secured.
fn reason(result: io::Result<Connected>) -> Option<SecurityError> {
    let error = result.expect_err("it is refused");
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<SecurityError>()).copied();
    assert!(reason.is_some(), "it is refused without a name: {error:?}");
    reason
}
