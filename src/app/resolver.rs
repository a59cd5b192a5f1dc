//! Where names of seeds lead.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::timeout;

/// How long a lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses that are taken of one name.
///
/// # Security
///
/// Whoever answers for a name can say anything; this is what a seed's operator needs, and as much
/// as the book takes from one at a time.
const MAX_ADDRESSES_PER_NAME: usize = 32;

/// Finds out where DNS names lead.
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a name, each with this port. Dropping the future gives the attempt up.
    fn lookup(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// What the system says: its hosts file, its DNS servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn lookup(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) }.boxed()
    }
}

/// Where a name leads; nowhere if nobody knows in time.
pub(super) async fn resolve(resolver: &dyn Resolver, name: &str, port: u16) -> Vec<SocketAddr> {
    let answer = timeout(LOOKUP_TIMEOUT, resolver.lookup(name, port)).await;
    match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(mut addresses) => {
            addresses.truncate(MAX_ADDRESSES_PER_NAME);
            tracing::info!(name, count = addresses.len(), "asked a seed's name");
            addresses
        }
        Err(error) => {
            tracing::warn!(name, %error, "cannot find out where a seed's name leads");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with so many addresses; never if there is nothing here.
    #[derive(Debug)]
    struct Fake(Option<u16>);

    impl Resolver for Fake {
        fn lookup(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let is_known = name == "seed.example.org";
            let Some(count) = self.0 else { return std::future::pending().boxed() };
            async move {
                let address = |number: u16| SocketAddr::from(([203, 0, 113, number as u8], port));
                if is_known {
                    Ok((0..count).map(address).collect())
                } else {
                    Err(io::ErrorKind::NotFound.into())
                }
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_leads_to_32_addresses_at_most_and_to_none_when_nobody_answers() {
        let name = "seed.example.org";
        assert_eq!(resolve(&Fake(Some(2)), name, 8333).await.len(), 2);
        assert_eq!(resolve(&Fake(Some(200)), name, 8333).await.len(), 32);
        assert_eq!(resolve(&Fake(Some(2)), "other.example.org", 8333).await.len(), 0);
        let before = tokio::time::Instant::now();
        assert_eq!(resolve(&Fake(None), name, 8333).await.len(), 0);
        assert_eq!(before.elapsed(), LOOKUP_TIMEOUT);
    }

    #[tokio::test]
    async fn the_system_knows_its_own_name() {
        let addresses = SystemResolver.lookup("localhost", 7).await.unwrap();
        assert!(addresses.iter().any(|it| it.ip().is_loopback() && it.port() == 7), "{addresses:?}");
    }
}
