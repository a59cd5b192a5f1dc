//! Who dials whom.

use spacetime_core::Rng;

/// A shape of a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Topology {
    /// Each node dials the next one.
    Line,
    /// The same, and the last one dials the first.
    Ring,
    /// All dial the first one.
    Star,
    /// Everybody is connected with everybody.
    Full,
    /// A ring, and for each node so many dials beyond it, by chance.
    Random {
        /// Connections of each node, on average. The ring makes two of them.
        degree: usize,
    },
}

impl Topology {
    /// The dials among so many nodes: who, and whom. None twice in either direction, and nobody
    /// itself.
    pub fn dials(self, nodes: usize, rng: &mut Rng) -> Vec<(usize, usize)> {
        let line = (1..nodes).map(|node| (node - 1, node));
        match self {
            Self::Line => line.collect(),
            Self::Ring if nodes > 2 => line.chain([(nodes - 1, 0)]).collect(),
            Self::Ring => line.collect(),
            Self::Star => (1..nodes).map(|node| (node, 0)).collect(),
            Self::Full => {
                (0..nodes).flat_map(|one| (one + 1..nodes).map(move |other| (one, other))).collect()
            }
            Self::Random { degree } => {
                let mut dials = Self::Ring.dials(nodes, rng);
                let mut known: std::collections::BTreeSet<_> = dials.iter().map(|it| ordered(*it)).collect();
                let wanted = (nodes * degree / 2).min(nodes * nodes.saturating_sub(1) / 2);
                // By chance alone a dense network would never be full.
                for _ in 0..wanted.saturating_mul(20) {
                    if dials.len() >= wanted {
                        break;
                    }
                    let dial = (rng.below(nodes as u64) as usize, rng.below(nodes as u64) as usize);
                    if dial.0 != dial.1 && known.insert(ordered(dial)) {
                        dials.push(dial);
                    }
                }
                dials
            }
        }
    }
}

fn ordered((one, other): (usize, usize)) -> (usize, usize) {
    (one.min(other), one.max(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_dials_itself_or_anybody_twice() {
        let mut rng = Rng::from_number(1);
        for nodes in 0..12 {
            for topology in [
                Topology::Line,
                Topology::Ring,
                Topology::Star,
                Topology::Full,
                Topology::Random { degree: 4 },
                Topology::Random { degree: 100 },
            ] {
                let dials = topology.dials(nodes, &mut rng);
                let mut different: Vec<_> = dials.iter().map(|it| ordered(*it)).collect();
                different.sort_unstable();
                different.dedup();
                assert_eq!(different.len(), dials.len(), "{topology:?} {nodes}");
                assert!(dials.iter().all(|(one, other)| one != other && *one.max(other) < nodes));
                assert!(dials.len() >= nodes.saturating_sub(1), "it hangs together");
            }
        }
    }

    #[test]
    fn a_random_network_has_the_degree_it_should_have() {
        let dials = Topology::Random { degree: 8 }.dials(200, &mut Rng::from_number(2));
        assert_eq!(dials.len(), 800);
    }
}
