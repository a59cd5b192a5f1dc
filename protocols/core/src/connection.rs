//! Connections by number, and tables of what belongs to them.

use alloc::vec::Vec;
use core::fmt;

/// One connection or dial attempt, from its first moment to its last.
///
/// The number names a slot and its tenant, so the id of a connection that is gone never means
/// another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    slot: u32,
    generation: u32,
}

impl ConnectionId {
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The slot, for tables outside of this crate that are indexed by it. Slots are reused.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    pub(crate) const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.slot, self.generation)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// The peer.
    Inbound,
    /// We.
    Outbound,
}

/// What a behaviour keeps per connection: found in a few nanoseconds, iterated in a fixed order.
///
/// Insert in `on_established`, remove in `on_closed`, and it is bounded by the Swarm's number of
/// connections.
#[derive(Clone, Debug)]
pub struct ConnectionMap<T> {
    slots: Vec<Option<(ConnectionId, T)>>,
    len: usize,
}

impl<T> ConnectionMap<T> {
    /// An empty table.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }

    /// Puts `value` in for a connection. What stood in its slot before is returned, whether it was
    /// this connection's or one's that is gone.
    pub fn insert(&mut self, connection: ConnectionId, value: T) -> Option<T> {
        let slot = connection.slot();
        if slot >= self.slots.len() {
            // By an eighth: a node has many of these, and half of what doubling takes would lie idle.
            self.slots.reserve_exact(slot + 1 + slot / 8 - self.slots.len());
            self.slots.resize_with(slot + 1, || None);
        }
        let before = self.slots.get_mut(slot)?.replace((connection, value));
        if before.is_none() {
            self.len += 1;
        }
        before.map(|(_, value)| value)
    }

    /// Takes out what belongs to a connection.
    pub fn remove(&mut self, connection: ConnectionId) -> Option<T> {
        let slot = self.slots.get_mut(connection.slot())?;
        let (_, value) = slot.take_if(|(tenant, _)| *tenant == connection)?;
        self.len -= 1;
        Some(value)
    }

    /// What belongs to a connection.
    pub fn get(&self, connection: ConnectionId) -> Option<&T> {
        let (tenant, value) = self.slots.get(connection.slot())?.as_ref()?;
        (*tenant == connection).then_some(value)
    }

    /// What belongs to a connection, to change it.
    pub fn get_mut(&mut self, connection: ConnectionId) -> Option<&mut T> {
        let (tenant, value) = self.slots.get_mut(connection.slot())?.as_mut()?;
        (*tenant == connection).then_some(value)
    }

    /// Whether something belongs to a connection.
    pub fn contains(&self, connection: ConnectionId) -> bool {
        self.get(connection).is_some()
    }

    /// All of them, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &T)> {
        self.slots.iter().flatten().map(|(connection, value)| (*connection, value))
    }

    /// All of them, to change them, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut T)> {
        self.slots.iter_mut().flatten().map(|(connection, value)| (*connection, value))
    }

    /// The connections, in the order of their slots.
    pub fn keys(&self) -> impl Iterator<Item = ConnectionId> {
        self.iter().map(|(connection, _)| connection)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Default for ConnectionMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_id_never_finds_the_next_tenant() {
        let (old, new) = (ConnectionId::new(3, 0), ConnectionId::new(3, 1));
        let mut map = ConnectionMap::new();
        assert_eq!(map.insert(old, 'a'), None);
        assert_eq!(map.insert(new, 'b'), Some('a'));
        assert_eq!(map.len(), 1);
        assert_eq!((map.get(old), map.get(new)), (None, Some(&'b')));
        assert_eq!(map.remove(old), None);
        assert_eq!(map.remove(new), Some('b'));
        assert!(map.is_empty());
    }
}
