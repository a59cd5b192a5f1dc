//! Several nodes and the streams between them. Nothing moves but what the test picks.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::messages::sent_frames;
use super::node::{Node, address, ephemeral, peer_id};
use crate::{Address, CloseReason, ConnectionId, DialError, NetworkBehaviour};

/// Bytes that arrive at once; a Hello takes several pieces.
const PIECE: usize = 48;

/// A stream of bytes in both directions. End 0 dialled, end 1 accepted.
struct Link {
    /// Which node holds the end, under which id; nobody once it was closed there.
    ends: [Option<(usize, ConnectionId)>; 2],
    /// Who held it at first.
    nodes: [usize; 2],
    is_open: [bool; 2],
    /// `pipes[i]` leads to `ends[i]`.
    pipes: [VecDeque<u8>; 2],
    /// Nothing more comes out of `pipes[i]` than what is in it.
    is_ended: [bool; 2],
}

/// Something that can happen next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// A dial arrives where it leads.
    Arrive(usize),
    /// An end of a link learns that the transport stands.
    Open(usize, usize),
    /// Bytes arrive at an end of a link, or the end of the stream does.
    Deliver(usize, usize),
}

pub(super) struct World<B: NetworkBehaviour> {
    pub(super) nodes: Vec<Node<B>>,
    /// Whether transports prove who is there.
    is_proven: bool,
    links: Vec<Link>,
    dials: Vec<(usize, ConnectionId, Address)>,
}

/// A second address under which the node with this index can be dialled.
pub(super) fn second_address(node: usize) -> Address {
    address(100 + node as u8)
}

impl<B: NetworkBehaviour> World<B> {
    /// Node `i` goes by the number `i` and listens at `address(i)` and `second_address(i)`.
    pub(super) fn new(nodes: Vec<Node<B>>, is_proven: bool) -> Self {
        Self { nodes, is_proven, links: Vec::new(), dials: Vec::new() }
    }

    pub(super) fn dial(&mut self, node: usize, to: Address) -> Result<ConnectionId, DialError> {
        let result = self.nodes[node].dial(to);
        self.collect(node);
        result
    }

    /// Lets things happen until nothing can any more; `picks` decides which one is next, over and
    /// over.
    pub(super) fn run(&mut self, picks: &[u8]) {
        let mut picks = picks.iter().cycle().take(10_000);
        while self.step(*picks.next().expect("it comes to rest")) {}
    }

    /// Lets one thing happen. Whether there was any.
    pub(super) fn step(&mut self, pick: u8) -> bool {
        let next = self.next();
        let Some(index) = usize::from(pick).checked_rem(next.len()) else {
            return false;
        };
        self.perform(next[index]);
        true
    }

    /// A node closes its sessions.
    pub(super) fn close_sessions(&mut self, node: usize) {
        self.nodes[node].act(|_, cx| {
            let all: Vec<_> = cx.peers().map(|(connection, _)| connection).collect();
            for connection in all {
                cx.close(connection, CloseReason::Requested);
            }
        });
        self.collect(node);
    }

    /// The links on which a node has a session.
    pub(super) fn sessions(&self, node: usize) -> Vec<usize> {
        let at = |link: &Link| {
            let end = link.ends.iter().flatten().find(|(holder, _)| *holder == node);
            end.is_some_and(|(_, id)| self.nodes[node].swarm.peer(*id).is_some())
        };
        (0..self.links.len()).filter(|index| at(&self.links[*index])).collect()
    }

    fn next(&self) -> Vec<Next> {
        let mut next: Vec<_> = (0..self.dials.len()).map(Next::Arrive).collect();
        for (index, link) in self.links.iter().enumerate() {
            for side in [0, 1] {
                if link.ends[side].is_none() {
                    continue;
                }
                if !link.is_open[side] {
                    next.push(Next::Open(index, side));
                } else if !link.pipes[side].is_empty() || link.is_ended[side] {
                    next.push(Next::Deliver(index, side));
                }
            }
        }
        next
    }

    fn perform(&mut self, next: Next) {
        match next {
            Next::Arrive(index) => {
                let (dialer, connection, to) = self.dials.remove(index);
                self.arrive(dialer, connection, &to);
            }
            Next::Open(index, side) => {
                let link = &mut self.links[index];
                link.is_open[side] = true;
                let other = link.nodes[1 - side];
                if let Some((node, connection)) = link.ends[side] {
                    let proven = self.is_proven.then(|| peer_id(other as u8));
                    self.nodes[node].open(connection, proven);
                    self.collect(node);
                }
            }
            Next::Deliver(index, side) => {
                let link = &mut self.links[index];
                let Some((node, connection)) = link.ends[side] else { return };
                let len = link.pipes[side].len().min(PIECE);
                let bytes: Vec<_> = link.pipes[side].drain(..len).collect();
                if bytes.is_empty() {
                    link.ends[side] = None;
                    link.is_ended[1 - side] = true;
                    self.nodes[node].lose(connection, CloseReason::EndOfStream);
                } else {
                    self.nodes[node].receive(connection, &bytes);
                }
                self.collect(node);
            }
        }
    }

    fn arrive(&mut self, dialer: usize, connection: ConnectionId, to: &Address) {
        let is_there =
            |node: &usize| [address(*node as u8), second_address(*node)].contains(&to.clone().unpinned());
        let listener = (0..self.nodes.len()).find(is_there).expect("somebody listens there");
        let from = ephemeral(dialer as u8, 40_000 + self.links.len() as u16);
        match self.nodes[listener].accept(from) {
            Ok(accepted) => self.links.push(Link {
                ends: [Some((dialer, connection)), Some((listener, accepted))],
                nodes: [dialer, listener],
                is_open: [false; 2],
                pipes: [VecDeque::new(), VecDeque::new()],
                is_ended: [false; 2],
            }),
            Err(_) => self.nodes[dialer].fail_dial(connection, DialError::Transport("reset".into())),
        }
        self.collect(listener);
        self.collect(dialer);
    }

    /// Carries out what a node wants.
    fn collect(&mut self, node: usize) {
        for (connection, to) in core::mem::take(&mut self.nodes[node].dials) {
            self.dials.push((node, connection, to));
        }
        let mut ready = Vec::new();
        while let Some(connection) = self.nodes[node].swarm.poll_ready() {
            ready.push(connection);
        }
        for connection in ready {
            let bytes = self.nodes[node].take(connection, usize::MAX);
            self.write(node, connection, &bytes);
        }
        for (connection, words) in core::mem::take(&mut self.nodes[node].closes) {
            sent_frames(&words);
            self.dials.retain(|(dialer, dialled, _)| (*dialer, *dialled) != (node, connection));
            self.write(node, connection, &words);
            if let Some((link, side)) = self.end_of(node, connection) {
                self.links[link].ends[side] = None;
                self.links[link].is_ended[1 - side] = true;
            }
        }
    }

    fn write(&mut self, node: usize, connection: ConnectionId, bytes: &[u8]) {
        if let Some((link, side)) = self.end_of(node, connection) {
            self.links[link].pipes[1 - side].extend(bytes);
        }
    }

    fn end_of(&self, node: usize, connection: ConnectionId) -> Option<(usize, usize)> {
        self.links.iter().enumerate().find_map(|(index, link)| {
            let side = link.ends.iter().position(|end| *end == Some((node, connection)))?;
            Some((index, side))
        })
    }
}
