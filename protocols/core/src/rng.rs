//! Randomness from a seed.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use rand::SeedableRng as _;
use rand::rand_core::Rng as _;
use rand::rngs::ChaCha12Rng;
use sha2::{Digest as _, Sha256};

/// A stream of random numbers that peers cannot predict and a seed can repeat.
///
/// The driver makes one from the operating system's randomness (or from a simulation's seed) and
/// every behaviour takes its own with [`fork`](Self::fork), so that one more draw in one protocol
/// does not shift the numbers another one gets. There is no `Clone`: two copies of a stream would
/// hand out the same "random" numbers twice.
pub struct Rng {
    seed: [u8; 32],
    stream: ChaCha12Rng,
}

impl Rng {
    /// The stream that belongs to `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, stream: ChaCha12Rng::from_seed(seed) }
    }

    /// The stream that belongs to a small number, for tests and simulations.
    pub fn from_number(number: u64) -> Self {
        Self::from_seed(Sha256::digest(number.to_le_bytes()).into())
    }

    /// A stream of its own for `label`. It depends on this one's seed and the label only, not on
    /// how many numbers were drawn.
    pub fn fork(&self, label: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(label.as_bytes());
        Self::from_seed(hash.finalize().into())
    }

    /// Any number.
    pub fn u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A number in `0..bound`, each equally likely. Zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire's method: the high half of a 128-bit product, drawn again for the few low halves
        // that would favour some results.
        let rejected_below = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let product = u128::from(self.u64()) * u128::from(bound);
            if product as u64 >= rejected_below {
                return (product >> 64) as u64;
            }
        }
    }

    /// True with a chance of `numerator` in `denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.fill_bytes(&mut bytes);
        bytes
    }

    /// A duration between `base` and `base` plus a quarter of it, so that what many nodes do
    /// periodically does not fall on one moment.
    pub fn jitter(&mut self, base: Duration) -> Duration {
        let quarter = (base / 4).as_nanos().min(u128::from(u64::MAX)) as u64;
        base.saturating_add(Duration::from_nanos(self.below(quarter.saturating_add(1))))
    }

    /// One of `items`, each equally likely.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Up to `count` different ones of `items`, in random order.
    pub fn sample<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut all = items.to_vec();
        self.shuffle(&mut all);
        all.truncate(count);
        all
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_depends_on_seed_and_label_only() {
        let mut a = Rng::from_number(1);
        let before = a.fork("ping").u64();
        a.u64();
        assert_eq!(a.fork("ping").u64(), before);
        assert_ne!(a.fork("sync").u64(), before);
        assert_ne!(Rng::from_number(2).fork("ping").u64(), before);
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::from_number(3);
        let mut seen = [false; 7];
        for _ in 0..500 {
            seen[rng.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn the_stream_of_a_seed_never_changes() {
        // A change here changes every recorded simulation seed.
        assert_eq!(Rng::from_number(0).u64(), 15_188_356_784_703_696_028);
    }
}
