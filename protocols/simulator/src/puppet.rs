//! Ends of connections that a test, or an actor, holds in its hands.

use spacetime_core::wire::{
    Announcement, Extension, Frame, Handshake, Message, MessageType, PROTOCOL_VERSION,
};
use spacetime_core::{Address, Hash, NetworkBehaviour};

use super::clock::UNIX_START;
use super::link::{End, Link, Piece};
use super::{Place, Simulation};

/// A puppet: an end of one connection that sends what the test says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PuppetId(pub(crate) usize);

#[derive(Debug, Default)]
pub(crate) struct Puppet {
    /// The link it holds, and which end of it.
    pub(crate) link: Option<(usize, usize)>,
    pub(crate) received: Vec<u8>,
    pub(crate) ended: bool,
    /// Where it seems to dial from, if that is not its own address.
    pub(crate) comes_from: Option<Address>,
    /// Whose hands it is in, if not the test's.
    pub(crate) actor: Option<usize>,
}

impl<B: NetworkBehaviour> Simulation<B> {
    /// A puppet that connects to a node, from an address of its own. None if the node refuses.
    pub fn puppet_dial(&mut self, node: usize) -> Option<PuppetId> {
        self.puppet_dial_from(node, puppet_address(self.puppets_made))
    }

    /// The same, and it seems to come from this address.
    pub fn puppet_dial_from(&mut self, node: usize, from: Address) -> Option<PuppetId> {
        let puppet = self.new_puppet(None);
        let now = self.clock(node);
        let swarm = &mut self.nodes[node].running.as_mut()?.swarm;
        let accepted = swarm.handle_accept(now, from);
        if let Ok(connection) = accepted {
            let link = self.add_link(Link::new([End::Puppet(puppet), End::Gone], [usize::MAX, node]));
            self.set_puppet_link(puppet, link, 0);
            self.attach(node, connection, link, 1);
            if let Some(running) = &mut self.nodes[node].running {
                running.swarm.handle_opened(now, connection, None);
            }
        }
        self.drive(node);
        accepted.is_ok().then_some(PuppetId(puppet))
    }

    pub(crate) fn new_puppet(&mut self, actor: Option<usize>) -> usize {
        let puppet = self.puppets_made;
        self.puppets_made += 1;
        self.puppets.insert(puppet, Puppet { actor, ..Puppet::default() });
        puppet
    }

    /// A puppet that waits for a node to dial the address that is returned.
    pub fn puppet_listen(&mut self) -> (PuppetId, Address) {
        let address = puppet_address(self.puppets_made);
        (self.puppet_listen_at(&address), address)
    }

    /// A puppet that waits for a node to dial this address.
    pub fn puppet_listen_at(&mut self, address: &Address) -> PuppetId {
        let puppet = self.new_puppet(None);
        self.places.insert(address.clone(), Place::Puppet(puppet));
        PuppetId(puppet)
    }

