//! The task of one listener.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::inbox::{Inbox, Input};
use crate::transport::Listener;

/// Connections per listener that were accepted and wait for the Swarm's decision.
const MAX_UNDECIDED: usize = 64;

/// How long a listener rests when the system has no descriptors or no memory left, or worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections and waits for the Swarm's decision about each, for as long as the Swarm lives.
pub(super) async fn accept(mut listener: Box<dyn Listener>, inbox: Arc<Inbox>) {
    let undecided = Arc::new(Semaphore::new(MAX_UNDECIDED));
    loop {
        let Ok(permit) = Arc::clone(&undecided).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(incoming) => inbox.push(Input::Incoming(incoming, permit)),
            Err(error) if is_about_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
                // However many of them end so, others have their turn.
                yield_now().await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the next connection may be fine: strangers could silence a listener otherwise that rests
/// for each of theirs. The list is that of accept(2); all else is taken for a shortage.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::Interrupted
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
    )
}
