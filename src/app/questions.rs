//! What a running node is asked over its control socket, and what it answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use spacetime_core::chain::Transaction;
#[cfg(doc)]
use spacetime_node::Status;
use spacetime_peers::{Ban, Command, Peers, Target};
use spacetime_relay::Item;

use super::hex;
use super::node_handle::NodeHandle;
use super::peers_file::StoredAddress;

/// The longest reason for a ban: a line, and the state with all bans fits its file.
const MAX_REASON_BYTES: usize = 256;

/// A question; the answer is the JSON of the type that is named beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(super) enum Question {
    /// [`Status`]
    Status,
    /// [`StoredAddress`]es
    Addresses,
    /// [`BansAnswer`]
    Bans,
    /// The [`Ban`] that holds now.
    Ban {
        target: Target,
        /// For ever if there is nothing here.
        #[serde(default)]
        seconds: Option<u64>,
        #[serde(default)]
        reason: Box<str>,
    },
    /// [`UnbanAnswer`]
    Unban { target: Target },
    /// [`TrustAnswer`]
    Trust { target: Target },
    /// [`TrustAnswer`]
    Untrust { target: Target },
    /// [`SentAnswer`]
    SendTransaction {
        /// In hexadecimal digits.
        transaction: String,
    },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct BansAnswer {
    pub(super) bans: Vec<Ban>,
    pub(super) trusted: Vec<Target>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct UnbanAnswer {
    pub(super) was_banned: bool,
    /// Bans of networks that hold the target all the same.
    pub(super) still_banned_by: Vec<Target>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct TrustAnswer {
    pub(super) was_trusted: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct SentAnswer {
    /// The transaction's hash, in hexadecimal digits.
    pub(super) hash: String,
    /// How many peers there are that can pass it on.
    pub(super) peers: usize,
}

impl Question {
    /// The answer as JSON, or why there is none.
    pub(super) async fn answer(self, node: &NodeHandle) -> Result<Vec<u8>, String> {
        fn text(error: impl ToString) -> String {
            error.to_string()
        }
        match self {
            Self::Status => to_json(&node.status().await.map_err(text)?),
            Self::Addresses => {
                let records = node.addresses().await.map_err(text)?;
                to_json(&records.into_iter().map(StoredAddress::from).collect::<Vec<_>>())
            }
            Self::Bans => {
                let look = |peers: &Peers| BansAnswer {
                    bans: peers.bans().collect(),
                    trusted: peers.trusted().cloned().collect(),
                };
                to_json(&node.swarm().act(move |node, _| look(&node.peers)).await.map_err(text)?)
            }
            Self::Ban { target, seconds, reason } => {
                if reason.len() > MAX_REASON_BYTES {
                    return Err(format!("the reason is longer than {MAX_REASON_BYTES} bytes"));
                }
                let duration = seconds.map(Duration::from_secs);
                let command = Command::Ban { target: target.clone(), duration, reason };
                let look = move |peers: &Peers| peers.bans().find(|ban| ban.target == target);
                let (_, ban) = node.change_and_look(command, look).await.map_err(text)?;
                to_json(&ban.ok_or("there are too many bans already that end later")?)
            }
            Self::Unban { target } => {
                let command = Command::Unban(target.clone());
                let look = move |peers: &Peers| {
                    let of_target = peers.bans().filter(|ban| holds(&ban.target, &target));
                    of_target.map(|ban| ban.target).partition::<Vec<_>, _>(|banned| *banned == target)
                };
                let ((exact, _), (_, still_banned_by)) =
                    node.change_and_look(command, look).await.map_err(text)?;
                to_json(&UnbanAnswer { was_banned: !exact.is_empty(), still_banned_by })
            }
            Self::Trust { target } => {
                let is_trusted = is_trusted(&target);
                let change = node.change_and_look(Command::Trust(target), is_trusted);
                match change.await.map_err(text)? {
                    (_, false) => Err("there are too many trusted peers already".into()),
                    (was_trusted, true) => to_json(&TrustAnswer { was_trusted }),
                }
            }
            Self::SendTransaction { transaction } => {
                let bytes = hex::decode(transaction.as_bytes()).map_err(text)?;
                let hash = Transaction::decode(&bytes).map_err(text)?.hash().to_string();
                let item = Item::transaction(&bytes).map_err(text)?;
                let peers = node.publish(item).await.map_err(text)?;
                to_json(&SentAnswer { hash, peers })
            }
            Self::Untrust { target } => {
                let is_trusted = is_trusted(&target);
                let change = node.change_and_look(Command::Distrust(target), is_trusted);
                to_json(&TrustAnswer { was_trusted: change.await.map_err(text)?.0 })
            }
        }
    }
}

fn is_trusted(target: &Target) -> impl Fn(&Peers) -> bool + Send + use<> {
    let target = target.clone();
    move |peers| peers.trusted().any(|trusted| *trusted == target)
}

/// Whether a ban of `banned` is one of `target` too.
fn holds(banned: &Target, target: &Target) -> bool {
    match (banned, target) {
        (Target::Network(wide), Target::Network(narrow)) => wide.contains(narrow),
        (Target::Network(_), Target::Endpoint(spacetime_core::Endpoint::Socket(socket))) => {
            banned.holds(socket.ip())
        }
        _ => banned == target,
    }
}

fn to_json(answer: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(answer).map_err(|error| error.to_string())
}
