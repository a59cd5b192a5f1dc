//! Who may connect.

use crate::address::Address;
use crate::connection::{ConnectionId, Direction};
use crate::hash::PeerId;
use crate::peer::{Identity, PeerInfo};

/// How far a connection has come when the tree is asked about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// A behaviour or the application wants to dial the address.
    Dial,
    /// A peer connected. Nothing was read, no cryptography was done.
    Accept,
    /// The transport proved who the peer is.
    Authenticated,
    /// The gate let the peer in.
    Established,
}

/// A connection that may come to be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// How far it has come.
    pub stage: Stage,
    /// Its id, from its first moment; none before it was accepted.
    pub connection: Option<ConnectionId>,
    /// Who opened it.
    pub direction: Direction,
    /// The address to be dialled, or the remote address of the socket.
    pub address: &'a Address,
    /// Who it is, as far as it is known at this stage.
    pub identity: Option<&'a Identity>,
    /// What the peer said of itself, once it is known.
    pub info: Option<&'a PeerInfo>,
    /// Sessions and dials there are, without this one.
    pub sessions: usize,
    /// Accepted connections there are that are not established, without this one.
    pub opening: usize,
}

/// What a behaviour says about a [`Candidate`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may be.
    Accept,
    /// It may be, and no rate of connections counts it: it is trusted. Differs from `Accept` at
    /// [`Stage::Accept`] only.
    AcceptExempt,
    /// It may not be; why.
    Deny(&'static str),
}

impl Verdict {
    /// Both verdicts as one: a denial goes over all else, and an exemption over none.
    #[must_use]
    pub fn and_then(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Accept => other(),
            Self::AcceptExempt => match other() {
                deny @ Self::Deny(_) => deny,
                Self::Accept | Self::AcceptExempt => self,
            },
            deny @ Self::Deny(_) => deny,
        }
    }
}

/// A connection whose peer was not let in yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OpeningConnection<'a> {
    /// Who opened it.
    pub direction: Direction,
    /// The address that was dialled, or the remote address of the socket.
    pub address: &'a Address,
    /// The peer id that the transport proved.
    pub proven: Option<PeerId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_goes_over_all_else_and_an_exemption_over_none() {
        const ALL: [Verdict; 3] = [Verdict::Accept, Verdict::AcceptExempt, Verdict::Deny("no")];
        for one in ALL {
            for other in ALL {
                let expected = [one, other].into_iter().max_by_key(|it| ALL.iter().position(|all| all == it));
                assert_eq!(Some(one.and_then(|| other)), expected, "{one:?} {other:?}");
            }
        }
    }
}