    /// Sends bytes. They arrive in pieces, as those of nodes do. Nothing happens if the connection
    /// is not there, or not any more.
    pub fn puppet_send(&mut self, puppet: PuppetId, bytes: &[u8]) {
        let Some((link, side)) = self.puppets.get(&puppet.0).and_then(|it| it.link) else { return };
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut len = self.config.max_piece_bytes().min(rest.len());
            if self.rng.chance(self.config.cut_percent().into(), 100) {
                len = 1 + self.rng.below(len as u64) as usize;
            }
            let (now, later) = rest.split_at(len);
            self.audit.bytes(now);
            self.links[link].pipes[1 - side].under_way += len;
            self.send(link, 1 - side, Piece::Bytes(now.into()));
            rest = later;
        }
    }

    /// Sends a message.
    pub fn puppet_send_message<M: Message>(&mut self, puppet: PuppetId, message: &M) {
        let frame = Frame::encode(message).expect("a puppet breaks the protocol in bytes, not in messages");
        self.puppet_send(puppet, frame.bytes());
    }

    /// Introduces a puppet as a version-1 node with this name.
    pub fn puppet_introduce_version_1(&mut self, puppet: PuppetId, name: &str) {
        self.puppet_send(puppet, &handshake_frame(name, None));
    }

    /// Introduces a puppet as a node like ours, of the chain with this genesis hash.
    pub fn puppet_introduce(&mut self, puppet: PuppetId, name: &str, chain_id: Hash) {
        let announcement = Announcement {
            protocol_versions: (1, 1),
            chain_id,
            listen_port: None,
            capabilities: Vec::new(),
            nonce: puppet.0 as u64,
            best_block: None,
        };
        self.puppet_send(puppet, &handshake_frame(name, Some(&announcement)));
    }

    /// Takes out the frames that arrived at a puppet: types and payloads.
    pub fn puppet_frames(&mut self, puppet: PuppetId) -> Vec<(MessageType, Vec<u8>)> {
        self.puppets.get_mut(&puppet.0).map(|it| cut_frames(&mut it.received)).unwrap_or_default()
    }

    /// Takes out everything that arrived at a puppet.
    pub fn puppet_received(&mut self, puppet: PuppetId) -> Vec<u8> {
        self.puppets.get_mut(&puppet.0).map(|it| std::mem::take(&mut it.received)).unwrap_or_default()
    }

    /// Whether the node has closed its end.
    pub fn puppet_is_closed(&self, puppet: PuppetId) -> bool {
        self.puppets.get(&puppet.0).is_none_or(|it| it.ended)
    }

    /// Closes a puppet's end.
    pub fn puppet_close(&mut self, puppet: PuppetId) {
        let Some(it) = self.puppets.get_mut(&puppet.0) else { return };
        let link = it.link.take();
        if it.actor.is_some() {
            // Only its actor knew it, and hears of it no more.
            self.puppets.remove(&puppet.0);
        }
        if let Some((link, side)) = link {
            self.end_stream(link, side);
        }
    }

    pub(crate) fn set_puppet_link(&mut self, puppet: usize, link: usize, side: usize) {
        if let Some(it) = self.puppets.get_mut(&puppet) {
            it.link = Some((link, side));
            it.ended = false;
        }
    }
}

impl Puppet {
    /// Where it dials from.
    pub(crate) fn dials_from(&self, puppet: usize) -> Address {
        self.comes_from.clone().unwrap_or_else(|| puppet_address(puppet))
    }
}

/// Puppets live beyond all nodes.
pub(crate) fn puppet_address(puppet: usize) -> Address {
    Address::memory((1 << 32) + puppet as u64)
}

/// The frame with which a node introduces itself: of version 1, or like ours.
pub fn handshake_frame(name: &str, announcement: Option<&Announcement>) -> Vec<u8> {
    let entries = announcement.map(|it| it.to_bytes().expect("the announcement is valid"));
    let handshake = Handshake {
        version: PROTOCOL_VERSION,
        timestamp: UNIX_START - 100,
        node_id: name,
        user_agent: "Spacetime/1.0",
        extension: entries.as_deref().map(|bytes| Extension::new(bytes).expect("what was written is read")),
    };
    Frame::encode(&handshake).expect("the name is a name").bytes().to_vec()
}

/// Takes whole frames out of a stream, which nodes have sent: types and payloads. For actors, which
/// hear bytes.
pub fn cut_frames(stream: &mut Vec<u8>) -> Vec<(MessageType, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut cut = 0;
    while let Some((length, rest)) = stream[cut..].split_first_chunk() {
        let end = u32::from_le_bytes(*length) as usize;
        let Some((message_type, payload)) = rest.get(..end).and_then(<[u8]>::split_first) else { break };
        frames.push((MessageType::from_byte(*message_type), payload.to_vec()));
        cut += 4 + end;
    }
    stream.drain(..cut);
    frames
}
